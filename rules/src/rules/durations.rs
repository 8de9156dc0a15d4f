//! MCP0407 durations: no positive Go duration, an idle time above the lifetime, or beyond the policy's maximum.

use std::time::Duration;

use api::duration;

use crate::effective::MAX_SESSION_LIFETIME;
use crate::parse::meant;

use super::{Class, Context, Kind, Meta, Need, Plain, Report, say};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0407", "durations", &[Kind::Server, Kind::Policy], Class::Structural)
        .summary("no positive Go duration, an idle time above the lifetime, or beyond the policy's maximum")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.access.as_ref().is_some_and(|access| access.max_session_lifetime.is_some())),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    if let Some(spec) = context.policy() {
        let Some(access) = &spec.access else { return };
        for (field, text) in [
            ("maxGrantLifetime", &access.max_grant_lifetime),
            ("maxSessionLifetime", &access.max_session_lifetime),
            ("maxStaleness", &access.max_staleness),
        ] {
            read(&format!("spec.access.{field}"), text.as_ref(), report);
        }
    }
    let Some((spec, _)) = context.server() else { return };
    let session = spec.session.as_ref();
    let lifetime = read("spec.session.maxLifetime", session.and_then(|s| s.max_lifetime.as_ref()), report);
    let idle = read("spec.session.idleTimeout", session.and_then(|s| s.idle_timeout.as_ref()), report);
    read("spec.stdio.idleTimeout", spec.stdio.as_ref().and_then(|s| s.idle_timeout.as_ref()), report);
    read("spec.config.requestTimeout", spec.config.as_ref().and_then(|c| c.request_timeout.as_ref()), report);
    for (index, limit) in spec.rate_limits.iter().enumerate() {
        read(&format!("spec.rateLimits[{index}].per"), Some(&limit.per), report);
    }
    // A lifetime that nobody wrote is the default; an idle time that nobody wrote is nobody's mistake.
    let longest = if session.is_some_and(|s| s.max_lifetime.is_some()) { lifetime } else { Some(MAX_SESSION_LIFETIME) };
    if let (Some(idle), Some(longest)) = (idle, longest)
        && idle > longest
    {
        report
            .at("spec.session.idleTimeout")
            .given(say(idle))
            .must(format!("must not be above maxLifetime, which is {}", say(longest)))
            .hint(format!("idleTimeout: {}", say(longest)));
    }
    let Some(lifetime) = lifetime else { return };
    let Some(policies) = context.policies(report) else { return };
    if let Some((policy, most)) = policies.shortest(|access| access.max_session_lifetime.as_ref())
        && lifetime > most
    {
        report
            .at("spec.session.maxLifetime")
            .given(say(lifetime))
            .must(format!("must be at most {}, the limit of MCPPolicy '{policy}'", say(most)))
            .hint(format!("maxLifetime: {}", say(most)))
            .by_policy();
    }
}

fn read(field: &str, text: Option<&String>, report: &mut Report) -> Option<Duration> {
    let text = text?;
    match duration::parse(text) {
        Ok(duration) => Some(duration),
        Err(error) => {
            let draft = report.at(field).given(text).must(error.to_string());
            if let Some(meant) = meant::duration(text) {
                draft.hint(format!("did you mean '{meant}'?"));
            }
            None
        }
    }
}
