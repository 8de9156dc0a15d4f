//! MCP0306 replicas: replicas are out of bounds, or set together with `autoscaling`.

use api::Transport;

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
    } else if replicas > 1 && effective.transport == Transport::Stdio && spec.session_affinity.is_none() && spec.redis.is_none() {
        report
            .at("spec.replicas")
            .given(replicas)
            .must("is above 1, and a client of a stdio server may reach another pod with every call")
            .hint("sessionAffinity: ClientIP")
            .warning();
    }
}
