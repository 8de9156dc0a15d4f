//! When the CA changes, and in which order: the leader's decisions, pure but for randomness. Time comes from outside.
//!
//! 1. *Staged*: the next CA is in the Secret and in every `caBundle`; nobody signs with it.
//! 2. *Promoted*, once every `caBundle` has held it for [`SETTLE`]: replicas sign with it when they see it, each in its
//!    own time, and both CAs are trusted.
//! 3. *Retired*, [`OVERLAP`] later: the old one is no longer trusted.
//!
//! So whoever trusts the bundle before or after a step trusts every leaf that a replica serves around it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;

use super::authority::{Authority, Error, Root};
use super::contents::Contents;

/// How long the next CA stands in every `caBundle` before anybody signs with it: API servers learn of a changed
/// configuration by watch, within moments.
pub const SETTLE: Duration = Duration::from_secs(60);
/// How long the CA before the present one stays trusted: replicas change over within one poll, and connections that
/// the API server keeps open are not verified again. A replica that cannot read the Secret has this long to recover.
pub const OVERLAP: Duration = Duration::from_secs(60 * 60);

/// The Secret as this process last saw it whole. The leader writes it back when the Secret is lost.
pub type Known = Arc<ArcSwapOption<Contents>>;

/// The present moment on both clocks: certificates end by the wall clock, waiting is measured by one that never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time of day.
    pub wall: Timestamp,
    /// The monotonic clock of this process.
    pub steady: Instant,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            steady: Instant::now(),
        }
    }
}

/// What becomes of the Secret, and why.
#[derive(Clone, Debug)]
pub enum Step {
    /// There is no CA, and this process knows none: a first one, at once.
    Founded,
    /// The CA in use has ended: nobody trusts it any more, so its successor is used at once.
    Replaced,
    /// The Secret is gone or unusable: the CA in use is written back, and its successor beside it.
    Restored {
        /// What was wrong with the Secret.
        why: String,
    },
    /// The CA in use ends within a third of its life: its successor is made known.
    Staged,
    /// The successor is known everywhere: replicas sign with it.
    Promoted,
    /// The CA before the present one is no longer trusted.
    Retired,
}

/// The leader's memory. Lives as long as it leads: a new leader measures both waits anew, which can only prolong them.
#[derive(Debug, Default)]
pub struct Rotation {
    /// The next CA, and since when every `caBundle` has held it without interruption.
    settling: Option<(Root, Instant)>,
    /// The previous CA, and since when it has been seen beside the present one.
    overlapping: Option<(Root, Instant)>,
}

impl Rotation {
    /// What the Secret, which holds `found`, must hold now, and the step that leads there; no step when it stays as it
    /// is. `published` says whether every `caBundle` is the bundle of `found`.
    pub fn plan(
        &mut self,
        found: Result<Option<Contents>, Error>,
        known: Option<&Contents>,
        published: bool,
        now: Moment,
    ) -> Result<(Contents, Option<Step>), Error> {
        let contents = match found {
            Ok(Some(contents)) => contents,
            Ok(None) => {
                return restore(known, "it does not exist".to_owned(), now.wall);
            }
            Err(error) => return restore(known, error.to_string(), now.wall),
        };
        if contents.current.validity().is_over(now.wall) {
            return replace(&contents, now.wall);
        }
        if let Some(next) = &contents.next {
            if !published {
                self.settling = None;
                return Ok((contents, None));
            }
            return Ok(
                if lasted(&mut self.settling, next.root(), SETTLE, now.steady) {
                    (promoted(&contents, next), Some(Step::Promoted))
                } else {
                    (contents, None)
                },
            );
        }
        self.settling = None;
        if contents.current.validity().is_due(now.wall) {
            return Ok((staged(contents, now.wall)?, Some(Step::Staged)));
        }
        let Some(previous) = &contents.previous else {
            self.overlapping = None;
            return Ok((contents, None));
        };
        if lasted(&mut self.overlapping, previous, OVERLAP, now.steady) {
            let retired = Contents {
                previous: None,
                ..contents
            };
            return Ok((retired, Some(Step::Retired)));
        }
        Ok((contents, None))
    }
}

/// Whether `what` has been seen for the whole of `wait`; remembers since when.
fn lasted(seen: &mut Option<(Root, Instant)>, what: &Root, wait: Duration, now: Instant) -> bool {
    match seen {
        Some((before, since)) if before == what => now.duration_since(*since) >= wait,
        Some(_) | None => {
            *seen = Some((what.clone(), now));
            false
        }
    }
}

fn restore(
    known: Option<&Contents>,
    why: String,
    now: Timestamp,
) -> Result<(Contents, Option<Step>), Error> {
    match known {
        Some(known) if !known.current.validity().is_over(now) => {
            let contents = match known.next {
                Some(_) => known.clone(),
                None => staged(known.clone(), now)?,
            };
            Ok((contents, Some(Step::Restored { why })))
        }
        Some(_) | None => Ok((
            Contents::sole(Authority::generate(now)?),
            Some(Step::Founded),
        )),
    }
}

fn replace(ended: &Contents, now: Timestamp) -> Result<(Contents, Option<Step>), Error> {
    let next = ended.next.clone();
    let current = match next.filter(|next| !next.validity().is_over(now)) {
        Some(next) => next,
        None => Arc::new(Authority::generate(now)?),
    };
    let contents = Contents {
        current,
        next: None,
        previous: None,
    };
    Ok((contents, Some(Step::Replaced)))
}

fn staged(contents: Contents, now: Timestamp) -> Result<Contents, Error> {
    Ok(Contents {
        next: Some(Arc::new(Authority::generate(now)?)),
        ..contents
    })
}

fn promoted(contents: &Contents, next: &Arc<Authority>) -> Contents {
    Contents {
        current: Arc::clone(next),
        next: None,
        previous: Some(contents.current.root().clone()),
    }
}
