//! The cluster as the operator sees it: one watch per kind, trimmed objects, and for each change the objects that
//! must be looked at again.
//!
//! A cache is written before its change is announced (see `follow`), so a reconcile never runs on older data than what
//! caused it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer, names};
use daemon::Readiness;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::follow::Follower;
use crate::metrics::Metrics;
use crate::policy::violations::Recount;

/// The cluster as last seen.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Caches {
    pub servers: Store<MCPServer>,
    pub grants: Store<MCPAccessGrant>,
    pub sessions: Store<MCPAgentSession>,
    pub policies: Store<MCPPolicy>,
    pub namespaces: Store<Namespace>,
    pub deployments: Store<Deployment>,
    pub services: Store<Service>,
    pub ingresses: Store<Ingress>,
    pub config_maps: Store<ConfigMap>,
    pub network_policies: Store<NetworkPolicy>,
    pub roles: Store<Role>,
    pub role_bindings: Store<RoleBinding>,
    pub service_accounts: Store<ServiceAccount>,
    pub pods: Store<Pod>,
    pub floors: Store<ValidatingAdmissionPolicy>,
    pub floor_bindings: Store<ValidatingAdmissionPolicyBinding>,
}

/// What must be looked at again, one queue per reconciled kind.
#[allow(missing_docs)]
pub struct Triggers {
    pub servers: UnboundedReceiver<ObjectRef<MCPServer>>,
    pub grants: UnboundedReceiver<ObjectRef<MCPAccessGrant>>,
    pub sessions: UnboundedReceiver<ObjectRef<MCPAgentSession>>,
    pub policies: UnboundedReceiver<ObjectRef<MCPPolicy>>,
    /// For the count of live objects that break a policy.
    pub recount: Recount,
}

/// Uid and generation of an object.
type Seen = (Option<String>, Option<i64>);

/// The sending ends of [`Triggers`], and the caches that say whom a change concerns.
#[derive(Clone)]
struct Announcer {
    servers: UnboundedSender<ObjectRef<MCPServer>>,
    grants: UnboundedSender<ObjectRef<MCPAccessGrant>>,
    sessions: UnboundedSender<ObjectRef<MCPAgentSession>>,
    policies: UnboundedSender<ObjectRef<MCPPolicy>>,
    all_servers: Store<MCPServer>,
    all_grants: Store<MCPAccessGrant>,
    all_policies: Store<MCPPolicy>,
    /// Uid and generation of each policy when servers were last told of it.
    told: Arc<Mutex<HashMap<String, Seen>>>,
    /// Told of every change that a count of violations may depend on.
    changed: Arc<Notify>,
}

impl Caches {
    /// Starts every watch. `/readyz` waits until each has listed once.
    pub fn start(client: &Client, readiness: &Readiness, metrics: &Metrics) -> (Self, Triggers) {
        let (servers, servers_writer) = store();
        let (grants, grants_writer) = store();
        let (sessions, sessions_writer) = store();
        let (policies, policies_writer) = store();
        let (to_servers, server_queue) = unbounded_channel();
        let (to_grants, grant_queue) = unbounded_channel();
        let (to_sessions, session_queue) = unbounded_channel();
        let (to_policies, policy_queue) = unbounded_channel();
        let announcer = Announcer {
            servers: to_servers,
            grants: to_grants,
            sessions: to_sessions,
            policies: to_policies,
            all_servers: servers.clone(),
            all_grants: grants.clone(),
            all_policies: policies.clone(),
            told: Arc::default(),
            changed: Arc::default(),
        };
        let recount = Recount {
            changed: Arc::clone(&announcer.changed),
            policies: announcer.policies.clone(),
        };
        let start = Start {
            client,
            readiness,
            metrics,
        };
        start.watch(
            servers_writer,
            watcher::Config::default(),
            announce(&announcer, Announcer::server),
        );
        start.watch(
            grants_writer,
            watcher::Config::default(),
            announce(&announcer, Announcer::grant),
        );
        start.watch(
            sessions_writer,
            watcher::Config::default(),
            announce(&announcer, Announcer::session),
        );
        start.watch(
            policies_writer,
            watcher::Config::default(),
            announce(&announcer, Announcer::policy),
        );
        let caches = Self {
            servers,
            grants,
            sessions,
            policies,
            namespaces: start.all(announce(&announcer, Announcer::namespace)),
            deployments: start.owned(&announcer),
            services: start.owned(&announcer),
            ingresses: start.owned(&announcer),
            config_maps: start.owned(&announcer),
            network_policies: start.owned(&announcer),
            roles: start.owned(&announcer),
            role_bindings: start.owned(&announcer),
            service_accounts: start.owned(&announcer),
            pods: start.owned(&announcer),
            floors: start.floor(&announcer),
            floor_bindings: start.floor(&announcer),
        };
        let triggers = Triggers {
            servers: server_queue,
            grants: grant_queue,
            sessions: session_queue,
            policies: policy_queue,
            recount,
        };
        (caches, triggers)
    }

    /// Returns when every cache has been filled once.
    pub async fn wait_until_ready(&self) {
        let Self {
            servers,
            grants,
            sessions,
            policies,
            namespaces,
            deployments,
            services,
            ingresses,
            config_maps,
            network_policies,
            roles,
            role_bindings,
            service_accounts,
            pods,
            floors,
            floor_bindings,
        } = self;
        // A writer is dropped only when the process ends, and then nobody waits any more.
        let _ = tokio::join!(
            servers.wait_until_ready(),
            grants.wait_until_ready(),
            sessions.wait_until_ready(),
            policies.wait_until_ready(),
            namespaces.wait_until_ready(),
            deployments.wait_until_ready(),
            services.wait_until_ready(),
            ingresses.wait_until_ready(),
            config_maps.wait_until_ready(),
            network_policies.wait_until_ready(),
            roles.wait_until_ready(),
            role_bindings.wait_until_ready(),
            service_accounts.wait_until_ready(),
            pods.wait_until_ready(),
            floors.wait_until_ready(),
            floor_bindings.wait_until_ready(),
        );
    }

    /// The grants of a server.
    pub fn grants_of(&self, namespace: &str, server: &str) -> Vec<Arc<MCPAccessGrant>> {
        self.grants.state_filter(|g| {
            g.namespace().as_deref() == Some(namespace) && g.spec.server_ref.name == server
        })
    }

    /// The sessions of a server.
    pub fn sessions_of(&self, namespace: &str, server: &str) -> Vec<Arc<MCPAgentSession>> {
        self.sessions.state_filter(|s| {
            s.namespace().as_deref() == Some(namespace) && s.spec.server_ref.name == server
        })
    }

    /// The pods of a server.
    pub fn pods_of(&self, namespace: &str, server: &str) -> Vec<Arc<Pod>> {
        self.pods.state_filter(|p| {
            p.namespace().as_deref() == Some(namespace)
                && p.labels().get(names::SERVER_LABEL).map(String::as_str) == Some(server)
        })
    }
}

/// Binds an announcer to one of its methods. A closed queue means that the process is ending.
fn announce<K>(
    announcer: &Announcer,
    tell: impl Fn(&Announcer, &K) + Send + 'static,
) -> impl Fn(&K) + Send + 'static {
    let announcer = announcer.clone();
    move |object| tell(&announcer, object)
}

impl Announcer {
    fn server(&self, server: &MCPServer) {
        let _ = self.servers.send(ObjectRef::from_obj(server));
        let (namespace, name) = (server.namespace(), server.name_any());
        for grant in self
            .all_grants
            .state_filter(|g| g.namespace() == namespace && g.spec.server_ref.name == name)
        {
            let _ = self.grants.send(ObjectRef::from_obj(grant.as_ref()));
        }
        self.changed.notify_one();
    }

    fn grant(&self, grant: &MCPAccessGrant) {
        self.changed.notify_one();
        let _ = self.grants.send(ObjectRef::from_obj(grant));
        self.server_named(grant.namespace().as_deref(), &grant.spec.server_ref.name);
    }

    fn session(&self, session: &MCPAgentSession) {
        self.changed.notify_one();
        let _ = self.sessions.send(ObjectRef::from_obj(session));
        self.server_named(
            session.namespace().as_deref(),
            &session.spec.server_ref.name,
        );
    }

    fn namespace(&self, namespace: &Namespace) {
        let name = namespace.name_any();
        for server in self
            .all_servers
            .state_filter(|s| s.namespace().as_deref() == Some(&name))
        {
            let _ = self.servers.send(ObjectRef::from_obj(server.as_ref()));
        }
        self.changed.notify_one();
    }

    /// A policy concerns every server, but its status does not: the operator itself writes that.
    fn policy(&self, policy: &MCPPolicy) {
        let reference = ObjectRef::from_obj(policy);
        let now = self.all_policies.get(&reference).map(|policy| {
            let meta = &policy.metadata;
            (meta.uid.clone(), meta.generation)
        });
        let before = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            match &now {
                Some(now) => told.insert(policy.name_any(), now.clone()),
                None => told.remove(&policy.name_any()),
            }
        };
        let _ = self.policies.send(reference);
        if before != now {
            self.all_servers();
            self.changed.notify_one();
        }
    }

    fn owned<K: Resource<DynamicType = ()>>(&self, object: &K) {
        if let Some(server) = object.labels().get(names::SERVER_LABEL) {
            self.server_named(object.namespace().as_deref(), server);
        }
    }

    /// A part of a policy's floor belongs to the policy.
    fn floor<K: Resource<DynamicType = ()>>(&self, object: &K) {
        let owners = object.owner_references().iter();
        for owner in owners.filter(|owner| owner.kind == MCPPolicy::kind(&())) {
            let _ = self.policies.send(ObjectRef::new(&owner.name));
        }
    }

    fn all_servers(&self) {
        for server in self.all_servers.state() {
            let _ = self.servers.send(ObjectRef::from_obj(server.as_ref()));
        }
    }

    fn server_named(&self, namespace: Option<&str>, name: &str) {
        if let Some(namespace) = namespace {
            let _ = self.servers.send(ObjectRef::new(name).within(namespace));
        }
    }
}

/// What a watch needs to start.
struct Start<'a> {
    client: &'a Client,
    readiness: &'a Readiness,
    metrics: &'a Metrics,
}

impl Start<'_> {
    /// Objects that the operator makes for servers.
    fn owned<K>(&self, announcer: &Announcer) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        self.managed(announce(announcer, Announcer::owned::<K>))
    }

    /// Objects that the operator makes for policies.
    fn floor<K>(&self, announcer: &Announcer) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        self.managed(announce(announcer, Announcer::floor::<K>))
    }

    /// Objects that the operator makes, by their label.
    fn managed<K>(&self, tell: impl Fn(&K) + Send + 'static) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (store, writer) = store();
        let config = watcher::Config::default().labels(&format!(
            "{}={}",
            names::MANAGED_BY,
            names::OPERATOR
        ));
        self.watch(writer, config, tell);
        store
    }

    /// All objects of a kind.
    fn all<K>(&self, tell: impl Fn(&K) + Send + 'static) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (store, writer) = store();
        self.watch(writer, watcher::Config::default(), tell);
        store
    }

    /// One watch, for as long as the process lives.
    fn watch<K>(
        &self,
        writer: Writer<K>,
        config: watcher::Config,
        tell: impl Fn(&K) + Send + 'static,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let kind = K::kind(&());
        let mut pending = Some(self.readiness.register(format!("cache of {kind}")));
        let api: Api<DeserializeGuard<K>> = Api::all(self.client.clone());
        let mut follower = Follower::new(writer, self.metrics.clone());
        tokio::spawn(async move {
            let mut events = watcher(api, config).default_backoff().boxed();
            loop {
                match events.try_next().await {
                    Ok(Some(event)) => {
                        let told = follower.take(event);
                        told.changed.iter().for_each(|object| tell(object));
                        if told.synced {
                            pending = None;
                        }
                    }
                    Ok(None) => return tracing::error!(%kind, "a watch ended"),
                    Err(error) => {
                        tracing::warn!(%kind, %error, synced = pending.is_none(), "a watch was interrupted");
                    }
                }
            }
        });
    }
}

/// A queue as the applier wants it.
pub fn queue<K>(
    receiver: UnboundedReceiver<ObjectRef<K>>,
) -> impl futures::Stream<Item = Result<ObjectRef<K>, std::convert::Infallible>>
where
    K: Resource,
{
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver
            .recv()
            .await
            .map(|reference| (Ok(reference), receiver))
    })
}
