//! What only the leader does: keeps the CA Secret, and the CA's certificate in the webhook configurations.
//!
//! The Secret is written by compare-and-swap, the configurations by server-side apply of `caBundle` alone, and nothing
//! is written that already stands there. A deleted Secret is written back, with a successor of the CA beside it; a
//! `caBundle` that somebody edited is put back. The configurations themselves belong to `kubectl mcp setup`.
//!
//! Two processes that both believe to lead do no harm. The configurations are read *before* the Secret and written only
//! in the version that was read: whoever computed a bundle from an older Secret meets a conflict, not a newer bundle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use daemon::Shutdown;
use daemon::lease::Candidate;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::json;

use super::announce::Announcer;
use super::authority;
use super::contents::Contents;
use super::rotation::{Known, Moment, Rotation};

/// How often the leader looks.
const POLL: Duration = Duration::from_secs(5);

/// Why one look could not be finished; the next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Secret could not be read.
    #[error("cannot read the Secret {name:?}: {source}", name = api::names::WEBHOOK_CA_SECRET)]
    ReadSecret {
        /// What the API server said.
        source: kube::Error,
    },
    /// The Secret could not be written.
    #[error("cannot write the Secret {name:?}: {source}", name = api::names::WEBHOOK_CA_SECRET)]
    WriteSecret {
        /// What the API server said.
        source: kube::Error,
    },
    /// No CA could be made.
    #[error(transparent)]
    Authority(authority::Error),
    /// A configuration could not be read.
    #[error("cannot read the {kind} {name:?}: {source}", name = api::names::WEBHOOK_NAME)]
    ReadConfiguration {
        /// Which of the two.
        kind: String,
        /// What the API server said.
        source: kube::Error,
    },
    /// A configuration could not be written.
    #[error("cannot write caBundle of the {kind} {name:?}: {source}", name = api::names::WEBHOOK_NAME)]
    WriteConfiguration {
        /// Which of the two.
        kind: String,
        /// What the API server said.
        source: kube::Error,
    },
}

/// The leader's view. Lives as long as it leads.
pub struct Publisher {
    client: Client,
    secrets: Api<Secret>,
    rotation: Rotation,
    known: Known,
    announcer: Arc<Announcer>,
}

/// What one look found.
#[derive(Debug)]
pub struct Seen {
    mutating: Option<MutatingWebhookConfiguration>,
    validating: Option<ValidatingWebhookConfiguration>,
    secret: Option<Secret>,
}

impl Seen {
    /// Whether every webhook has this bundle. A configuration that does not exist asks nobody.
    fn carries(&self, bundle: &ByteString) -> bool {
        let mutating = self.mutating.iter().flat_map(Configuration::clients);
        let validating = self.validating.iter().flat_map(Configuration::clients);
        mutating
            .chain(validating)
            .all(|(_, client)| client.ca_bundle.as_ref() == Some(bundle))
    }
}

/// Leads whenever the lease is ours, until the process stops.
pub async fn lead(
    client: Client,
    namespace: String,
    identity: String,
    known: Known,
    announcer: Arc<Announcer>,
    shutdown: Shutdown,
) {
    while !shutdown.draining.is_cancelled() {
        let candidate = Candidate::new(
            client.clone(),
            &namespace,
            api::names::WEBHOOK_NAME,
            &identity,
        );
        let Some(held) = candidate.acquire(shutdown.draining.clone()).await else {
            return;
        };
        let (known, announcer) = (Arc::clone(&known), Arc::clone(&announcer));
        let publisher = Publisher::new(client.clone(), &namespace, known, announcer);
        tokio::select! {
            // Also in the middle of a look: from now on somebody else writes.
            () = held.lost.cancelled() => {}
            () = publisher.run() => {}
        }
    }
}

impl Publisher {
    /// A publisher for the CA Secret of `namespace`.
    pub fn new(client: Client, namespace: &str, known: Known, announcer: Arc<Announcer>) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            client,
            rotation: Rotation::default(),
            known,
            announcer,
        }
    }

    async fn run(mut self) {
        loop {
            let looked = async {
                let seen = self.read().await?;
                self.act(seen, Moment::now()).await
            };
            if let Err(error) = looked.await {
                tracing::warn!(%error, "the certificate authority is not in order");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Reads what the leader is answerable for: the configurations first, see above.
    pub async fn read(&self) -> Result<Seen, Error> {
        Ok(Seen {
            mutating: self.configuration().await?,
            validating: self.configuration().await?,
            secret: self
                .secrets
                .get_opt(api::names::WEBHOOK_CA_SECRET)
                .await
                .map_err(|source| Error::ReadSecret { source })?,
        })
    }

    /// The writes that `seen` calls for. A conflict ends them: the next look sees what the other one wrote.
    pub async fn act(&mut self, seen: Seen, now: Moment) -> Result<(), Error> {
        let found = seen.secret.as_ref().map(read_contents).transpose();
        let mut published = false;
        if let Ok(Some(contents)) = &found {
            published = seen.carries(&contents.bundle());
            self.known.store(Some(Arc::new(contents.clone())));
        }
        let known = self.known.load_full();
        let (contents, step) = self
            .rotation
            .plan(found, known.as_deref(), published, now)
            .map_err(Error::Authority)?;
        if let Some(step) = step {
            tracing::info!(?step, "writing the CA Secret");
            if !self.write(seen.secret, &contents).await? {
                return Ok(());
            }
            self.known.store(Some(Arc::new(contents.clone())));
            let ends = contents.current.validity().not_after;
            self.announcer.stepped(&step, ends).await;
        }
        let bundle = contents.bundle();
        self.publish(seen.mutating, &bundle).await?;
        self.publish(seen.validating, &bundle).await
    }

    /// Whether the Secret is now what it must be; not, when somebody else was faster.
    async fn write(&self, found: Option<Secret>, contents: &Contents) -> Result<bool, Error> {
        let params = PostParams::default();
        let written = match found {
            None => self.secrets.create(&params, &fresh(contents)).await,
            Some(mut secret) => {
                secret.data = Some(contents.entries());
                let name = api::names::WEBHOOK_CA_SECRET;
                self.secrets.replace(name, &params, &secret).await
            }
        };
        done(written).map_err(|source| Error::WriteSecret { source })
    }

    async fn configuration<K: Configuration>(&self) -> Result<Option<K>, Error> {
        Api::<K>::all(self.client.clone())
            .get_opt(api::names::WEBHOOK_NAME)
            .await
            .map_err(|source| Error::ReadConfiguration {
                kind: K::kind(&()).into_owned(),
                source,
            })
    }

    async fn publish<K: Configuration>(
        &self,
        found: Option<K>,
        bundle: &ByteString,
    ) -> Result<(), Error> {
        let Some(patch) = found.and_then(|configuration| bundle_patch(&configuration, bundle))
        else {
            return Ok(());
        };
        // Forced, because whoever edited the field by hand owns it now.
        let params = PatchParams::apply(api::names::WEBHOOK).force();
        let written = Api::<K>::all(self.client.clone())
            .patch(api::names::WEBHOOK_NAME, &params, &Patch::Apply(&patch))
            .await;
        let kind = K::kind(&()).into_owned();
        if done(written).map_err(|source| Error::WriteConfiguration {
            kind: kind.clone(),
            source,
        })? {
            tracing::info!(kind, "wrote caBundle");
        }
        Ok(())
    }
}

/// A conflict means that somebody else was faster, which is no error.
fn done<K>(written: kube::Result<K>) -> kube::Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            tracing::debug!("somebody else wrote first: looking again");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// What a Secret holds.
pub(super) fn read_contents(secret: &Secret) -> Result<Contents, authority::Error> {
    Contents::read(secret.data.as_ref().unwrap_or(&BTreeMap::new()))
}

fn fresh(contents: &Contents) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(api::names::WEBHOOK_CA_SECRET.to_owned()),
            labels: Some(
                [(
                    api::names::PART_OF.to_owned(),
                    api::names::PROJECT.to_owned(),
                )]
                .into(),
            ),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(contents.entries()),
        ..Secret::default()
    }
}

/// A webhook configuration, of which only the names and the clients are looked at.
trait Configuration:
    Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
    + Clone
    + std::fmt::Debug
    + serde::de::DeserializeOwned
{
    fn clients(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl Configuration for MutatingWebhookConfiguration {
    fn clients(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks
            .iter()
            .flatten()
            .map(|hook| (hook.name.as_str(), &hook.client_config))
            .collect()
    }
}

impl Configuration for ValidatingWebhookConfiguration {
    fn clients(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks
            .iter()
            .flatten()
            .map(|hook| (hook.name.as_str(), &hook.client_config))
            .collect()
    }
}

/// `None` when every webhook of the configuration has the bundle already.
fn bundle_patch<K: Configuration>(
    configuration: &K,
    bundle: &ByteString,
) -> Option<serde_json::Value> {
    let clients = configuration.clients();
    if clients
        .iter()
        .all(|(_, client)| client.ca_bundle.as_ref() == Some(bundle))
    {
        return None;
    }
    let text = base64::engine::general_purpose::STANDARD.encode(&bundle.0);
    let hooks: Vec<_> = clients
        .iter()
        .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": text}}))
        .collect();
    Some(json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {
            "name": api::names::WEBHOOK_NAME,
            "resourceVersion": configuration.meta().resource_version,
        },
        "webhooks": hooks,
    }))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;

    use super::*;

    fn configuration(bundles: &[Option<&str>]) -> ValidatingWebhookConfiguration {
        let hook = |(at, bundle): (usize, Option<&str>)| ValidatingWebhook {
            name: format!("hook-{at}.kubectl-mcp.dev"),
            client_config: WebhookClientConfig {
                ca_bundle: bundle.map(|text| ByteString(text.as_bytes().to_vec())),
                ..WebhookClientConfig::default()
            },
            ..ValidatingWebhook::default()
        };
        let webhooks = Some(bundles.iter().copied().enumerate().map(hook).collect());
        ValidatingWebhookConfiguration {
            metadata: ObjectMeta {
                resource_version: Some("7".to_owned()),
                ..ObjectMeta::default()
            },
            webhooks,
        }
    }

    #[test]
    fn only_ca_bundle_is_written_and_only_when_it_differs() {
        let bundle = ByteString(b"ours".to_vec());
        assert_eq!(bundle_patch(&configuration(&[Some("ours")]), &bundle), None);
        let patch = bundle_patch(&configuration(&[Some("ours"), Some("edited")]), &bundle).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        let hooks = patch["webhooks"].as_array().unwrap();
        assert_eq!(hooks.len(), 2);
        for (at, hook) in hooks.iter().enumerate() {
            let name = format!("hook-{at}.kubectl-mcp.dev");
            assert_eq!(
                *hook,
                json!({"name": name, "clientConfig": {"caBundle": "b3Vycw=="}})
            );
        }
    }

    #[test]
    fn a_bundle_counts_as_published_when_every_webhook_has_it() {
        let bundle = ByteString(b"ours".to_vec());
        let seen = |validating: &[Option<&str>]| Seen {
            mutating: None,
            validating: Some(configuration(validating)),
            secret: None,
        };
        assert!(seen(&[Some("ours"), Some("ours")]).carries(&bundle));
        assert!(!seen(&[Some("ours"), None]).carries(&bundle));
    }
}
