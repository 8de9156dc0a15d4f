//! MCP0312 rollout: canary fields that do not fit, surge and unavailable both zero, or no number or percentage.

use api::{Canary, MCPServerSpec, RolloutStrategy};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::effective::{Effective, has_tag_or_digest};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0312", "rollout", SERVER, Class::Structural).summary(
        "canary fields without strategy Canary or out of range, as many canaries as replicas, surge and unavailable both \
         zero, or no number or percentage",
    ),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let Some(rollout) = &spec.rollout else { return };
    match &rollout.canary {
        Some(canary) => judge_canary(canary, spec, effective, report),
        None if effective.rollout == RolloutStrategy::Canary => {
            report
                .at("spec.rollout.canary")
                .must("must be given with strategy: Canary: there is no second version")
                .hint("canary: {imageTag: 1.3.0, weight: 10}");
        }
        None => {}
    }
    let mut zeros = 0;
    for (field, value) in [("maxUnavailable", &rollout.max_unavailable), ("maxSurge", &rollout.max_surge)] {
        let Some(value) = value else { continue };
        match amount(value) {
            Some(Amount { percent: true, number }) if number > 100 && field == "maxUnavailable" => {
                report
                    .at(format!("spec.rollout.{field}"))
                    .given(text(value))
                    .must("must be at most 100%")
                    .hint("maxUnavailable: 100%");
            }
            Some(amount) => zeros += u32::from(amount.number == 0),
            None => {
                let draft = report.at(format!("spec.rollout.{field}"));
                draft.given(text(value)).must("must be a number such as 1 or a percentage such as 25%");
                if let Some(meant) = meant(value) {
                    draft.hint(format!("{field}: {meant}"));
                }
            }
        }
    }
    if zeros == 2 {
        report
            .at("spec.rollout.maxUnavailable")
            .given(rollout.max_unavailable.as_ref().map(text).unwrap_or_default())
            .must("must not be zero when maxSurge is zero: no pod could ever be replaced")
            .hint("maxSurge: 1");
    }
}

fn judge_canary(canary: &Canary, spec: &MCPServerSpec, effective: &Effective, report: &mut Report) {
    const PATH: &str = "spec.rollout.canary";
    if effective.rollout != RolloutStrategy::Canary {
        report.at(PATH).must("must not be set without strategy: Canary").hint("strategy: Canary");
    }
    for (field, percent) in [("weight", canary.weight), ("maxErrorRate", canary.max_error_rate)] {
        if let Some(percent) = percent.filter(|percent| !(0..=100).contains(percent)) {
            report.at(format!("{PATH}.{field}")).given(percent).must("must be from 0 to 100");
        }
    }
    if let Some(replicas) = canary.replicas {
        // An autoscaler may go down to its minimum, which is 1 where nobody says.
        let (least, of) = match &spec.autoscaling {
            Some(autoscaling) => (autoscaling.min_replicas.unwrap_or(1), "autoscaling.minReplicas"),
            None => (effective.replicas, "replicas"),
        };
        if replicas < 0 || replicas >= least {
            let draft = report.at(format!("{PATH}.replicas")).given(replicas).judging(&least.to_string());
            draft.must(format!("must be from 0 to less than {of}, which is {least}: canaries are some of them"));
            if least > 1 {
                draft.hint(format!("replicas: {}", (least / 2).max(1)));
            } else {
                draft.hint(format!("{of}: {}", replicas.max(1).saturating_add(1)));
            }
        }
    }
    if let (Some(image), Some(tag)) = (&canary.image, &canary.image_tag)
        && has_tag_or_digest(image)
    {
        report
            .at(format!("{PATH}.imageTag"))
            .given(tag)
            .judging(image)
            .must("must not be set when the canary's image has a tag or a digest")
            .hint("take imageTag away");
    }
}

/// How many pods, or how many of a hundred.
struct Amount {
    number: u32,
    percent: bool,
}

fn amount(value: &IntOrString) -> Option<Amount> {
    match value {
        IntOrString::Int(number) => Some(Amount { number: u32::try_from(*number).ok()?, percent: false }),
        IntOrString::String(text) => {
            let digits = text.strip_suffix('%')?;
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let number = digits.parse().ok().filter(|number: &u32| plain && i32::try_from(*number).is_ok())?;
            Some(Amount { number, percent: true })
        }
    }
}

/// A number in quotes, or a percentage with a space, a sign or a fraction.
fn meant(value: &IntOrString) -> Option<String> {
    let IntOrString::String(text) = value else { return None };
    let text = text.trim();
    let (digits, sign) = text.strip_suffix('%').map_or((text, ""), |digits| (digits, "%"));
    let whole = digits.trim().trim_start_matches('+').split('.').next()?;
    let plain = !whole.is_empty() && whole.len() < 5 && whole.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| format!("{whole}{sign}"))
}

fn text(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}
