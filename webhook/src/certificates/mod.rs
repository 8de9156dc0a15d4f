//! The certificate that the webhook serves, without cert-manager: a CA in a Secret ([`authority`], [`contents`]), its
//! rotation ([`rotation`]), published by the leader ([`publish`]), and followed by every replica, which signs a leaf of
//! its own in memory ([`Follower`]).
//!
//! A provided certificate takes another road: `daemon::tls::follow_directory`. Nothing here serves HTTP.

pub mod announce;
pub mod authority;
pub mod contents;
pub mod publish;
pub mod rotation;

use std::sync::Arc;
use std::time::Duration;

use daemon::Pending;
use daemon::tls::Certificate;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;

use crate::metrics::Metrics;
use announce::Announcer;
use authority::{Authority, Validity};
use rotation::{Known, Moment};

/// How often the CA Secret is looked at once there is a certificate.
const POLL: Duration = Duration::from_secs(5);
/// How often before that.
const IMPATIENT_POLL: Duration = Duration::from_millis(500);
/// How long a look may take: the leaf must be renewed even if the API server never answers.
const LOOK: Duration = Duration::from_secs(10);

/// Keeps the certificate of one replica: signed by the CA in use, renewed in time.
pub struct Follower {
    names: Vec<String>,
    certificate: Certificate,
    metrics: Metrics,
    known: Known,
    held: Option<Held>,
}

struct Held {
    authority: Arc<Authority>,
    leaf: Validity,
}

impl Follower {
    /// A follower that keeps `certificate` valid for `names`, and remembers in `known` what the Secret held.
    pub fn new(
        names: Vec<String>,
        certificate: Certificate,
        metrics: Metrics,
        known: Known,
    ) -> Self {
        Self {
            names,
            certificate,
            metrics,
            known,
            held: None,
        }
    }

    /// Follows the CA in `secrets` forever. `pending` is dropped with the first certificate.
    pub async fn run(mut self, secrets: Api<Secret>, announcer: Arc<Announcer>, pending: Pending) {
        let mut pending = Some(pending);
        loop {
            self.look(&secrets).await;
            if let Some(held) = &self.held {
                pending = None;
                let now = Moment::now();
                announcer.watch("leaf", held.leaf, now).await;
                announcer.watch("ca", held.authority.validity(), now).await;
            }
            let pause = if pending.is_some() {
                IMPATIENT_POLL
            } else {
                POLL
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One look at the Secret, and a new leaf where one is due. Whatever fails, the leaf in use stays.
    async fn look(&mut self, secrets: &Api<Secret>) {
        let name = api::names::WEBHOOK_CA_SECRET;
        match tokio::time::timeout(LOOK, secrets.get_opt(name)).await {
            Ok(Ok(Some(secret))) => {
                if let Err(error) = self.take(&secret, Timestamp::now()) {
                    tracing::error!(%error, "the CA Secret is not used");
                }
            }
            Ok(Ok(None)) => tracing::info!("waiting for the leader to write the CA Secret"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot read the CA Secret"),
            Err(_) => tracing::warn!("cannot read the CA Secret: no answer within {LOOK:?}"),
        }
        if let Err(error) = self.renew(Timestamp::now()) {
            tracing::error!(%error, "cannot renew the certificate");
        }
    }

    /// Signs with the CA of the Secret if it is another than before. That the API server trusts it already is what
    /// the leader saw to before it put it there.
    fn take(&mut self, secret: &Secret, now: Timestamp) -> Result<(), authority::Error> {
        let contents = publish::read_contents(secret)?;
        let authority = Arc::clone(&contents.current);
        self.known.store(Some(Arc::new(contents)));
        let same = |held: &Held| held.authority.root() == authority.root();
        if self.held.as_ref().is_some_and(same) {
            return Ok(());
        }
        self.metrics.expires("ca", authority.validity().not_after);
        let leaf = self.install(&authority, now)?;
        self.held = Some(Held { authority, leaf });
        Ok(())
    }

    fn renew(&mut self, now: Timestamp) -> Result<(), authority::Error> {
        let due = self.held.take_if(|held| held.leaf.is_due(now));
        let Some(held) = due else {
            return Ok(());
        };
        let leaf = self.install(&held.authority, now);
        // A leaf that could not be renewed is tried again at the next look.
        self.held = Some(Held {
            leaf: *leaf.as_ref().unwrap_or(&held.leaf),
            authority: held.authority,
        });
        leaf.map(drop)
    }

    /// Signs a leaf and serves it from now on.
    fn install(&self, authority: &Authority, now: Timestamp) -> Result<Validity, authority::Error> {
        let leaf = authority.sign(&self.names, now)?;
        self.certificate
            .replace(leaf.chain, leaf.key)
            .map_err(|error| authority::Error::Read(error.to_string()))?;
        self.metrics.expires("leaf", leaf.validity.not_after);
        tracing::info!(not_after = %leaf.validity.not_after, names = ?self.names, "signed a certificate");
        Ok(leaf.validity)
    }
}

/// Reports forever when a provided certificate ends.
pub async fn report_expiry(certificate: Certificate, metrics: Metrics, announcer: Arc<Announcer>) {
    loop {
        let leaf = certificate.leaf();
        match leaf.as_ref().map(|leaf| Validity::of(leaf)) {
            Some(Ok(validity)) => {
                metrics.expires("leaf", validity.not_after);
                announcer.watch("leaf", validity, Moment::now()).await;
            }
            Some(Err(error)) => tracing::warn!(%error, "cannot tell when the certificate ends"),
            // It is about to be read: the metric should not wait a whole turn for it.
            None => {}
        }
        let pause = if leaf.is_some() { POLL } else { IMPATIENT_POLL };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
