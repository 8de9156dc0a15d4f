//! MCP0316 limits: more servers, replicas, tools, cpu or memory than `limits`.

use api::{Limits, MCPPolicySpec};

use crate::parse::quantity::parse;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0316", "limits", SERVER, Class::Policy)
        .summary("more servers, replicas, tools, cpu or memory than `limits`")
        .needs(&[Need::Policies, Need::Servers])
        .mentioned_by(|spec| spec.limits.is_some()),
    check,
};

/// A field, how much there is of it, and the limit that a policy may have.
type Count = (&'static str, i32, fn(&Limits) -> Option<i32>);
/// A resource and the limit that a policy may have.
type Most = (&'static str, fn(&Limits) -> Option<&String>);

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let Some(policies) = context.policies(report) else { return };
    let tools = i32::try_from(spec.tools.len()).unwrap_or(i32::MAX);
    // Zero where nobody scales: below every limit.
    let most = spec.autoscaling.as_ref().map_or(0, |autoscaling| autoscaling.max_replicas);
    let counts: [Count; 3] = [
        ("spec.replicas", effective.replicas, |limits| limits.replicas),
        ("spec.autoscaling.maxReplicas", most, |limits| limits.replicas),
        ("spec.tools", tools, |limits| limits.tools_per_server),
    ];
    for (field, count, pick) in counts {
        if let Some((policy, most)) = policies.first(|spec| pick(spec.limits.as_ref()?).filter(|most| count > *most)) {
            report.at(field).given(count).must(format!("must be at most {most}, the limit of MCPPolicy '{policy}'"));
        }
    }
    let quantities: [Most; 2] =
        [("cpu", |limits| limits.cpu.as_ref()), ("memory", |limits| limits.memory.as_ref())];
    for (name, pick) in quantities {
        let Some(limit) = effective.resources.limits.as_ref().and_then(|limits| limits.get(name)) else { continue };
        let Ok(amount) = parse(&limit.0) else { continue };
        let above = policies.first(|spec| {
            let most = pick(spec.limits.as_ref()?)?;
            (amount > parse(most).ok()?).then_some(most)
        });
        if let Some((policy, most)) = above {
            report
                .at(format!("spec.resources.limits.{name}"))
                .given(&limit.0)
                .must(format!("must be at most {most}, the limit of MCPPolicy '{policy}'"))
                .hint(format!("{name}: {most}"));
        }
    }
    count_servers(context, report);
}

/// Only a new server can be one too many.
fn count_servers(context: &Context<'_>, report: &mut Report) {
    let most = |spec: &MCPPolicySpec| spec.limits.as_ref()?.servers_per_namespace;
    if !context.creating() || !context.selected().any(|spec| most(spec).is_some()) {
        return;
    }
    let Some(others) = context.other_servers(report) else { return };
    let count = others.count();
    let full = context.selected().first(|spec| most(spec).filter(|most| i32::try_from(count).unwrap_or(i32::MAX) >= *most));
    if let Some((policy, most)) = full {
        report.at("metadata.namespace").given(context.namespace).must(format!(
            "must have at most {most} servers, the limit of MCPPolicy '{policy}', and has {count}"
        ));
    }
}
