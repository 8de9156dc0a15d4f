//! MCP0604 dead-grant: the grant cannot allow anything: no side effect, or every rule above `maxTrust`.

use api::{Decision, Effect};

use super::{Class, Context, GRANT, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0604", "dead-grant", GRANT, Class::Structural)
        .summary("the grant cannot allow anything: no side effect, or every rule above `maxTrust`"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.grant() else { return };
    if spec.effect == Effect::Deny {
        return;
    }
    if spec.allowed_side_effects.is_empty() {
        report
            .at("spec.allowedSideEffects")
            .must("must name at least one side effect: without one the grant allows nothing")
            .hint("allowedSideEffects: [read]");
    }
    let mut allows = spec.tool_rules.iter().filter(|rule| rule.decision == Decision::Allow).peekable();
    let only_tools = spec.prompts.is_empty() && spec.resources.is_empty();
    if allows.peek().is_some() && only_tools && allows.all(|rule| rule.required_trust > Some(spec.max_trust)) {
        report
            .at("spec.maxTrust")
            .given(spec.max_trust)
            .must("must be as high as the requiredTrust of at least one rule: the grant allows nothing")
            .hint("raise maxTrust, or lower requiredTrust of a rule");
    }
}
