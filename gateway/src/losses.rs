//! What could not be delivered: counted always, logged at most once a minute. Used by the audit and by the traces.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;

/// How often losses are logged at most.
const EVERY: Duration = Duration::from_secs(60);

/// The losses of one destination. Clones share them.
#[derive(Clone, Debug)]
pub struct Losses {
    what: &'static str,
    counter: Counter,
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    since: u64,
}

impl Losses {
    /// Of `what`, as the log names it, counted by `counter`.
    pub fn new(what: &'static str, counter: Counter) -> Self {
        Self {
            what,
            counter,
            told: Arc::default(),
        }
    }

    /// So many are lost.
    pub fn add(&self, count: u64, why: &str) {
        if count == 0 {
            return;
        }
        self.counter.inc_by(count);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.since += count;
        if told.last.is_none_or(|last| last.elapsed() >= EVERY) {
            tracing::warn!(what = self.what, lost = told.since, why, "not delivered");
            *told = Told {
                last: Some(Instant::now()),
                since: 0,
            };
        }
    }
}
