//! MCP0306 replicas: replicas are out of bounds, or set together with `autoscaling`; several without affinity are a warning.

use api::{MCPServerSpec, Transport};

use crate::effective::Effective;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0306", "replicas", SERVER, Class::Structural)
        .summary("replicas are out of bounds, or set together with `autoscaling`; several without affinity or Redis are a warning"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    if let Some(autoscaling) = &spec.autoscaling
        && let Some(fewest) = autoscaling.min_replicas.filter(|fewest| *fewest > autoscaling.max_replicas)
    {
        report
            .at("spec.autoscaling.minReplicas")
            .given(fewest)
            .judging(&autoscaling.max_replicas.to_string())
            .must(format!("must not be above maxReplicas, which is {}", autoscaling.max_replicas))
            .hint(format!("minReplicas: {}", autoscaling.max_replicas));
    }
    match spec.replicas {
        Some(replicas) if !(0..=1000).contains(&replicas) => {
            report.at("spec.replicas").given(replicas).must("must be from 0 to 1000");
        }
        Some(replicas) if spec.autoscaling.is_some() => {
            report
                .at("spec.replicas")
                .given(replicas)
                .must("must not be set together with autoscaling, which decides it")
                .hint("take replicas away");
        }
        Some(_) | None => {}
    }
    alone(spec, effective, report);
}

/// Several pods, and nothing that keeps a session on its pod or shares it.
fn alone(spec: &MCPServerSpec, effective: &Effective, report: &mut Report) {
    let (field, most) = match &spec.autoscaling {
        Some(autoscaling) => ("spec.autoscaling.maxReplicas", autoscaling.max_replicas),
        None => ("spec.replicas", effective.replicas),
    };
    let held = spec.session_affinity.as_deref() == Some("ClientIP") || spec.redis.is_some();
    let stateful = effective.gateway.enabled || effective.transport == Transport::Stdio;
    if most > 1 && stateful && !held {
        report
            .at(field)
            .given(most)
            .must("is above 1, and an MCP session lives in one pod: its client may reach another")
            .hint("sessionAffinity: ClientIP")
            .warning();
    }
}
