//! MCP0303 name-clash: an object derived from the name would be one of another server.

use api::names::DERIVED_SUFFIXES;

use crate::context::known;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0303", "name-clash", SERVER, Class::Structural)
        .summary("an object derived from the name would be one of another server")
        .needs(&[Need::Servers]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    if context.name.is_empty() {
        return;
    }
    let Some(servers) = known(&context.facts.servers, Need::Servers, report) else { return };
    // Looked up and not gone through: a namespace may have thousands of servers.
    let beginning = format!("{}-", context.name);
    let longer = servers.beginning_with(context.namespace, &beginning).filter(|other| derives(context.name, &other.name));
    let shorter = context
        .name
        .match_indices('-')
        .filter_map(|(end, _)| servers.get(context.namespace, &context.name[..end]))
        .filter(|other| derives(&other.name, context.name));
    for other in longer.chain(shorter) {
        report.at("metadata.name").given(context.name).judging(&other.name).must(format!(
            "must not be such that its objects have the names of those of MCPServer '{}'", other.name
        ));
    }
}

/// Whether `longer` is the name of an object derived from `name`: `name-canary`, or a shard `name-access-1`.
fn derives(name: &str, longer: &str) -> bool {
    let Some(rest) = longer.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')) else { return false };
    DERIVED_SUFFIXES.iter().any(|suffix| {
        rest.strip_prefix(suffix).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()))
        })
    })
}
