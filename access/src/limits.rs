//! How much may be called: rate limits, calls at a time, and how long one may take. Carried by the bundle, so that a
//! change needs no new pod; the gateway counts.

use std::time::Duration;

use api::{RateLimit, RateLimitScope, duration};
use rules::Effective;
use rules::effective::{MAX_CONCURRENT_REQUESTS, REQUEST_TIMEOUT};
use serde::{Deserialize, Serialize};

/// The limits of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Token buckets. All that a call falls under must have a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateEntry>,
    /// Calls at a time, of all callers together, in one gateway.
    pub concurrent: u32,
    /// How long a call may take, from the arrival of the request to the end of its answer, in milliseconds.
    pub timeout_ms: u64,
}

/// One token bucket, or one for each subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateEntry {
    /// Who shares the bucket: `server`, `subject` or `tool`.
    pub scope: RateLimitScope,
    /// The tool, with scope `tool`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Tokens that come in `per_us`; at least 1.
    pub requests: u32,
    /// In microseconds; at least 1.
    pub per_us: u64,
    /// Tokens that fit; at least 1.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rates: Vec::new(),
            concurrent: MAX_CONCURRENT_REQUESTS,
            timeout_ms: millis(REQUEST_TIMEOUT),
        }
    }
}

impl Limits {
    /// Whether these are the limits of a server that says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl From<&Effective> for Limits {
    fn from(effective: &Effective) -> Self {
        Self {
            rates: effective.rate_limits.iter().filter_map(entry).collect(),
            concurrent: effective.requests.most,
            timeout_ms: millis(effective.requests.timeout).max(1),
        }
    }
}

/// What rules refuse limits nothing: a number below one, and what is no duration.
fn entry(limit: &RateLimit) -> Option<RateEntry> {
    let positive = |number: i32| u32::try_from(number).ok().filter(|number| *number > 0);
    let per = duration::parse(&limit.per).ok()?;
    Some(RateEntry {
        scope: limit.scope,
        tool: limit.tool.clone(),
        requests: positive(limit.requests)?,
        per_us: u64::try_from(per.as_micros()).ok().filter(|per| *per > 0)?,
        burst: positive(limit.burst.unwrap_or(limit.requests))?,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: i32, per: &str, burst: Option<i32>) -> RateLimit {
        RateLimit {
            requests,
            per: per.to_owned(),
            burst,
            ..RateLimit::default()
        }
    }

    #[test]
    fn a_bucket_holds_what_comes_in_its_time_unless_it_says_otherwise() {
        let found = entry(&limit(60, "1m", None)).unwrap();
        assert_eq!(
            (found.requests, found.per_us, found.burst),
            (60, 60_000_000, 60)
        );
        assert_eq!(entry(&limit(60, "1m", Some(5))).unwrap().burst, 5);
    }

    #[test]
    fn what_the_rules_refuse_is_no_limit() {
        for refused in [
            limit(0, "1m", None),
            limit(1, "0s", None),
            limit(1, "soon", None),
            limit(1, "1s", Some(-1)),
        ] {
            assert_eq!(entry(&refused), None, "{refused:?}");
        }
    }

    #[test]
    fn a_bundle_without_limits_has_the_usual_ones() {
        let limits = Limits::default();
        assert!(limits.is_default());
        assert_eq!(
            (limits.concurrent, limits.timeout()),
            (100, Duration::from_secs(600))
        );
    }
}
