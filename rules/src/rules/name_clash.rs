//! MCP0303 name-clash: an object derived from the name would be one of another server.

use api::names::DERIVED_SUFFIXES;

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
    let Some(others) = context.other_servers(report) else { return };
    for other in others {
        if derives(context.name, &other.name) || derives(&other.name, context.name) {
            report.at("metadata.name").given(context.name).judging(&other.name).must(format!(
                "must not be such that its objects have the names of those of MCPServer '{}'", other.name
            ));
        }
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
