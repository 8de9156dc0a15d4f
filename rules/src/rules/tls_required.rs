//! MCP0209 tls-required: no TLS Secret with `ingress.requireTLS`.

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0209", "tls-required", SERVER, Class::Policy)
        .summary("no TLS Secret with `ingress.requireTLS`")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.ingress.as_ref().is_some_and(|ingress| ingress.require_tls == Some(true))),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    let Some(ingress) = &effective.ingress else { return };
    let Some(policies) = context.policies(report) else { return };
    let asking = policies.first(|spec| spec.ingress.as_ref()?.require_tls.filter(|required| *required));
    if let (Some((policy, _)), None) = (asking, &ingress.tls_secret) {
        report
            .at("spec.ingressTLSSecret")
            .must(format!("must be given: MCPPolicy '{policy}' asks for TLS"))
            .hint(format!("ingressTLSSecret: {}-tls, a Secret of type kubernetes.io/tls", context.name));
    }
}
