//! The chain behind a decision: what each grant of the server says about it. For people; the gateway does not use it.

use api::Effect;
use jiff::Timestamp;

use crate::bundle::{Bundle, GrantEntry};
use crate::caller::Caller;
use crate::decide::{Item, Judge, Reach, Verdict, denies};

/// A decision with what every grant had to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision, the same as [`decide`](crate::decide()) gives.
    pub verdict: Verdict,
    /// One step for each grant in the bundle, in order of name.
    pub steps: Vec<Step>,
}

/// What one grant says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name of the grant.
    pub grant: String,
    /// Gives or takes away.
    pub effect: Effect,
    /// What it does to this item.
    pub outcome: Outcome,
    /// The same as a sentence.
    pub text: String,
}

/// What one grant does to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Over since the bundle was made.
    Expired,
    /// Speaks of somebody else.
    OtherSubject,
    /// Denies the item.
    Denies,
    /// Does not name the item.
    NotNamed,
    /// Names a tool that the server does not declare.
    Undeclared,
    /// Does not allow the side effect.
    SideEffect,
    /// Trust does not suffice.
    TrustTooLow,
    /// Covers the item.
    Covers,
}

/// Decides, and says what each grant had to do with it.
pub fn explain(bundle: &Bundle, caller: &Caller, item: &Item<'_>, now: Timestamp) -> Explanation {
    let judge = Judge::new(bundle, caller, now);
    let needs = judge.needs(item);
    let step = |grant: &GrantEntry| {
        let (outcome, text) = if grant.expires_at.is_some_and(|expiry| expiry <= now) {
            (Outcome::Expired, "has expired".to_owned())
        } else if !caller.identity.is_denied_as(&grant.subject) {
            other_subject(grant)
        } else if denies(grant, item) {
            (Outcome::Denies, format!("denies this {}", item.kind()))
        } else if grant.effect == Effect::Deny {
            (
                Outcome::NotNamed,
                format!("denies other things than this {}", item.kind()),
            )
        } else if !caller.identity.is(&grant.subject) {
            // It gives to a team that the caller is in, but does not call for.
            other_subject(grant)
        } else {
            reached(judge.reach(grant, item, needs), item, needs.side_effect)
        };
        Step {
            grant: grant.name.clone(),
            effect: grant.effect,
            outcome,
            text,
        }
    };
    Explanation {
        verdict: judge.decide(item),
        steps: bundle.grants.iter().map(step).collect(),
    }
}

fn other_subject(grant: &GrantEntry) -> (Outcome, String) {
    (
        Outcome::OtherSubject,
        format!("speaks of {}", grant.subject),
    )
}

fn reached(
    reach: Reach,
    item: &Item<'_>,
    side_effect: Option<api::SideEffect>,
) -> (Outcome, String) {
    match reach {
        Reach::NotGranted => (
            Outcome::NotNamed,
            format!("does not name this {}", item.kind()),
        ),
        Reach::Unknown => (
            Outcome::Undeclared,
            "names a tool that the server does not declare".to_owned(),
        ),
        Reach::SideEffect => {
            let effect = side_effect.map_or("unknown", api::SideEffect::as_str);
            (
                Outcome::SideEffect,
                format!("does not allow the side effect {effect}"),
            )
        }
        Reach::Trust { needed, available } => (
            Outcome::TrustTooLow,
            format!("gives trust {available} with this session, {needed} is needed"),
        ),
        Reach::Covers { available } => {
            (Outcome::Covers, format!("covers it with trust {available}"))
        }
    }
}
