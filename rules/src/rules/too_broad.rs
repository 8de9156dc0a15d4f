//! MCP0611 too-broad: a grant of every tool, of destructive ones too, at high trust.

use api::{Decision, Effect, SideEffect, Trust};

use super::{Class, Context, GRANT, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0611", "too-broad", GRANT, Class::Warning)
        .summary("a grant of every tool, by no rule or by the glob `*`, with side effect `destructive` and trust `high`"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.grant() else { return };
    let destructive = spec.allowed_side_effects.contains(&SideEffect::Destructive);
    if spec.effect == Effect::Deny || !destructive || spec.max_trust != Trust::High {
        return;
    }
    let hint = "name the tools one by one, or take destructive out of allowedSideEffects";
    let message = "gives every tool, also those to come, with destructive ones and at high trust";
    let mut allowing = spec.tool_rules.iter().enumerate().filter(|(_, rule)| rule.decision == Decision::Allow).peekable();
    if allowing.peek().is_none() {
        report.at("spec.toolRules").must(message).hint(hint);
    }
    for (index, rule) in allowing {
        if rule.name.bytes().all(|b| b == b'*') {
            report.at(format!("spec.toolRules[{index}].name")).given(&rule.name).must(message).hint(hint);
        }
    }
}
