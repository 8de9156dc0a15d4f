//! MCP0503 orphaned-rule: a tool goes, or gets another name, while grants still name it.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{Decision, Effect, MCPAccessGrant, ToolRule};

use crate::context::known;
use crate::facts::Operation;
use crate::finding::escape;
use crate::parse::name::glob;
use crate::parse::near::meant;
use crate::subject::is_live;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER, some_of};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0503", "orphaned-rule", SERVER, Class::Warning)
        .summary("a tool that was taken away or renamed is still named by grants")
        .needs(&[Need::Grants]),
    check,
};

/// The most tools of a server.
const MOST: usize = 512;
/// The most different patterns of grants that are looked at.
const PATTERNS: usize = 1024;
/// For how many tools a hint is looked for: each goes through all others by their letters.
const HINTED: usize = 8;

fn check(context: &Context<'_>, report: &mut Report) {
    let (Some((spec, _)), Some(old)) = (context.server(), context.old_server()) else { return };
    let names = |tools: &'_ [api::Tool]| -> BTreeSet<String> { tools.iter().map(|tool| tool.name.clone()).collect() };
    let (is, was) = (names(&spec.tools), names(&old.tools));
    // No server has more tools than the schema takes; more would only be a way to keep us busy.
    let removed: Vec<&String> = was.difference(&is).take(MOST).collect();
    if removed.is_empty() || context.operation != Operation::Update {
        return;
    }
    let Some(grants) = known(&context.facts.grants, Need::Grants, report) else { return };
    let now = context.facts.now.get().copied();
    let mine: Vec<_> = grants
        .iter()
        .filter(|grant| {
            grant.metadata.namespace.as_deref() == Some(context.namespace)
                && grant.spec.server_ref.name == context.name
                && is_live(grant, now)
        })
        .collect();
    let added: Vec<&str> = is.difference(&was).take(MOST).map(String::as_str).collect();
    let Some(left_alone) = patterns_without_tool(&mine, &is, report) else { return };
    let mut hints = HINTED;
    for name in removed {
        let naming: BTreeSet<&str> = left_alone.iter().copied().filter(|pattern| glob(pattern, name)).collect();
        if naming.is_empty() {
            continue;
        }
        let orphaned = |rule: &&ToolRule| naming.contains(rule.name.as_str());
        let naming: Vec<_> = mine.iter().filter(|grant| grant.spec.tool_rules.iter().any(|rule| orphaned(&rule))).collect();
        if naming.is_empty() {
            continue;
        }
        let names: Vec<&str> = naming.iter().filter_map(|grant| grant.metadata.name.as_deref()).collect();
        let lifted = naming.iter().any(|grant| grant.spec.tool_rules.iter().filter(orphaned).any(|rule| denies(grant, rule)));
        let why = if lifted { ": what they deny is denied no more under another name" } else { "" };
        let draft = report.at("spec.tools").given(name);
        draft.must(format!("is taken away while {} still name it{why}", some_of("grant", &names)));
        hints = hints.saturating_sub(1);
        let meant = (hints > 0).then(|| meant(name, added.iter().copied())).flatten();
        match meant {
            Some(new) => draft.hint(format!("if it is '{}' now: name that in their toolRules too", escape(new))),
            None => draft.hint(format!("kubectl mcp grant list --server {} -n {}", context.name, context.namespace)),
        };
    }
}

/// The patterns of the grants' rules that no remaining tool matches, each once: that is worked out before the removed tools
/// are gone through, because grants may have many rules. None where there are too many to look at.
fn patterns_without_tool<'a>(grants: &[&'a Arc<MCPAccessGrant>], tools: &BTreeSet<String>, report: &mut Report) -> Option<Vec<&'a str>> {
    let rules = grants.iter().flat_map(|grant| &grant.spec.tool_rules);
    let patterns: BTreeSet<&str> = rules.map(|rule| rule.name.as_str()).collect();
    if patterns.len() > PATTERNS {
        report.incomplete(format!("the grants have more than {PATTERNS} different rules"));
        return None;
    }
    let matched = |pattern: &str| {
        if pattern.contains('*') { tools.iter().take(MOST).any(|tool| glob(pattern, tool)) } else { tools.contains(pattern) }
    };
    Some(patterns.into_iter().filter(|pattern| !matched(pattern)).collect())
}

/// Whether the rule takes the tool away from somebody.
fn denies(grant: &MCPAccessGrant, rule: &ToolRule) -> bool {
    grant.spec.effect == Effect::Deny || rule.decision == Decision::Deny
}
