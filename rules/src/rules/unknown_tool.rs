//! MCP0603 unknown-tool: a rule names a tool that the server does not declare.

use crate::context::known;
use crate::parse::name::glob;
use crate::parse::near::meant;

use super::{Class, Context, GRANT, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0603", "unknown-tool", GRANT, Class::Warning)
        .summary("a rule names a tool that the server does not declare")
        .needs(&[Need::Servers]),
    check,
};

/// For how many rules a hint is looked for.
const HINTED: usize = 8;

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.grant() else { return };
    if spec.tool_rules.is_empty() || known(&context.facts.servers, Need::Servers, report).is_none() {
        return;
    }
    let Some(server) = context.facts.server(context.namespace, &spec.server_ref.name) else { return };
    if server.tools.is_empty() {
        return;
    }
    // Each look for what was meant goes through all tools by their letters.
    let mut hints = HINTED;
    for (index, rule) in spec.tool_rules.iter().enumerate() {
        if !server.tools.iter().any(|tool| glob(&rule.name, &tool.name)) {
            let draft = report.at(format!("spec.toolRules[{index}].name")).given(&rule.name);
            draft.must(format!("matches no tool that MCPServer '{}' declares", server.name));
            hints = hints.saturating_sub(1);
            if hints > 0
                && let Some(tool) = meant(&rule.name, server.tools.iter().map(|tool| tool.name.as_str()))
            {
                draft.hint(format!("did you mean '{tool}'?"));
            }
        }
    }
}
