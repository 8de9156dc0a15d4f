//! MCP0605 expired: `expiresAt` is in the past at creation, or beyond `access.maxGrantLifetime`.

use std::time::Duration;

use api::Effect;
use jiff::Timestamp;

use crate::facts::Operation;

use super::{Class, Context, GRANT, Meta, Need, Plain, Report, say};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0605", "expired", GRANT, Class::Structural)
        .summary("`expiresAt` is in the past at creation, or beyond `access.maxGrantLifetime`")
        .needs(&[Need::Time, Need::Policies])
        .mentioned_by(|spec| spec.access.as_ref().is_some_and(|access| access.max_grant_lifetime.is_some()))
        .never_ratchets(),
    check,
};

/// How far the clock of whoever wrote the grant may be ahead.
const SLACK: Duration = Duration::from_secs(60);

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.grant() else { return };
    let expires = spec.expires_at.as_ref().map(|time| time.0);
    let ceiling = context.selected().shortest(|access| access.max_grant_lifetime.as_ref());
    let changed = context.operation == Operation::Update
        && context.old_grant().is_some_and(|old| later(expires, old.expires_at.as_ref().map(|time| time.0)));
    if !(context.creating() || changed) || (expires.is_none() && ceiling.is_none()) {
        return;
    }
    let Some(now) = context.now(report) else { return };
    if let Some(expires) = expires.filter(|expires| context.creating() && *expires <= now) {
        report.at("spec.expiresAt").given(expires).must("must be in the future");
    }
    // A Deny that lasts takes nothing from anybody's safety.
    let Some((policy, most)) = ceiling.filter(|_| spec.effect == Effect::Allow) else { return };
    match expires {
        None => {
            report
                .at("spec.expiresAt")
                .must(format!("must be given: MCPPolicy '{policy}' allows grants of at most {}", say(most)))
                .by_policy();
        }
        Some(expires) if now.checked_add(most + SLACK).is_ok_and(|latest| expires > latest) => {
            report
                .at("spec.expiresAt")
                .given(expires)
                .must(format!("must be at most {} from now, the limit of MCPPolicy '{policy}'", say(most)))
                .by_policy();
        }
        Some(_) => {}
    }
}

/// Whether the first ends after the second; none never ends.
fn later(first: Option<Timestamp>, second: Option<Timestamp>) -> bool {
    match (first, second) {
        (Some(first), Some(second)) => first > second,
        (None, Some(_)) => true,
        (_, None) => false,
    }
}
