//! MCP0203 invalid-path: a path does not begin with `/`, has `//`, dot segments, encoded bytes or odd characters, or is too long.

use crate::parse::path::{Error, HttpPath};

use super::route_taken::{candidates, path_hint};
use super::{Class, Context, Meta, Plain, Report, SERVER, path_field};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0203", "invalid-path", SERVER, Class::Structural)
        .summary("a path does not begin with `/`, has `//`, dot segments, encoded bytes or odd characters, or is too long"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    // With generateName the API server makes the name later, and the path of a name is one.
    let unnamed = context.name.is_empty() && spec.ingress_path.is_none() && spec.public_path_prefix.is_none();
    if let Some(ingress) = effective.ingress.as_ref().filter(|_| !unnamed)
        && let Err(error) = HttpPath::parse(&ingress.path)
    {
        let draft = report.at(path_field(spec));
        draft.given(spec.public_path_prefix.as_ref().filter(|_| spec.ingress_path.is_none()).unwrap_or(&ingress.path));
        draft.must(error.requirement());
        let slashed = match ingress.path.as_str() {
            // With a slash alone the server would take the whole host.
            "" => candidates(context).into_iter().next(),
            path => Some(format!("/{path}")),
        };
        let slashed = slashed.filter(|path| error == Error::NotAbsolute && HttpPath::parse(path).is_ok());
        if let Some(path) = slashed {
            draft.hint(path_hint(spec, &path));
        }
    }
    if let Some(path) = &spec.path
        && let Err(error) = HttpPath::parse(path)
    {
        report.at("spec.path").given(path).must(error.requirement());
    }
}
