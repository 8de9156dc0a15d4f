//! Readiness as values: a part that must be done before the process may serve holds a [`Pending`]; dropping it says
//! that it is done. `/readyz` names what is still pending.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The readiness of a process. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    pending: BTreeMap<u64, String>,
    draining: bool,
}

/// One thing that is not done yet. Drop it when it is.
#[derive(Debug)]
#[must_use = "dropping it says that the part is ready"]
pub struct Pending {
    id: u64,
    of: Readiness,
}

impl Readiness {
    /// Registers something that must be done first, under the name that `/readyz` prints.
    pub fn register(&self, name: impl Into<String>) -> Pending {
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        state.pending.insert(id, name.into());
        Pending {
            id,
            of: self.clone(),
        }
    }

    /// From now on the process is not ready, whatever is done: it is about to stop.
    pub fn drain(&self) {
        self.state().draining = true;
    }

    /// What keeps the process from being ready; empty when it is ready.
    pub fn pending(&self) -> Vec<String> {
        let state = self.state();
        let mut names: Vec<String> = state.pending.values().cloned().collect();
        if state.draining {
            names.push("draining".to_owned());
        }
        names
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.of.state().pending.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_nothing_is_pending() {
        let readiness = Readiness::default();
        let certificate = readiness.register("certificate");
        let caches = readiness.register("caches");
        assert_eq!(readiness.pending(), ["certificate", "caches"]);
        drop(certificate);
        assert_eq!(readiness.pending(), ["caches"]);
        drop(caches);
        assert!(readiness.pending().is_empty());
    }

    #[test]
    fn a_draining_process_is_never_ready() {
        let readiness = Readiness::default();
        readiness.drain();
        assert_eq!(readiness.pending(), ["draining"]);
    }
}
