//! MCP0306 replicas: replicas are out of bounds, or set together with `autoscaling`.

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0306", "replicas", SERVER, Class::Structural)
        .summary("replicas are out of bounds, or set together with `autoscaling`"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
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
}
