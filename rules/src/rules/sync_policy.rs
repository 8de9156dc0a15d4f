//! MCP0902 sync-policy: how often a catalogue is read again is no duration, too often, or negative.

use std::time::Duration;

use api::duration;

use crate::parse::meant;

use super::{Class, Context, Kind, Meta, Plain, Report, say};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0902", "sync-policy", &[Kind::Registry], Class::Structural)
        .summary("`interval` or `backoffInterval` is no duration, `interval` is below 10s, or `maxAttempts` is negative"),
    check,
};

/// The shortest interval: sources are others' servers.
const SHORTEST: Duration = Duration::from_secs(10);

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(policy) = context.registry().and_then(|spec| spec.sync_policy.as_ref()) else { return };
    let interval = read("spec.syncPolicy.interval", policy.interval.as_ref(), report);
    if let (Some(interval), Some(text)) = (interval, &policy.interval)
        && interval < SHORTEST
    {
        report
            .at("spec.syncPolicy.interval")
            .given(text)
            .must(format!("must be {} or more", say(SHORTEST)))
            .hint(format!("interval: {}", say(SHORTEST)));
    }
    let Some(retry) = &policy.retry_policy else { return };
    read("spec.syncPolicy.retryPolicy.backoffInterval", retry.backoff_interval.as_ref(), report);
    if let Some(attempts) = retry.max_attempts.filter(|attempts| *attempts < 0) {
        report
            .at("spec.syncPolicy.retryPolicy.maxAttempts")
            .given(attempts)
            .must("must be 0 or more")
            .hint("maxAttempts: 0");
    }
}

fn read(field: &str, text: Option<&String>, report: &mut Report) -> Option<Duration> {
    let text = text?;
    match duration::parse(text) {
        Ok(duration) => Some(duration),
        Err(error) => {
            let hint = meant::duration(text).map_or("a number and a unit: 30s, 15m, 1h".to_owned(), |meant| format!("did you mean '{meant}'?"));
            report.at(field).given(text).must(error.to_string()).hint(hint);
            None
        }
    }
}
