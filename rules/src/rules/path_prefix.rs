//! MCP0210 path-prefix: the public path is outside `ingress.allowedPathPrefixes`.

use crate::parse::path::{HttpPath, is_segment_prefix};

use super::route_taken::{candidates, path_hint};
use super::{Class, Context, Meta, Need, Plain, Report, SERVER, path_field};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0210", "path-prefix", SERVER, Class::Policy)
        .summary("the public path is outside `ingress.allowedPathPrefixes`")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.ingress.as_ref().is_some_and(|ingress| ingress.allowed_path_prefixes.is_some())),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let Some(ingress) = &effective.ingress else { return };
    let Some(policies) = context.policies(report) else { return };
    let Ok(path) = HttpPath::parse(&ingress.path) else { return };
    let fill = |prefix: &String| prefix.replace("{namespace}", context.namespace);
    let refusing = policies.first(|spec| {
        let prefixes = spec.ingress.as_ref()?.allowed_path_prefixes.as_ref()?;
        (!prefixes.iter().any(|prefix| is_segment_prefix(&fill(prefix), path.as_str()))).then_some(prefixes)
    });
    let Some((policy, _)) = refusing else { return };
    let draft = report.at(path_field(spec)).given(path.as_str());
    draft.must(format!("must be below a path that MCPPolicy '{policy}' allows"));
    if let Some(path) = candidates(context).first() {
        draft.hint(path_hint(spec, path));
    }
}
