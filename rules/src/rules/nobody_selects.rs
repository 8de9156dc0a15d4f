//! MCP0802 nobody-selects: no virtual server selects the labels of a tool, a prompt or a resource.

use crate::items::{own_labels, remedy};
use crate::policy::{all_unmet, matches};

use super::{Class, Context, Kind, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0802", "nobody-selects", &[Kind::Tool, Kind::Prompt, Kind::Resource], Class::Warning)
        .summary("no `toolSelector` of the namespace matches the labels")
        .needs(&[Need::Servers]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(servers) = context.other_servers(report) else { return };
    let selectors: Vec<_> = servers.filter_map(|server| Some((&server.name, server.tool_selector.as_ref()?))).collect();
    let labels = own_labels(context);
    if selectors.iter().any(|(_, selector)| matches(selector, &labels)) {
        return;
    }
    let draft = report.at("metadata.labels");
    if !labels.is_empty() {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        draft.given(labels.join(","));
    }
    let nearest = selectors
        .iter()
        .map(|(name, selector)| (all_unmet(selector, &labels).collect::<Vec<_>>(), *name, *selector))
        .min_by_key(|(unmet, name, _)| (unmet.len(), *name));
    let Some((unmet, server, selector)) = nearest else {
        draft.must(format!("are matched by nobody: no MCPServer of namespace '{}' has a toolSelector (yet)", context.namespace));
        return;
    };
    draft.must(format!("are matched by the toolSelector of no MCPServer of namespace '{}' (yet)", context.namespace));
    // A slip that is easy to make: the tool's own labels are beside its name.
    if context.tool().is_some_and(|tool| matches(selector, &tool.labels)) {
        draft.hint(format!("MCPServer '{server}' matches spec.labels: write them to metadata.labels"));
    } else {
        let remedies: Vec<String> = unmet.iter().map(remedy).collect();
        draft.hint(format!("nearest is MCPServer '{server}', which wants {}", remedies.join(", ")));
    }
}
