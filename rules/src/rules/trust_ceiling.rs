//! MCP0606 trust-ceiling: `maxTrust` is above `access.maxTrust`.

use api::Effect;

use super::{Class, Context, GRANT, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0606", "trust-ceiling", GRANT, Class::Policy)
        .summary("`maxTrust` is above `access.maxTrust`")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.access.as_ref().is_some_and(|access| access.max_trust.is_some())),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.grant() else { return };
    if spec.effect == Effect::Deny {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    if let Some((policy, ceiling)) = policies.max_trust()
        && spec.max_trust > ceiling
    {
        report
            .at("spec.maxTrust")
            .given(spec.max_trust)
            .must(format!("must be at most {ceiling}, the ceiling of MCPPolicy '{policy}'"))
            .hint(format!("maxTrust: {ceiling}"));
    }
}
