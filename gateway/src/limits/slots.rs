//! How many calls and streams there may be at a time: of one caller, and of all of them together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::Metrics;

/// Streams that one caller may keep open: standalone streams of sessions, and subscriptions.
pub const STREAMS_EACH: u32 = 64;
/// Streams of all callers together: half of the connections, so that calls still get in.
pub const STREAMS: u32 = 512;
/// Callers without a slot that are remembered, to save making them anew.
const IDLE: usize = 1024;

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A call: it ends.
    Call,
    /// A stream that stays open until somebody closes it.
    Stream,
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The caller has as many as he may have.
    Caller,
    /// All callers together have.
    All,
}

#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU32,
    streams: AtomicU32,
}

impl Counts {
    fn of(&self, purpose: Use) -> &AtomicU32 {
        match purpose {
            Use::Call => &self.calls,
            Use::Stream => &self.streams,
        }
    }

    fn is_idle(&self) -> bool {
        self.calls.load(Ordering::Relaxed) == 0 && self.streams.load(Ordering::Relaxed) == 0
    }
}

/// All slots.
#[derive(Debug)]
pub struct Slots {
    all: Counts,
    /// Also keeps two callers from entering at the same time; leaving needs no lock.
    callers: Mutex<HashMap<Box<str>, Arc<Counts>>>,
    metrics: Arc<Metrics>,
}

/// One slot, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    caller: Arc<Counts>,
    purpose: Use,
}

impl Slots {
    /// None taken.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            all: Counts::default(),
            callers: Mutex::default(),
            metrics,
        })
    }

    /// Takes a slot for `principal`, of whom there may be `each`, of `all`.
    pub fn enter(
        self: &Arc<Self>,
        purpose: Use,
        principal: &str,
        each: u32,
        all: u32,
    ) -> Result<Slot, Full> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.all.of(purpose).load(Ordering::Relaxed) >= all {
            return Err(Full::All);
        }
        let known = callers.get(principal).map(Arc::clone);
        let caller = known.unwrap_or_else(|| {
            if callers.len() >= IDLE {
                callers.retain(|_, counts| !counts.is_idle());
            }
            let new = Arc::<Counts>::default();
            callers.insert(principal.into(), Arc::clone(&new));
            new
        });
        if caller.of(purpose).load(Ordering::Relaxed) >= each {
            return Err(Full::Caller);
        }
        caller.of(purpose).fetch_add(1, Ordering::Relaxed);
        self.all.of(purpose).fetch_add(1, Ordering::Relaxed);
        if purpose == Use::Stream {
            self.metrics.stream_opened();
        }
        Ok(Slot {
            slots: Arc::clone(self),
            caller,
            purpose,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.caller.of(self.purpose).fetch_sub(1, Ordering::Relaxed);
        self.slots
            .all
            .of(self.purpose)
            .fetch_sub(1, Ordering::Relaxed);
        if self.purpose == Use::Stream {
            self.slots.metrics.stream_closed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> Arc<Slots> {
        Slots::new(Arc::new(Metrics::new().0))
    }

    #[test]
    fn a_caller_and_all_together_have_so_many_and_no_more() {
        let slots = slots();
        let enter = |who| slots.enter(Use::Call, who, 2, 3);
        let first = enter("alice").unwrap();
        let _second = enter("alice").unwrap();
        assert_eq!(enter("alice").unwrap_err(), Full::Caller);
        let _third = enter("bob").unwrap();
        assert_eq!(enter("bob").unwrap_err(), Full::All);
        assert!(
            slots.enter(Use::Stream, "alice", 1, 1).is_ok(),
            "streams are counted apart"
        );
        drop(first);
        assert!(enter("alice").is_ok());
    }

    #[test]
    fn callers_who_left_are_forgotten() {
        let slots = slots();
        let kept = slots.enter(Use::Stream, "kept", 1, 1).unwrap();
        for number in 0..3 * IDLE {
            drop(slots.enter(Use::Call, &number.to_string(), 1, 1).unwrap());
        }
        assert!(slots.callers.lock().unwrap().len() <= IDLE);
        assert!(
            slots.enter(Use::Stream, "kept", 1, 2).is_err(),
            "who is there is not"
        );
        drop(kept);
    }
}
