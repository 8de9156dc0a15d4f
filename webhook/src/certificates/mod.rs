//! The certificate that the webhook serves, without cert-manager: a CA in a Secret ([`authority`]), published by the
//! leader ([`publish`]), and followed by every replica, which signs a leaf of its own in memory ([`follow`]).
//!
//! A provided certificate takes another road: `daemon::tls::follow_directory`. Nothing here serves HTTP.

pub mod authority;
pub mod publish;

use std::time::{Duration, Instant};

use daemon::Pending;
use daemon::tls::Certificate;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;

use crate::metrics::Metrics;
use authority::{Authority, PREVIOUS_KEY, Validity};

/// How often the CA Secret is looked at once there is a certificate.
const POLL: Duration = Duration::from_secs(5);
/// How often before that.
const IMPATIENT_POLL: Duration = Duration::from_millis(500);

/// What a replica signs its leaf with, and for whom.
pub struct Follower {
    secrets: Api<Secret>,
    names: Vec<String>,
    certificate: Certificate,
    metrics: Metrics,
    held: Option<Held>,
    /// A CA that was seen while the one in use is still trusted, and since when.
    next: Option<(String, Instant)>,
}

struct Held {
    authority: Authority,
    leaf: Validity,
}

impl Follower {
    /// A follower of the CA in `secrets` that keeps `certificate` valid for `names`.
    pub fn new(
        secrets: Api<Secret>,
        names: Vec<String>,
        certificate: Certificate,
        metrics: Metrics,
    ) -> Self {
        Self {
            secrets,
            names,
            certificate,
            metrics,
            held: None,
            next: None,
        }
    }

    /// Follows the CA forever. `pending` is dropped with the first certificate.
    pub async fn run(mut self, pending: Pending) {
        let mut pending = Some(pending);
        loop {
            self.look().await;
            if self.held.is_some() {
                pending = None;
            }
            tokio::time::sleep(if pending.is_some() {
                IMPATIENT_POLL
            } else {
                POLL
            })
            .await;
        }
    }

    /// One look at the Secret, and a new leaf where one is due. Whatever fails, the leaf in use stays.
    async fn look(&mut self) {
        match self.secrets.get_opt(api::names::WEBHOOK_CA_SECRET).await {
            Ok(Some(secret)) => {
                if let Err(error) = self.take(&secret, Timestamp::now()) {
                    tracing::error!(%error, "the CA Secret is not used");
                }
            }
            Ok(None) => tracing::info!("waiting for the leader to write the CA Secret"),
            Err(error) => tracing::warn!(%error, "cannot read the CA Secret"),
        }
        if let Err(error) = self.renew(Timestamp::now()) {
            tracing::error!(%error, "cannot renew the certificate");
        }
    }

    fn take(&mut self, secret: &Secret, now: Timestamp) -> Result<(), authority::Error> {
        let authority = Authority::from_secret(
            secret
                .data
                .as_ref()
                .unwrap_or(&std::collections::BTreeMap::new()),
        )?;
        if let Some(held) = &self.held {
            if held.authority.certificate() == authority.certificate() {
                self.next = None;
                return Ok(());
            }
            let previous = secret
                .data
                .as_ref()
                .and_then(|data| data.get(PREVIOUS_KEY))
                .map(|bytes| bytes.0.as_slice());
            let trusted = previous == Some(held.authority.certificate().as_bytes());
            if trusted && !self.is_settled(authority.certificate()) {
                return Ok(());
            }
        }
        self.metrics.expires("ca", authority.validity().not_after);
        self.sign(authority, now)
    }

    /// While the old CA is still trusted the new one is used only after a whole poll: by then its certificate
    /// stands in the webhook configurations.
    fn is_settled(&mut self, certificate: &str) -> bool {
        match &self.next {
            Some((seen, since)) if seen == certificate => since.elapsed() >= POLL,
            Some(_) | None => {
                self.next = Some((certificate.to_owned(), Instant::now()));
                false
            }
        }
    }

    fn renew(&mut self, now: Timestamp) -> Result<(), authority::Error> {
        let Some(held) = &mut self.held else {
            return Ok(());
        };
        if held.leaf.is_due(now) {
            held.leaf = install(
                &held.authority,
                &self.names,
                &self.certificate,
                &self.metrics,
                now,
            )?;
        }
        Ok(())
    }

    fn sign(&mut self, authority: Authority, now: Timestamp) -> Result<(), authority::Error> {
        let leaf = install(
            &authority,
            &self.names,
            &self.certificate,
            &self.metrics,
            now,
        )?;
        self.held = Some(Held { authority, leaf });
        self.next = None;
        Ok(())
    }
}

/// Signs a leaf and serves it from now on.
fn install(
    authority: &Authority,
    names: &[String],
    certificate: &Certificate,
    metrics: &Metrics,
    now: Timestamp,
) -> Result<Validity, authority::Error> {
    let leaf = authority.sign(names, now)?;
    certificate
        .replace(leaf.chain, leaf.key)
        .map_err(|error| authority::Error::Read(error.to_string()))?;
    metrics.expires("leaf", leaf.validity.not_after);
    tracing::info!(not_after = %leaf.validity.not_after, ?names, "signed a certificate");
    Ok(leaf.validity)
}

/// Reports forever when a provided certificate ends.
pub async fn report_expiry(certificate: Certificate, metrics: Metrics) {
    loop {
        if let Some(leaf) = certificate.leaf() {
            match Validity::of(&leaf) {
                Ok(validity) => metrics.expires("leaf", validity.not_after),
                Err(error) => tracing::warn!(%error, "cannot tell when the certificate ends"),
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests;
