//! Rate limits counted in this process. They are what holds without Redis, and while it is gone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use access::RateEntry;
use api::RateLimitScope;

use super::Call;
use super::bucket::{Quota, Rate};
use crate::policy::View;

/// Subjects with a bucket that is not full, per limit. More of them share one bucket.
const SUBJECTS: usize = 10_000;

/// The buckets of all limits in force.
#[derive(Debug)]
pub struct Local {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The bundle that the buckets belong to.
    sequence: u64,
    buckets: Vec<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    entry: RateEntry,
    quota: Quota,
    /// When the bucket is full: the one that all share, or that of subjects beyond [`SUBJECTS`].
    shared: f64,
    /// The same of each subject, with scope `subject`.
    subjects: HashMap<Box<str>, f64>,
}

impl Default for Local {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            state: Mutex::default(),
        }
    }
}

impl Local {
    /// Takes a token from every bucket that the call falls under, or from none.
    ///
    /// # Errors
    /// How long to wait until there is one in each.
    pub fn take(&self, view: &View, call: &Call<'_>) -> Result<(), Duration> {
        let now = self.now();
        let mut state = self.state(view);
        let mut longest = 0.0_f64;
        for bucket in state.buckets.iter().filter(|bucket| bucket.counts(call)) {
            if let Err(wait) = bucket.quota.take(bucket.full(call), now) {
                longest = longest.max(wait);
            }
        }
        if longest > 0.0 {
            return Err(Duration::from_secs_f64(longest / 1e6));
        }
        state.charge(call, now);
        Ok(())
    }

    /// Takes the tokens that Redis has given, so that these buckets are no fuller when they have to stand in.
    pub fn charge(&self, view: &View, call: &Call<'_>) {
        let now = self.now();
        self.state(view).charge(call, now);
    }

    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64() * 1e6
    }

    /// The buckets, brought up to the newest bundle seen: a limit that is still the same keeps its counts.
    fn state(&self, view: &View) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if view.bundle.sequence > state.sequence {
            let mut old = std::mem::take(&mut state.buckets);
            state.buckets = view
                .rates
                .iter()
                .map(|rate| {
                    let known = old.iter().position(|bucket| bucket.entry == rate.entry);
                    known.map_or_else(|| Bucket::new(rate), |index| old.swap_remove(index))
                })
                .collect();
            state.sequence = view.bundle.sequence;
        }
        state
    }
}

impl State {
    fn charge(&mut self, call: &Call<'_>, now: f64) {
        for bucket in &mut self.buckets {
            if bucket.counts(call) {
                let full = bucket.quota.charge(bucket.full(call), now);
                bucket.set(call, full, now);
            }
        }
    }
}

impl Bucket {
    fn new(rate: &Rate) -> Self {
        Self {
            entry: rate.entry.clone(),
            quota: rate.quota,
            shared: 0.0,
            subjects: HashMap::new(),
        }
    }

    fn counts(&self, call: &Call<'_>) -> bool {
        call.falls_under(&self.entry)
    }

    fn full(&self, call: &Call<'_>) -> f64 {
        if self.entry.scope != RateLimitScope::Subject {
            return self.shared;
        }
        match self.subjects.get(call.principal) {
            Some(full) => *full,
            None if self.subjects.len() < SUBJECTS => 0.0,
            None => self.shared,
        }
    }

    fn set(&mut self, call: &Call<'_>, full: f64, now: f64) {
        if self.entry.scope != RateLimitScope::Subject {
            self.shared = full;
        } else if let Some(known) = self.subjects.get_mut(call.principal) {
            *known = full;
        } else {
            if self.subjects.len() >= SUBJECTS {
                // A full bucket says nothing.
                self.subjects.retain(|_, full| *full > now);
            }
            if self.subjects.len() >= SUBJECTS {
                self.shared = full;
            } else {
                self.subjects.insert(call.principal.into(), full);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use access::Settings;
    use api::{MCPServer, MCPServerSpec};

    use super::*;

    fn entry(scope: RateLimitScope, tool: Option<&str>, burst: u32) -> RateEntry {
        RateEntry {
            scope,
            tool: tool.map(str::to_owned),
            requests: burst,
            per_us: 3_600_000_000,
            burst,
        }
    }

    fn view(sequence: u64, rates: &[RateEntry]) -> View {
        let mut settings = Settings::new("team-a", "weather");
        settings.limits.rates = rates.to_vec();
        let server = MCPServer::new("weather", MCPServerSpec::default());
        let bundle = access::compile(&settings, &server, &[], &[], jiff::Timestamp::UNIX_EPOCH);
        View::new(bundle.with_sequence(sequence)).unwrap()
    }

    fn call<'c>(principal: &'c str, tool: &'c str) -> Call<'c> {
        Call {
            principal,
            tool: Some(tool),
        }
    }

    /// How many of ten calls pass.
    fn passing(local: &Local, view: &View, call: &Call<'_>) -> usize {
        (0..10).filter(|_| local.take(view, call).is_ok()).count()
    }

    #[test]
    fn each_subject_has_a_bucket_of_its_own() {
        let (local, view) = (
            Local::default(),
            view(1, &[entry(RateLimitScope::Subject, None, 2)]),
        );
        assert_eq!(passing(&local, &view, &call("alice", "echo")), 2);
        assert_eq!(passing(&local, &view, &call("bob", "echo")), 2);
    }

    #[test]
    fn a_tools_bucket_is_shared_by_all_and_by_no_other_tool() {
        let rates = [entry(RateLimitScope::Tool, Some("echo"), 3)];
        let (local, view) = (Local::default(), view(1, &rates));
        assert_eq!(passing(&local, &view, &call("alice", "echo")), 3);
        assert_eq!(passing(&local, &view, &call("bob", "echo")), 0);
        assert_eq!(passing(&local, &view, &call("alice", "other")), 10);
    }

    #[test]
    fn a_call_that_one_limit_refuses_takes_no_token_of_another() {
        let rates = [
            entry(RateLimitScope::Server, None, 5),
            entry(RateLimitScope::Tool, Some("echo"), 1),
        ];
        let (local, view) = (Local::default(), view(1, &rates));
        assert_eq!(passing(&local, &view, &call("alice", "echo")), 1);
        assert_eq!(passing(&local, &view, &call("alice", "other")), 4);
    }

    #[test]
    fn a_new_bundle_keeps_the_counts_of_limits_that_stay() {
        let stays = entry(RateLimitScope::Server, None, 5);
        let local = Local::default();
        assert_eq!(
            passing(
                &local,
                &view(1, std::slice::from_ref(&stays)),
                &call("alice", "echo")
            ),
            5
        );
        let more = view(2, &[entry(RateLimitScope::Subject, None, 9), stays]);
        assert_eq!(passing(&local, &more, &call("alice", "echo")), 0);
        let raised = view(3, &[entry(RateLimitScope::Server, None, 7)]);
        assert_eq!(passing(&local, &raised, &call("alice", "echo")), 7);
        assert_eq!(
            passing(&local, &more, &call("alice", "echo")),
            0,
            "an older view changes nothing"
        );
    }

    #[test]
    fn more_subjects_than_there_is_room_for_share_one_bucket() {
        let (local, view) = (
            Local::default(),
            view(1, &[entry(RateLimitScope::Subject, None, 2)]),
        );
        for number in 0..SUBJECTS {
            assert!(
                local
                    .take(&view, &call(&number.to_string(), "echo"))
                    .is_ok()
            );
        }
        assert_eq!(passing(&local, &view, &call("late", "echo")), 2);
        assert_eq!(passing(&local, &view, &call("later", "echo")), 0);
        assert_eq!(
            passing(&local, &view, &call("0", "echo")),
            1,
            "who has a bucket keeps it"
        );
    }
}
