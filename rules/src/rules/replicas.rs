//! MCP0306 replicas: replicas are out of bounds, or set together with `autoscaling`.

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0306", "replicas", SERVER, Class::Structural)
        .summary("replicas are out of bounds, or set together with `autoscaling`"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let Some(replicas) = spec.replicas else { return };
    if !(0..=1000).contains(&replicas) {
        report.at("spec.replicas").given(replicas).must("must be from 0 to 1000");
    } else if spec.autoscaling.is_some() {
        report
            .at("spec.replicas")
            .given(replicas)
            .must("must not be set together with autoscaling, which decides it")
            .hint("take replicas away");
    } else if replicas > 1 && effective.gateway.enabled && spec.session_affinity.is_none() {
        report
            .at("spec.replicas")
            .given(replicas)
            .must("is above 1, and an MCP session lives in one pod: its client may reach another")
            .hint("sessionAffinity: ClientIP")
            .warning();
    }
}
