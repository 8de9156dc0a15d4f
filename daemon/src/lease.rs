//! Leader election by a `coordination.k8s.io/v1` Lease with compare-and-swap.
//!
//! Every write carries the `resourceVersion` that was read, so two candidates cannot both win. A holder counts as
//! gone when *we* have watched the same `(holder, renewTime)` for a whole lease duration on our own monotonic clock:
//! the rule of client-go, immune to clocks that differ between nodes.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use tokio_util::sync::CancellationToken;

/// How long a holder may stay silent.
pub const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew for this long gives up, before anybody else may take over.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often to try.
pub const RETRY: Duration = Duration::from_secs(2);

/// A candidate for a lease.
#[derive(Clone)]
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
}

/// The lease is ours until `lost` is cancelled.
#[derive(Debug)]
pub struct Held {
    /// Cancelled when the lease could not be renewed, or was released.
    pub lost: CancellationToken,
}

/// What was seen of the lease, and since when it has looked like that.
#[derive(Clone, Debug, PartialEq)]
struct Observed {
    holder: Option<String>,
    renewed: Option<Timestamp>,
    since: Instant,
}

/// What a candidate does next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Renew,
    TakeOver,
    Wait,
}

fn next_step(observed: &Observed, me: &str, now: Instant) -> Step {
    match observed.holder.as_deref() {
        Some(holder) if holder == me => Step::Renew,
        None | Some("") => Step::TakeOver,
        Some(_) if now.duration_since(observed.since) >= DURATION => Step::TakeOver,
        Some(_) => Step::Wait,
    }
}

fn observe(lease: &Lease, before: Option<&Observed>, now: Instant) -> Observed {
    let spec = lease.spec.clone().unwrap_or_default();
    let (holder, renewed) = (spec.holder_identity, spec.renew_time.map(|t| t.0));
    let since = before
        .filter(|b| b.holder == holder && b.renewed == renewed)
        .map_or(now, |b| b.since);
    Observed {
        holder,
        renewed,
        since,
    }
}

/// The lease as we write it over what was read; the `resourceVersion` stays, which makes it a compare-and-swap.
fn claimed(mut lease: Lease, me: &str, step: &Step, now: Timestamp) -> Lease {
    let mut spec = lease.spec.take().unwrap_or_default();
    if *step == Step::TakeOver {
        spec.acquire_time = Some(MicroTime(now));
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
    }
    spec.holder_identity = Some(me.to_owned());
    spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
    spec.renew_time = Some(MicroTime(now));
    lease.spec = Some(spec);
    lease
}

impl Candidate {
    /// A candidate under a name that no other process has; the pod's name plus random bits is one.
    pub fn new(client: kube::Client, namespace: &str, name: &str, identity: &str) -> Self {
        let mut random = [0_u8; 4];
        // Without randomness the pod's name alone is still unique among pods.
        let suffix = getrandom::fill(&mut random).map_or(0, |()| u32::from_be_bytes(random));
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: format!("{identity}_{suffix:08x}"),
        }
    }

    /// Waits until the lease is ours, then renews it in the background until it is lost or `shutdown` is cancelled;
    /// then it is released. `None` when `shutdown` came first.
    pub async fn acquire(self, shutdown: CancellationToken) -> Option<Held> {
        let mut observed = None;
        loop {
            match self.attempt(&mut observed).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => tracing::warn!(lease = self.name, %error, "cannot try for the lease"),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = shutdown.cancelled() => return None,
            }
        }
        tracing::info!(
            lease = self.name,
            identity = self.identity,
            "became the leader"
        );
        let lost = CancellationToken::new();
        let token = lost.clone();
        tokio::spawn(async move {
            self.keep(observed, shutdown).await;
            token.cancel();
        });
        Some(Held { lost })
    }

    /// Renews until that fails for [`RENEW_DEADLINE`], somebody else holds the lease, or `shutdown` is cancelled.
    async fn keep(&self, mut observed: Option<Observed>, shutdown: CancellationToken) {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = shutdown.cancelled() => return self.release().await,
            }
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.attempt(&mut observed)).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => {
                    return tracing::error!(lease = self.name, "lost the lease to somebody else");
                }
                Ok(Err(error)) => {
                    tracing::warn!(lease = self.name, %error, "cannot renew the lease");
                }
                Err(_) => {}
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return tracing::error!(
                    lease = self.name,
                    "gave up the lease: it could not be renewed in time"
                );
            }
        }
    }

    /// One read, one decision and at most one write. Whether the lease is ours now.
    async fn attempt(&self, observed: &mut Option<Observed>) -> kube::Result<bool> {
        let now = Timestamp::now();
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            let lease = claimed(self.empty(), &self.identity, &Step::TakeOver, now);
            return written(self.api.create(&PostParams::default(), &lease).await);
        };
        let seen = observe(&lease, observed.as_ref(), Instant::now());
        let step = next_step(&seen, &self.identity, Instant::now());
        *observed = Some(seen);
        if step == Step::Wait {
            return Ok(false);
        }
        let lease = claimed(lease, &self.identity, &step, now);
        written(
            self.api
                .replace(&self.name, &PostParams::default(), &lease)
                .await,
        )
    }

    async fn release(&self) {
        let released = async {
            let Some(mut lease) = self.api.get_opt(&self.name).await? else {
                return Ok(());
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            spec.holder_identity = None;
            self.api
                .replace(&self.name, &PostParams::default(), &lease)
                .await
                .map(drop)
        };
        match released.await {
            Ok(()) => tracing::info!(lease = self.name, "released the lease"),
            Err(error) => {
                tracing::warn!(lease = self.name, %error, "cannot release the lease; it expires by itself");
            }
        }
    }

    fn empty(&self) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec::default()),
        }
    }
}

/// A conflict means that somebody else was faster, which is no error.
fn written(result: kube::Result<Lease>) -> kube::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: Option<&str>, renewed: i64) -> Lease {
        Lease {
            metadata: ObjectMeta {
                resource_version: Some("7".to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_lease_that_somebody_renews_is_waited_for() {
        let start = Instant::now();
        let first = observe(&lease(Some("other"), 1), None, start);
        let later = start + DURATION * 2;
        let renewed = observe(&lease(Some("other"), 2), Some(&first), later);
        assert_eq!(next_step(&renewed, "me", later), Step::Wait);
    }

    #[test]
    fn a_lease_that_nobody_renewed_for_its_duration_on_our_clock_is_taken_over() {
        let start = Instant::now();
        let first = observe(&lease(Some("other"), 1), None, start);
        let same = observe(&lease(Some("other"), 1), Some(&first), start + DURATION / 2);
        assert_eq!(next_step(&same, "me", start + DURATION / 2), Step::Wait);
        assert_eq!(next_step(&same, "me", start + DURATION), Step::TakeOver);
    }

    #[test]
    fn a_renew_time_of_the_past_alone_is_no_reason_to_take_over() {
        let now = Instant::now();
        let old = observe(&lease(Some("other"), 0), None, now);
        assert_eq!(next_step(&old, "me", now), Step::Wait);
    }

    #[test]
    fn a_released_lease_is_taken_at_once_and_our_own_renewed() {
        let now = Instant::now();
        assert_eq!(
            next_step(&observe(&lease(None, 1), None, now), "me", now),
            Step::TakeOver
        );
        assert_eq!(
            next_step(&observe(&lease(Some("me"), 1), None, now), "me", now),
            Step::Renew
        );
    }

    #[test]
    fn every_write_carries_the_version_that_was_read() {
        let written = claimed(
            lease(Some("other"), 1),
            "me",
            &Step::TakeOver,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(written.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(written.spec.unwrap().lease_transitions, Some(1));
    }
}
