//! MCP0206 reserved-path: the first segment of the public path is one that a shared host keeps for itself.

use crate::parse::path::HttpPath;

use super::{Class, Context, Meta, Plain, Report, SERVER, path_field};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0206", "reserved-path", SERVER, Class::PolicyOn)
        .summary("the first segment of the public path is one that a shared host keeps for itself"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let Some(ingress) = &effective.ingress else { return };
    let Ok(path) = HttpPath::parse(&ingress.path) else { return };
    if let Some(reserved) = path.reserved() {
        report
            .at(path_field(spec))
            .given(path.as_str())
            .must(format!("must not begin with '/{reserved}', which shared hosts keep for themselves"))
            .hint(format!("ingressPath: /{}/mcp", context.name));
    }
}
