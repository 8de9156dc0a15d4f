//! MCP0609 reason-required: no `reason` with `access.requireReason`.

use super::{Class, Context, GRANT, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0609", "reason-required", GRANT, Class::Policy)
        .summary("no `reason` with `access.requireReason`")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.access.as_ref().is_some_and(|access| access.require_reason == Some(true))),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.grant() else { return };
    if spec.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty()) {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    if let Some((policy, _)) = policies.first(|spec| spec.access.as_ref()?.require_reason.filter(|required| *required)) {
        report
            .at("spec.reason")
            .must(format!("must be given: MCPPolicy '{policy}' asks why"))
            .hint("reason: ticket or sentence that says why");
    }
}
