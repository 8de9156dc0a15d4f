//! What only the leader does: keeps the CA Secret, and the CA's certificate in the webhook configurations.
//!
//! The Secret is written by compare-and-swap, the configurations by server-side apply of `caBundle` alone, and nothing
//! is written that already stands there. A deleted Secret gets a new CA beside the one that the replicas still use; a
//! `caBundle` that somebody edited is put back. The configurations themselves belong to `kubectl mcp setup`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use daemon::Shutdown;
use daemon::lease::Candidate;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::json;

use super::authority::{self, Authority, PREVIOUS_KEY};

/// How often the leader looks.
const POLL: Duration = Duration::from_secs(5);
/// How long the CA before the present one stays trusted: replicas change over within two polls, and the API server's
/// pooled connections end after 90 s.
const OVERLAP: Duration = Duration::from_secs(600);

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
    /// The last CA that was seen: the one to trust on when its Secret is gone.
    known: Option<String>,
    /// Since when this leader has seen the previous CA beside the present one.
    overlap: Option<(String, Instant)>,
}

/// What must become of the Secret.
#[derive(Debug)]
enum Plan {
    /// Nothing.
    Keep,
    /// A new CA, with the certificate of the one before it where there is one.
    Renew {
        previous: Option<String>,
        why: String,
    },
    /// The present CA without the previous one.
    Settle,
}

/// Leads whenever the lease is ours, until the process stops.
pub async fn lead(client: Client, namespace: String, identity: String, shutdown: Shutdown) {
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
        let mut publisher = Publisher::new(client.clone(), &namespace);
        while !held.lost.is_cancelled() {
            if let Err(error) = publisher.look().await {
                tracing::warn!(%error, "the certificate authority is not in order");
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = held.lost.cancelled() => {}
            }
        }
    }
}

impl Publisher {
    /// A publisher for the CA Secret of `namespace`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            client,
            known: None,
            overlap: None,
        }
    }

    /// One look, and the writes that it calls for.
    pub async fn look(&mut self) -> Result<(), Error> {
        let secret = self
            .secrets
            .get_opt(api::names::WEBHOOK_CA_SECRET)
            .await
            .map_err(|source| Error::ReadSecret { source })?;
        let plan = self.plan(secret.as_ref(), Timestamp::now());
        let secret = self.carry_out(plan, secret).await?;
        let bundle = bundle(&secret);
        self.known = entry(&secret, authority::CERTIFICATE_KEY);
        publish::<MutatingWebhookConfiguration>(&self.client, &bundle).await?;
        publish::<ValidatingWebhookConfiguration>(&self.client, &bundle).await
    }

    fn plan(&mut self, secret: Option<&Secret>, now: Timestamp) -> Plan {
        let Some(secret) = secret else {
            return Plan::Renew {
                previous: self.known.clone(),
                why: "there is no CA Secret".to_owned(),
            };
        };
        let data = secret.data.clone().unwrap_or_default();
        match Authority::from_secret(&data) {
            Err(error) => Plan::Renew {
                previous: self.known.clone(),
                why: error.to_string(),
            },
            Ok(authority) if authority.validity().is_due(now) => Plan::Renew {
                previous: Some(authority.certificate().to_owned()),
                why: format!("the CA ends on {}", authority.validity().not_after),
            },
            Ok(_) => self.plan_overlap(secret),
        }
    }

    fn plan_overlap(&mut self, secret: &Secret) -> Plan {
        let Some(previous) = entry(secret, PREVIOUS_KEY) else {
            self.overlap = None;
            return Plan::Keep;
        };
        match &self.overlap {
            Some((seen, since)) if *seen == previous => {
                if since.elapsed() >= OVERLAP {
                    Plan::Settle
                } else {
                    Plan::Keep
                }
            }
            Some(_) | None => {
                self.overlap = Some((previous, Instant::now()));
                Plan::Keep
            }
        }
    }

    /// The Secret as it stands afterwards.
    async fn carry_out(&self, plan: Plan, found: Option<Secret>) -> Result<Secret, Error> {
        let data = match (plan, &found) {
            (Plan::Renew { previous, why }, _) => {
                tracing::info!(
                    why,
                    overlap = previous.is_some(),
                    "making a new certificate authority"
                );
                Authority::generate(Timestamp::now())
                    .map_err(Error::Authority)?
                    .to_secret(previous.as_deref())
            }
            (Plan::Settle, Some(secret)) => {
                tracing::info!("the previous certificate authority is no longer trusted");
                let mut data = secret.data.clone().unwrap_or_default();
                data.remove(PREVIOUS_KEY);
                data
            }
            (Plan::Keep | Plan::Settle, _) => return Ok(found.unwrap_or_default()),
        };
        let written = match found {
            None => {
                self.secrets
                    .create(&PostParams::default(), &fresh(data))
                    .await
            }
            Some(mut secret) => {
                secret.data = Some(data);
                self.secrets
                    .replace(
                        api::names::WEBHOOK_CA_SECRET,
                        &PostParams::default(),
                        &secret,
                    )
                    .await
            }
        };
        written.map_err(|source| Error::WriteSecret { source })
    }
}

fn fresh(data: std::collections::BTreeMap<String, ByteString>) -> Secret {
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
        data: Some(data),
        ..Secret::default()
    }
}

fn entry(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}

/// What clients of the webhook trust: the present CA, and the previous one while there is one.
fn bundle(secret: &Secret) -> ByteString {
    let parts = [authority::CERTIFICATE_KEY, PREVIOUS_KEY]
        .map(|key| entry(secret, key).unwrap_or_default());
    ByteString(parts.concat().into_bytes())
}

/// A webhook configuration, of which only the names and the clients are looked at.
trait Configuration: Resource<DynamicType = ()> {
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

async fn publish<K>(client: &Client, bundle: &ByteString) -> Result<(), Error>
where
    K: Configuration + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    K: Resource<Scope = k8s_openapi::ClusterResourceScope>,
{
    let kind = || K::kind(&()).into_owned();
    let api = Api::<K>::all(client.clone());
    let found = api
        .get_opt(api::names::WEBHOOK_NAME)
        .await
        .map_err(|source| Error::ReadConfiguration {
            kind: kind(),
            source,
        })?;
    let Some(patch) = found.and_then(|configuration| bundle_patch(&configuration, bundle)) else {
        return Ok(());
    };
    // Forced, because whoever edited the field by hand owns it now.
    let params = PatchParams::apply(api::names::WEBHOOK).force();
    api.patch(api::names::WEBHOOK_NAME, &params, &Patch::Apply(&patch))
        .await
        .map_err(|source| Error::WriteConfiguration {
            kind: kind(),
            source,
        })?;
    tracing::info!(kind = kind(), "wrote caBundle");
    Ok(())
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
        "metadata": {"name": api::names::WEBHOOK_NAME},
        "webhooks": hooks,
    }))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::now()
    }

    fn publisher() -> Publisher {
        let unused = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::empty()))
        });
        Publisher::new(Client::new(unused, "default"), "system")
    }

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
            webhooks,
            ..ValidatingWebhookConfiguration::default()
        }
    }

    #[tokio::test]
    async fn a_missing_secret_gets_a_new_ca_beside_the_one_in_use() {
        let mut publisher = publisher();
        assert!(matches!(
            publisher.plan(None, now()),
            Plan::Renew { previous: None, .. }
        ));
        publisher.known = Some("old".to_owned());
        assert!(
            matches!(publisher.plan(None, now()), Plan::Renew { previous: Some(old), .. } if old == "old")
        );
    }

    #[tokio::test]
    async fn a_good_secret_is_kept_and_an_unusable_or_old_one_replaced() {
        let mut publisher = publisher();
        let secret = fresh(Authority::generate(now()).unwrap().to_secret(None));
        assert!(matches!(publisher.plan(Some(&secret), now()), Plan::Keep));
        let in_two_years = Timestamp::from_second(now().as_second() + 2 * 365 * 86400).unwrap();
        assert!(matches!(
            publisher.plan(Some(&secret), in_two_years),
            Plan::Renew {
                previous: Some(_),
                ..
            }
        ));
        let junk = fresh([("tls.crt".to_owned(), ByteString(b"junk".to_vec()))].into());
        assert!(matches!(
            publisher.plan(Some(&junk), now()),
            Plan::Renew { .. }
        ));
    }

    #[tokio::test]
    async fn the_previous_ca_stays_trusted_for_the_overlap_and_then_goes() {
        let mut publisher = publisher();
        let old = Authority::generate(now()).unwrap();
        let secret = fresh(
            Authority::generate(now())
                .unwrap()
                .to_secret(Some(old.certificate())),
        );
        assert!(matches!(publisher.plan(Some(&secret), now()), Plan::Keep));
        assert!(
            String::from_utf8(bundle(&secret).0)
                .unwrap()
                .contains(old.certificate())
        );
        let (seen, since) = publisher.overlap.take().unwrap();
        publisher.overlap = since.checked_sub(OVERLAP).map(|since| (seen, since));
        assert!(matches!(publisher.plan(Some(&secret), now()), Plan::Settle));
    }

    #[test]
    fn only_ca_bundle_is_written_and_only_when_it_differs() {
        let bundle = ByteString(b"ours".to_vec());
        assert_eq!(bundle_patch(&configuration(&[Some("ours")]), &bundle), None);
        let patch = bundle_patch(&configuration(&[Some("ours"), Some("edited")]), &bundle).unwrap();
        let hooks = patch["webhooks"].as_array().unwrap();
        assert_eq!(hooks.len(), 2);
        for hook in hooks {
            assert_eq!(
                hook.as_object().unwrap().keys().collect::<Vec<_>>(),
                ["clientConfig", "name"]
            );
            assert_eq!(
                hook["clientConfig"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .collect::<Vec<_>>(),
                ["caBundle"]
            );
        }
    }
}
