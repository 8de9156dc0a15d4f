//! What every reconciler shares: the client, the caches, the settings, the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::MCPPolicy;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource};
use rules::{Facts, Known, NamespaceFacts, Operation, PolicySet};

use crate::backoff::Backoff;
use crate::metrics::Metrics;
use crate::server::session_key;
use crate::watch::Caches;

/// What makes an Ingress ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum IngressReadiness {
    /// The load balancer has an address.
    Strict,
    /// The Ingress has rules: for clusters whose controller writes no address.
    Permissive,
}

/// The operator's flags, as far as reconcilers need them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the operator and the webhook run.
    pub system_namespace: String,
    /// Image of the gateway where no policy names another.
    pub gateway_image: String,
    /// Collector of the gateways' traces.
    pub otlp_endpoint: Option<String>,
    /// What makes an Ingress ready.
    pub ingress_readiness: IngressReadiness,
    /// Reconciles at a time, of each kind.
    pub workers: u16,
}

/// What every reconciler shares.
pub struct Context {
    /// For writes, and for the few reads that a cache cannot answer.
    pub client: Client,
    /// The cluster as last seen.
    pub caches: Caches,
    /// The operator's flags.
    pub settings: Settings,
    /// Counters and histograms.
    pub metrics: Metrics,
    /// Per object, how long to wait after an error.
    pub backoff: Backoff,
    /// The servers whose key is known to be there.
    pub session_keys: session_key::Known,
}

impl Context {
    /// Puts the parts together.
    pub fn new(client: Client, caches: Caches, settings: Settings, metrics: Metrics) -> Self {
        Self {
            client,
            caches,
            settings,
            metrics,
            backoff: Backoff::default(),
            session_keys: session_key::Known::default(),
        }
    }

    /// Labels of a namespace; none when it is not known (any more).
    pub fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.caches
            .namespaces
            .get(&ObjectRef::new(namespace))
            .and_then(|n| n.metadata.labels.clone())
            .unwrap_or_default()
    }

    /// Whether the object's namespace is being deleted: nothing can be made in it any more.
    pub fn is_ending<K: Resource<DynamicType = ()>>(&self, object: &K) -> bool {
        let namespace = object.meta().namespace.as_deref().unwrap_or_default();
        let namespace = self.caches.namespaces.get(&ObjectRef::new(namespace));
        namespace.is_some_and(|n| n.metadata.deletion_timestamp.is_some())
    }

    /// All policies.
    pub fn policies(&self) -> Vec<Arc<MCPPolicy>> {
        self.caches.policies.state()
    }

    /// The policies that a namespace is under.
    pub fn policy_set(&self, namespace: &str) -> PolicySet {
        PolicySet::select(
            &self.policies(),
            namespace,
            &self.namespace_labels(namespace),
        )
    }

    /// What the rules may look at when they judge an object of `namespace` again.
    pub fn facts(&self, namespace: Option<&str>) -> Facts {
        Facts {
            operation: Some(Operation::Live),
            now: Known::Known(Timestamp::now()),
            namespace: namespace.map_or(Known::Unknown, |name| {
                Known::from(NamespaceFacts {
                    name: name.to_owned(),
                    labels: self.namespace_labels(name),
                })
            }),
            policies: Known::from(self.policies()),
            ..Facts::default()
        }
    }
}
