//! Events about certificates: a step of the CA's rotation, and a certificate that nobody renewed in time.
//!
//! An event that cannot be written is only logged; what it says is in the log and in the metrics too. A warning is
//! tried again at the next look, because what it warns of goes on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::authority::Validity;
use super::rotation::{Moment, Step};

/// How often the same warning is repeated.
const REPEAT: Duration = Duration::from_secs(60 * 60);

/// Writes events in the webhook's namespace.
pub struct Announcer {
    recorder: Recorder,
    namespace: String,
    pod: String,
    /// Which certificate was last warned of, and when.
    warned: Mutex<Option<(&'static str, Instant)>>,
}

impl Announcer {
    /// An announcer for the replica that runs as `pod`.
    pub fn new(client: Client, namespace: &str, pod: &str) -> Self {
        let reporter = Reporter {
            controller: api::names::WEBHOOK.to_owned(),
            instance: Some(pod.to_owned()),
        };
        Self {
            recorder: Recorder::new(client, reporter),
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            warned: Mutex::default(),
        }
    }

    /// The CA took a step.
    pub async fn stepped(&self, step: &Step, ends: Timestamp) {
        let (type_, reason, note) = described(step, ends);
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: "RotateCertificateAuthority".to_owned(),
            secondary: None,
        };
        self.publish(event, "Secret", api::names::WEBHOOK_CA_SECRET)
            .await;
    }

    /// Warns, once an hour, when `which` (`leaf` or `ca`) should have been renewed long ago.
    pub async fn watch(&self, which: &'static str, validity: Validity, now: Moment) {
        if !validity.is_overdue(now.wall) || !self.is_news(which, now.steady) {
            return;
        }
        tracing::error!(certificate = which, not_after = %validity.not_after, "nobody renewed the certificate in time");
        let event = Event {
            type_: EventType::Warning,
            reason: "CertificateExpiring".to_owned(),
            note: Some(format!(
                "the webhook's {which} certificate ends on {}, and nobody renewed it: see the log of this pod, and run kubectl mcp check",
                validity.not_after
            )),
            action: "RenewCertificate".to_owned(),
            secondary: None,
        };
        if !self.publish(event, "Pod", &self.pod).await {
            *self.last_warning() = None;
        }
    }

    fn is_news(&self, which: &'static str, now: Instant) -> bool {
        let mut warned = self.last_warning();
        let news =
            warned.is_none_or(|(last, at)| last != which || now.duration_since(at) >= REPEAT);
        if news {
            *warned = Some((which, now));
        }
        news
    }

    fn last_warning(&self) -> MutexGuard<'_, Option<(&'static str, Instant)>> {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was written.
    async fn publish(&self, event: Event, kind: &str, name: &str) -> bool {
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(kind.to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        };
        let written = self.recorder.publish(&event, &about).await;
        if let Err(error) = &written {
            tracing::warn!(%error, reason = event.reason, "cannot write an event");
        }
        written.is_ok()
    }
}

/// Type, reason and note of the event for a step; `ends` is the end of the CA that replicas now sign with.
fn described(step: &Step, ends: Timestamp) -> (EventType, &'static str, String) {
    match step {
        Step::Founded => (
            EventType::Normal,
            "CertificateAuthorityMade",
            format!("made the first certificate authority, valid until {ends}"),
        ),
        Step::Replaced => (
            EventType::Warning,
            "CertificateAuthorityEnded",
            format!(
                "the certificate authority had ended and was replaced at once; the new one is valid until {ends}"
            ),
        ),
        Step::Restored { why } => (
            EventType::Warning,
            "CertificateAuthorityRestored",
            format!(
                "the Secret could not be used ({why}): wrote back the certificate authority in use, and its successor"
            ),
        ),
        Step::Staged => (
            EventType::Normal,
            "CertificateAuthorityStaged",
            format!("the certificate authority ends on {ends}: made its successor known"),
        ),
        Step::Promoted => (
            EventType::Normal,
            "CertificateAuthorityRotated",
            format!("replicas sign with the new certificate authority, valid until {ends}"),
        ),
        Step::Retired => (
            EventType::Normal,
            "CertificateAuthorityRetired",
            "the previous certificate authority is no longer trusted".to_owned(),
        ),
    }
}
