//! MCP0202 host-required: neither the server nor a policy names a host.

use api::MCPPolicySpec;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0202", "host-required", SERVER, Class::Policy)
        .summary("neither the server nor a policy names a host")
        .needs(&[Need::Policies])
        .mentioned_by(asks),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    let Some(ingress) = &effective.ingress else { return };
    if ingress.host.is_some() {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    let asked = policies.any(asks);
    if !asked && policies.any(|spec| spec.ingress.is_some()) {
        return;
    }
    let message = if asked {
        "must be given: no MCPPolicy for this namespace has a default host"
    } else {
        "is not given: the server answers on every host name"
    };
    report.at("spec.ingressHost").must(message).hint("ingressHost: mcp.example.com, or defaults.ingressHost of an MCPPolicy");
}

fn asks(spec: &MCPPolicySpec) -> bool {
    spec.ingress.as_ref().is_some_and(|ingress| ingress.require_host != Some(false))
}
