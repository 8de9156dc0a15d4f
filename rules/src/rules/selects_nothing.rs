//! MCP0803 selects-nothing: the `toolSelector` of a virtual server matches no tool, prompt or resource.

use crate::items::{others, remedy};
use crate::parse::near::meant;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0803", "selects-nothing", SERVER, Class::Warning)
        .summary("`toolSelector` matches no tool, prompt or resource of the namespace, or has an operator that does not exist")
        .needs(&[Need::Tools]),
    check,
};

const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let Some(selector) = &spec.tool_selector else { return };
    let mut possible = true;
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let field = format!("spec.toolSelector.matchExpressions[{index}]");
        if !OPERATORS.contains(&requirement.operator.as_str()) {
            possible = false;
            let draft = report.at(format!("{field}.operator")).given(&requirement.operator);
            draft.must("must be In, NotIn, Exists or DoesNotExist: nothing is selected");
            if let Some(operator) = meant(&requirement.operator, OPERATORS) {
                draft.hint(format!("did you mean '{operator}'?"));
            }
        } else if requirement.operator == "In" && requirement.values.as_ref().is_none_or(Vec::is_empty) {
            possible = false;
            report
                .at(format!("{field}.values"))
                .must("must have a value with operator In: nothing is selected")
                .hint("operator: Exists");
        }
    }
    if !possible {
        return;
    }
    let Some(items) = others(context, report) else { return };
    let nearest = items
        .iter()
        .map(|item| (item.unmet(selector), item))
        .min_by_key(|(unmet, item)| (unmet.len(), item.kind, item.name));
    match nearest {
        None => {
            report.at("spec.toolSelector").must(format!(
                "matches nothing: namespace '{}' has no MCPTool, MCPPrompt and MCPResource (yet)",
                context.namespace
            ));
        }
        Some((unmet, item)) if !unmet.is_empty() => {
            let wanted: Vec<String> = unmet.iter().map(remedy).collect();
            let labels: Vec<String> = item.labels().iter().map(|(key, value)| format!("{key}: {value}")).collect();
            let labels = if labels.is_empty() { "no labels".to_owned() } else { labels.join(", ") };
            let draft = report.at("spec.toolSelector");
            draft.must(format!("matches no MCPTool, MCPPrompt and MCPResource of namespace '{}' (yet)", context.namespace));
            draft.hint(format!(
                "nearest is {} '{}' with {labels}; the selector wants {}",
                item.kind,
                item.name,
                wanted.join(", ")
            ));
        }
        Some(_) => {}
    }
}
