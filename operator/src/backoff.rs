//! Exponential backoff per object: kube has none, and a constant requeue either hammers or sleeps.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// Failures in a row, by `kind/namespace/name`.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// Notes a failure and says how long to wait.
    pub fn failed(&self, key: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.to_owned()).or_insert(0);
        let wait = FIRST.saturating_mul(1 << (*count).min(20)).min(LONGEST);
        *count = count.saturating_add(1);
        wait
    }

    /// Forgets the failures of an object that was reconciled, or is gone.
    pub fn succeeded(&self, key: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_up_to_five_minutes_and_a_success_forgets_it() {
        let backoff = Backoff::default();
        let waits: Vec<u64> = (0..4)
            .map(|_| u64::try_from(backoff.failed("a").as_millis()).unwrap())
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 4000]);
        assert_eq!(backoff.failed("b"), FIRST);
        for _ in 0..40 {
            backoff.failed("a");
        }
        assert_eq!(backoff.failed("a"), LONGEST);
        backoff.succeeded("a");
        assert_eq!(backoff.failed("a"), FIRST);
    }
}
