//! MCP0401 gateway-required: `gateway.enabled: false` with `access.requireGateway`.

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0401", "gateway-required", SERVER, Class::Policy)
        .summary("`gateway.enabled: false` with `access.requireGateway`")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.access.as_ref().is_some_and(|access| access.require_gateway == Some(true))),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    if effective.gateway.enabled {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    if let Some((policy, _)) = policies.first(|spec| spec.access.as_ref()?.require_gateway.filter(|required| *required)) {
        report
            .at("spec.gateway.enabled")
            .given(false)
            .must(format!("must be true: MCPPolicy '{policy}' asks for a gateway in front of every server"))
            .hint("take gateway.enabled away");
    }
}
