//! Token buckets as arithmetic: the generic cell rate algorithm. Pure; the script for Redis does the same sums.
//!
//! A bucket is one number, the time at which it will be full again. A call moves it on by the interval between two
//! tokens, and is refused if that would put it further into the future than the bucket has room. Times are
//! microseconds since any moment that does not move.

use access::RateEntry;
use sha2::{Digest as _, Sha256};

/// How fast a bucket fills, and how much fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Between two tokens, in microseconds.
    pub interval: f64,
    /// The time in which an empty bucket fills, in microseconds.
    pub room: f64,
}

/// A rate limit with what every call asks of it prepared.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// As the bundle says it.
    pub entry: RateEntry,
    /// The same as numbers.
    pub quota: Quota,
    /// The key of its bucket in Redis, or the beginning of the keys. Another limit has another key.
    pub key: String,
}

impl Rate {
    /// All rate limits of a bundle.
    pub fn all(bundle: &access::Bundle) -> Vec<Self> {
        let slot = format!("mcp:{{{}/{}}}:rl", bundle.namespace, bundle.server);
        let rates = bundle.limits.rates.iter();
        rates
            .map(|entry| {
                let definition = Sha256::digest(format!("{entry:?}").as_bytes());
                Self {
                    quota: Quota::of(entry),
                    key: format!("{slot}:{}", access::hex(&definition[..8])),
                    entry: entry.clone(),
                }
            })
            .collect()
    }
}

impl Quota {
    #[allow(
        clippy::cast_precision_loss,
        reason = "2^53 microseconds are 285 years"
    )]
    fn of(entry: &RateEntry) -> Self {
        let interval = entry.per_us as f64 / f64::from(entry.requests.max(1));
        Self {
            interval,
            room: interval * f64::from(entry.burst.max(1)),
        }
    }

    /// Takes a token at `now` from a bucket that is full at `full`: when it will be full then, or how long to wait.
    pub fn take(self, full: f64, now: f64) -> Result<f64, f64> {
        let next = self.charge(full, now);
        // A thousandth of a microsecond is what rounding may add up to.
        let wait = next - self.room - now;
        if wait > 1e-3 { Err(wait) } else { Ok(next) }
    }

    /// Takes a token whether or not there is one.
    pub fn charge(self, full: f64, now: f64) -> f64 {
        full.max(now) + self.interval
    }
}

#[cfg(test)]
mod tests {
    use api::RateLimitScope;
    use proptest::prelude::*;

    use super::*;

    fn quota(requests: u32, per_us: u64, burst: u32) -> Quota {
        Quota::of(&RateEntry {
            scope: RateLimitScope::Server,
            tool: None,
            requests,
            per_us,
            burst,
        })
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_one_token_per_interval() {
        let quota = quota(10, 1_000_000, 3);
        let mut full = 0.0;
        for _ in 0..3 {
            full = quota.take(full, 5_000_000.0).unwrap();
        }
        let wait = quota.take(full, 5_000_000.0).unwrap_err();
        assert!((wait - 100_000.0).abs() < 1.0, "{wait}");
        assert!(quota.take(full, 5_099_000.0).is_err());
        full = quota.take(full, 5_100_000.0).unwrap();
        assert!(quota.take(full, 5_100_000.0).is_err());
    }

    proptest! {
        #[test]
        fn no_span_of_time_sees_more_than_the_burst_and_what_came_in_it(
            requests in 1_u32..1000, per in 1_000_u64..100_000_000, burst in 1_u32..100,
            steps in proptest::collection::vec(0.0_f64..1_000_000.0, 1..400),
        ) {
            let quota = quota(requests, per, burst);
            let (mut full, mut now, mut taken) = (0.0, 1e12, 0.0);
            let began = now;
            for step in steps {
                now += step;
                if let Ok(next) = quota.take(full, now) {
                    full = next;
                    taken += 1.0;
                }
                let most = f64::from(burst) + (now - began) / quota.interval + 0.01;
                prop_assert!(taken <= most, "{} of {}", taken, most);
            }
        }
    }
}
