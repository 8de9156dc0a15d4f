//! MCP0206 reserved-path: the first segment of the public path is one that a shared host keeps for itself.

use crate::parse::path::HttpPath;

use super::route_taken::{candidates, free_path, path_hint};
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
    let draft = if let Some(reserved) = path.reserved() {
        let draft = report.at(path_field(spec)).given(path.as_str());
        draft.must(format!("must not begin with '/{reserved}', which shared hosts keep for themselves"))
    } else if path.as_str() == "/" && is_shared(context, ingress.host.as_deref()) {
        let draft = report.at(path_field(spec)).given(path.as_str());
        draft.must("takes the whole host, /healthz too, which policies give to other servers as well").warning()
    } else {
        return;
    };
    let free = effective.route().and_then(|route| free_path(context, &route));
    if let Some(path) = free.or_else(|| candidates(context).into_iter().next()) {
        draft.hint(path_hint(spec, &path));
    }
}

/// Whether a policy gives the host to every server that says none.
fn is_shared(context: &Context<'_>, host: Option<&str>) -> bool {
    let shared = context.selected().first(|spec| spec.defaults.as_ref()?.ingress_host.as_deref().filter(|given| Some(*given) == host));
    shared.is_some()
}
