//! MCP0406 observe: `policy.mode: observe` or `defaultDecision: allow` with `access.forbidObserve`.

use api::{Decision, PolicyMode};

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0406", "observe", SERVER, Class::Policy)
        .summary("`policy.mode: observe` or `defaultDecision: allow` with `access.forbidObserve`")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.access.as_ref().is_some_and(|access| access.forbid_observe == Some(true))),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    let observes = effective.policy.mode == PolicyMode::Observe;
    let allows = effective.policy.default_decision == Decision::Allow;
    if !observes && !allows {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    let Some((policy, _)) = policies.first(|spec| spec.access.as_ref()?.forbid_observe.filter(|forbidden| *forbidden)) else {
        return;
    };
    if observes {
        report
            .at("spec.policy.mode")
            .given(effective.policy.mode)
            .must(format!("must be allow-list: MCPPolicy '{policy}' forbids observe"))
            .hint("mode: allow-list");
    }
    if allows {
        report
            .at("spec.policy.defaultDecision")
            .given(effective.policy.default_decision)
            .must(format!("must be deny: MCPPolicy '{policy}' forbids to allow what nobody granted"))
            .hint("defaultDecision: deny");
    }
}
