//! MCP0801 duplicate-tool: a tool name, prompt name, resource URI or path twice in what one virtual server selects.

use std::collections::BTreeMap;

use crate::items::{Claim, Item, Sort, Spec, others, own_labels};
use crate::policy::matches;

use super::{Class, Context, Kind, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new(
        "MCP0801",
        "duplicate-tool",
        &[Kind::Server, Kind::Tool, Kind::Prompt, Kind::Resource],
        Class::Structural,
    )
    .summary("the same tool name, prompt name, resource URI or `ingressPath` twice in what one virtual server selects")
    .needs(&[Need::Servers, Need::Tools]),
    check,
};

/// The most findings about one server: a selector that is too wide would bring hundreds.
const MOST: usize = 20;

fn check(context: &Context<'_>, report: &mut Report) {
    if let Some(spec) = Spec::judged(context) {
        let claims = spec.claims();
        within(&claims, report);
        against_others(context, &claims, report);
    } else if let Some((server, _)) = context.server()
        && let Some(selector) = &server.tool_selector
    {
        let Some(items) = others(context, report) else { return };
        selection(items.iter().filter(|item| matches(selector, item.labels())), report);
    }
}

/// The object against itself.
fn within(claims: &[Claim<'_>], report: &mut Report) {
    let mut first: BTreeMap<(Sort, &str), &str> = BTreeMap::new();
    for claim in claims {
        if let Some(field) = first.get(&claim.id()) {
            report
                .at(&claim.field)
                .given(claim.given)
                .must(format!("must be a {} that is not there twice: {field} says it already", claim.sort.as_str()))
                .hint("choose another, or take one of the two away");
        } else {
            first.insert(claim.id(), &claim.field);
        }
    }
}

/// The object against what every server that selects it selects besides.
fn against_others(context: &Context<'_>, claims: &[Claim<'_>], report: &mut Report) {
    let Some(servers) = context.other_servers(report) else { return };
    let labels = own_labels(context);
    let selecting: Vec<_> = servers
        .filter_map(|server| Some((server.name.as_str(), server.tool_selector.as_ref()?)))
        .filter(|(_, selector)| matches(selector, &labels))
        .collect();
    if selecting.is_empty() {
        return;
    }
    let Some(items) = others(context, report) else { return };
    // For each claim the first server in which somebody else makes it, and who.
    let mut taken: BTreeMap<usize, (&str, Item<'_>)> = BTreeMap::new();
    let wanted: BTreeMap<(Sort, &str), usize> =
        claims.iter().enumerate().map(|(index, claim)| (claim.id(), index)).collect();
    for item in &items {
        let Some((server, _)) = selecting.iter().find(|(_, selector)| matches(selector, item.labels())) else { continue };
        for theirs in item.spec.claims() {
            if let Some(index) = wanted.get(&theirs.id()) {
                taken.entry(*index).or_insert((*server, *item));
            }
        }
    }
    for (index, (server, item)) in taken {
        let claim = &claims[index];
        report
            .at(&claim.field)
            .given(claim.given)
            .must(format!(
                "must be a {} that nothing else in MCPServer '{server}' has: {} '{}' has it already",
                claim.sort.as_str(),
                item.kind,
                item.name
            ))
            .hint(format!("choose another, or labels that the toolSelector of MCPServer '{server}' does not match"));
    }
}

/// A server against itself.
fn selection<'a>(items: impl Iterator<Item = &'a Item<'a>>, report: &mut Report) {
    let mut first: BTreeMap<(Sort, String), &Item<'_>> = BTreeMap::new();
    let mut found = 0;
    for item in items {
        for claim in item.spec.claims() {
            let key = (claim.sort, claim.key.clone().into_owned());
            let Some(other) = first.get(&key).filter(|other| (other.kind, other.name) != (item.kind, item.name)) else {
                first.entry(key).or_insert(item);
                continue;
            };
            found += 1;
            if found > MOST {
                return;
            }
            report
                .at("spec.toolSelector")
                .judging(&claim.key)
                .must(format!(
                    "must not select two objects of one {}: {} '{}' and {} '{}' both have '{}'",
                    claim.sort.as_str(),
                    other.kind,
                    other.name,
                    item.kind,
                    item.name,
                    claim.given
                ))
                .hint("choose a narrower selector, or give one of the two another name");
        }
    }
}
