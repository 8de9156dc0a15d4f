//! MCP0312 rollout: canary fields without Canary, surge and unavailable both zero, or no number or percentage.

use api::RolloutStrategy;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0312", "rollout", SERVER, Class::Structural)
        .summary("canary fields without Canary, surge and unavailable both zero, or no number or percentage"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let Some(rollout) = &spec.rollout else { return };
    if let Some(canary) = &rollout.canary {
        if effective.rollout != RolloutStrategy::Canary {
            report.at("spec.rollout.canary").must("must not be set without strategy: Canary");
        }
        if let Some(weight) = canary.weight.filter(|weight| !(0..=100).contains(weight)) {
            report.at("spec.rollout.canary.weight").given(weight).must("must be from 0 to 100");
        }
        if let Some(replicas) = canary.replicas.filter(|replicas| *replicas >= effective.replicas) {
            report.at("spec.rollout.canary.replicas").given(replicas).must("must be less than replicas");
        }
    }
    let mut zeros = 0;
    for (field, value) in [("maxUnavailable", &rollout.max_unavailable), ("maxSurge", &rollout.max_surge)] {
        let Some(value) = value else { continue };
        match amount(value) {
            Some(0) => zeros += 1,
            Some(_) => {}
            None => {
                report
                    .at(format!("spec.rollout.{field}"))
                    .given(text(value))
                    .must("must be a number such as 1 or a percentage such as 25%");
            }
        }
    }
    if zeros == 2 {
        report
            .at("spec.rollout.maxUnavailable")
            .given(0)
            .must("must not be zero when maxSurge is zero: no pod could ever be replaced")
            .hint("maxSurge: 1");
    }
}

fn amount(value: &IntOrString) -> Option<u32> {
    match value {
        IntOrString::Int(number) => u32::try_from(*number).ok(),
        IntOrString::String(text) => {
            let digits = text.strip_suffix('%')?;
            let number = digits.parse().ok()?;
            (digits.bytes().all(|b| b.is_ascii_digit()) && number <= 100).then_some(number)
        }
    }
}

fn text(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}
