//! MCP0604 dead-grant: the grant cannot allow anything: no side effect, or every rule above `maxTrust`. That nothing which
//! the server declares now is within it is a warning: the server may change the next minute.

use api::{Decision, Effect, MCPAccessGrantSpec, Tool, Trust};

use crate::context::known;
use crate::facts::ServerFact;
use crate::parse::name::glob;

use super::{Class, Context, GRANT, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0604", "dead-grant", GRANT, Class::Structural)
        .summary(
            "the grant cannot allow anything: no side effect, or every rule above `maxTrust`; a warning: every tool of the server \
             that it names asks for more",
        )
        .needs(&[Need::Servers]),
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
    } else if only_tools
        && !spec.allowed_side_effects.is_empty()
        && known(&context.facts.servers, Need::Servers, report).is_some()
        && let Some(server) = context.facts.server(context.namespace, &spec.server_ref.name)
    {
        out_of_reach(spec, server, report);
    }
}

/// Warns where every declared tool that the grant speaks of asks for more than it gives.
fn out_of_reach(spec: &MCPAccessGrantSpec, server: &ServerFact, report: &mut Report) {
    let asked: Vec<(&Tool, Trust)> = server.tools.iter().filter_map(|tool| Some((tool, asked(spec, tool)?))).collect();
    // What is not declared asks for no trust where the server lets it be called; a virtual server's tools are elsewhere.
    if asked.is_empty() || server.undeclared_tools == Decision::Allow || server.tool_selector.is_some() {
        return;
    }
    let effect = |tool: &Tool| spec.allowed_side_effects.contains(&tool.side_effect.unwrap_or_default());
    if asked.iter().any(|(tool, trust)| *trust <= spec.max_trust && effect(tool)) {
        return;
    }
    let lowest = asked.iter().filter(|(tool, _)| effect(tool)).map(|(_, trust)| *trust).min();
    match lowest {
        Some(trust) => report
            .at("spec.maxTrust")
            .given(spec.max_trust)
            .must(format!("is too low for every tool of MCPServer '{}' that the grant names", server.name))
            .hint(format!("maxTrust: {trust}"))
            .warning(),
        None => report
            .at("spec.allowedSideEffects")
            .must(format!("has the side effect of no tool of MCPServer '{}' that the grant names", server.name))
            .hint(format!("allowedSideEffects: [{}]", asked[0].0.side_effect.unwrap_or_default()))
            .warning(),
    };
}

/// The trust that a call of the tool needs under the grant; none where the grant does not speak of it or denies it.
fn asked(spec: &MCPAccessGrantSpec, tool: &Tool) -> Option<Trust> {
    let matching = |decision: Decision| spec.tool_rules.iter().filter(move |rule| rule.decision == decision && glob(&rule.name, &tool.name));
    let all_others = spec.tool_rules.iter().all(|rule| rule.decision == Decision::Deny);
    let rule = matching(Decision::Allow).map(|rule| rule.required_trust.unwrap_or_default()).max();
    let rule = rule.or(all_others.then(Trust::default))?;
    matching(Decision::Deny).next().is_none().then(|| rule.max(tool.required_trust.unwrap_or_default()))
}
