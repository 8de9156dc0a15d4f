//! MCP0505 no-inventory: no tools are declared and undeclared ones are denied: nothing can be called.

use api::{Decision, PolicyMode};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0505", "no-inventory", SERVER, Class::Warning)
        .summary("no tools are declared and undeclared ones are denied: nothing can be called"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let policy = &effective.policy;
    let empty = spec.tools.is_empty() && spec.prompts.is_empty() && spec.mcp_resources.is_empty();
    let denies = policy.undeclared_tools == Decision::Deny && policy.mode == PolicyMode::AllowList;
    // The tools of a virtual server are MCPTools: MCP0803 speaks of those.
    if effective.gateway.enabled && empty && denies && spec.tool_selector.is_none() {
        report
            .at("spec.tools")
            .must("is empty and undeclared tools are denied: nothing can be called")
            .hint("tools: [{name: ..., sideEffect: read}] for each tool that may be granted");
    }
}
