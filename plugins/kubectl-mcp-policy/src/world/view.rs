//! The facts for the objects of one kind and namespace, three times: as known, blind and empty; see [`super::open`].

use std::sync::Arc;

use rules::{Facts, Known, PolicySet};

/// The facts for the objects of one kind and namespace.
pub(super) struct View {
    /// With all that is known.
    pub(super) known: Facts,
    /// Where some of that is not all there is.
    pub(super) open: Option<Open>,
}

pub(super) struct Open {
    /// As if nothing were known of what is incomplete.
    pub(super) blind: Facts,
    /// As if there were nothing of what is incomplete.
    pub(super) empty: Facts,
}

/// Puts a fact where it belongs.
pub(super) type Put<T> = fn(&mut Facts, Known<Arc<T>>);

/// The same facts three times: as known, blind and empty.
pub(super) struct Three {
    facts: [Facts; 3],
    differ: bool,
}

impl Three {
    pub(super) fn new(base: Facts) -> Self {
        Self {
            facts: [base.clone(), base.clone(), base],
            differ: false,
        }
    }

    /// Which policies certainly select the namespace, where the facts have some that only its labels could decide.
    pub(super) fn select(&mut self, certain: Arc<PolicySet>) {
        let [_, blind, _] = &mut self.facts;
        blind.selection = Some(certain);
        self.differ = true;
    }

    /// Sets a fact. `complete` says whether there is no more of it than `found`.
    pub(super) fn set<T: Default>(
        &mut self,
        found: &Arc<T>,
        is_empty: bool,
        complete: bool,
        put: Put<T>,
    ) {
        let [known, blind, empty] = &mut self.facts;
        let all = || Known::Known(Arc::clone(found));
        match (complete, is_empty) {
            (true, _) => {
                put(known, all());
                put(blind, all());
                put(empty, all());
            }
            (false, false) => {
                self.differ = true;
                put(known, all());
                put(empty, Known::Known(Arc::default()));
            }
            // Nothing is known of it, which is what the facts say already.
            (false, true) => {}
        }
    }

    pub(super) fn view(self) -> View {
        let [known, blind, empty] = self.facts;
        View {
            known,
            open: self.differ.then_some(Open { blind, empty }),
        }
    }
}
