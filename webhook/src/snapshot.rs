//! What requests see of the cluster: immutable, indexed by namespace, and made again from [`Objects`] after a change,
//! not per request. [`Snapshot::facts`] picks from it what the rules may know of one request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPPrompt, MCPResource, MCPServer, MCPTool};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use rules::{
    Facts, Known, Labels, LiveServer, NamespaceFacts, Operation, PolicySet, Requester, ServerFact,
    Servers, ServiceFact, ServicePortFact,
};

use crate::cache::Objects;

/// A kind whose objects changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Changed {
    Policies,
    Servers,
    Grants,
    Sessions,
    Namespaces,
    Classes,
    Tools,
    Prompts,
    Resources,
    Services,
}

impl Changed {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Policies,
        Self::Servers,
        Self::Grants,
        Self::Sessions,
        Self::Namespaces,
        Self::Classes,
        Self::Tools,
        Self::Prompts,
        Self::Resources,
        Self::Services,
    ];

    /// What `/readyz` says while the kind was not listed yet.
    pub fn cache(self) -> &'static str {
        match self {
            Self::Policies => "cache of MCPPolicies",
            Self::Servers => "cache of MCPServers",
            Self::Grants => "cache of MCPAccessGrants",
            Self::Sessions => "cache of MCPAgentSessions",
            Self::Namespaces => "cache of Namespaces",
            Self::Classes => "cache of IngressClasses",
            Self::Tools => "cache of MCPTools",
            Self::Prompts => "cache of MCPPrompts",
            Self::Resources => "cache of MCPResources",
            Self::Services => "cache of Services",
        }
    }
}

/// Objects of one kind by namespace.
type ByNamespace<K> = Arc<BTreeMap<String, Arc<Vec<Arc<K>>>>>;

/// A namespace, and the policies that select it.
#[derive(Clone, Debug)]
struct Selected {
    facts: Arc<NamespaceFacts>,
    policies: Arc<PolicySet>,
}

/// What requests see of the cluster. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    policies: Arc<Vec<Arc<MCPPolicy>>>,
    labels: Arc<Labels>,
    namespaces: Arc<BTreeMap<String, Selected>>,
    /// By namespace and name.
    stored: Arc<Vec<Arc<LiveServer>>>,
    servers: Arc<Servers>,
    grants: ByNamespace<MCPAccessGrant>,
    sessions: ByNamespace<MCPAgentSession>,
    classes: Arc<Vec<String>>,
    tools: ByNamespace<MCPTool>,
    prompts: ByNamespace<MCPPrompt>,
    resources: ByNamespace<MCPResource>,
    services: Arc<BTreeMap<(String, String), ServiceFact>>,
}

/// What the facts of one request depend on.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Namespace of the object; empty for the cluster's.
    pub namespace: &'a str,
    /// Why the object is judged.
    pub operation: Operation,
    /// Who asks.
    pub requester: &'a Requester,
    /// The time.
    pub now: Timestamp,
}

impl Snapshot {
    /// A snapshot that differs from this one by what changed.
    #[must_use]
    pub fn rebuilt(&self, objects: &Objects, changed: &BTreeSet<Changed>) -> Self {
        let mut next = self.clone();
        let has = |kind| changed.contains(&kind);
        if has(Changed::Policies) {
            next.policies = Arc::new(objects.policies.values().cloned().collect());
        }
        if has(Changed::Namespaces) {
            let labels = objects
                .namespaces
                .values()
                .map(|ns| (ns.name_any(), ns.labels().clone()));
            next.labels = Arc::new(labels.collect());
        }
        if has(Changed::Policies) || has(Changed::Namespaces) {
            next.select();
        }
        let reselected = has(Changed::Policies) || has(Changed::Namespaces);
        if reselected || has(Changed::Servers) {
            next.take_servers(objects, reselected);
        }
        if has(Changed::Grants) {
            next.grants = grouped(objects.grants.values());
        }
        if has(Changed::Sessions) {
            next.sessions = grouped(objects.sessions.values());
        }
        if has(Changed::Classes) {
            next.classes = Arc::new(
                objects
                    .classes
                    .values()
                    .map(|class| class.name_any())
                    .collect(),
            );
        }
        next.take_items(objects, changed);
        next
    }

    /// What virtual servers are made of.
    fn take_items(&mut self, objects: &Objects, changed: &BTreeSet<Changed>) {
        let has = |kind| changed.contains(&kind);
        if has(Changed::Tools) {
            self.tools = grouped(objects.tools.values());
        }
        if has(Changed::Prompts) {
            self.prompts = grouped(objects.prompts.values());
        }
        if has(Changed::Resources) {
            self.resources = grouped(objects.resources.values());
        }
        if has(Changed::Services) {
            let services = objects.services.values().map(|service| {
                let namespace = service.namespace().unwrap_or_default();
                ((namespace, service.name_any()), service_fact(service))
            });
            self.services = Arc::new(services.collect());
        }
    }

    /// Works out which policies select which namespace.
    fn select(&mut self) {
        let namespaces = self.labels.iter().map(|(name, labels)| {
            let facts = Arc::new(NamespaceFacts {
                name: name.clone(),
                labels: labels.clone(),
            });
            let policies = Arc::new(PolicySet::select(&self.policies, name, labels));
            (name.clone(), Selected { facts, policies })
        });
        self.namespaces = Arc::new(namespaces.collect());
    }

    /// The facts of all servers; those of a server that did not change are made anew only where the policies may say
    /// something else of it.
    fn take_servers(&mut self, objects: &Objects, reselected: bool) {
        let facts = objects.servers.values().filter_map(|server| {
            let (namespace, name) = (&server.namespace, &server.name);
            let before = self.server(namespace, name);
            if !reselected && before.is_some_and(|before| Arc::ptr_eq(before, server)) {
                return self.servers.get(namespace, name).cloned();
            }
            let typed: MCPServer = serde_json::from_str(&server.text).ok()?;
            Some(Arc::new(ServerFact::new(&typed, &self.selected(namespace))))
        });
        let facts: Servers = facts.collect();
        self.servers = Arc::new(facts);
        self.stored = Arc::new(objects.servers.values().cloned().collect());
    }

    /// The policies that select a namespace.
    fn selected(&self, namespace: &str) -> Arc<PolicySet> {
        match self.namespaces.get(namespace) {
            Some(selected) => Arc::clone(&selected.policies),
            None => Arc::new(PolicySet::assume(&self.policies, namespace)),
        }
    }

    /// The stored server.
    pub fn server(&self, namespace: &str, name: &str) -> Option<&Arc<LiveServer>> {
        let key = |server: &Arc<LiveServer>| {
            let theirs = (server.namespace.as_str(), server.name.as_str());
            theirs.cmp(&(namespace, name))
        };
        self.stored
            .binary_search_by(key)
            .ok()
            .map(|at| &self.stored[at])
    }

    /// What the rules may know of one request, but for the answers to their questions. A namespace that the watch has
    /// not brought yet is unknown, and then every policy counts that may select it.
    pub fn facts(&self, asked: &Asked<'_>) -> Facts {
        let selected = self.namespaces.get(asked.namespace);
        let known = |namespace: &Selected| Known::Known(Arc::clone(&namespace.facts));
        Facts {
            operation: Some(asked.operation),
            now: Known::Known(asked.now),
            namespace: selected.map_or(Known::Unknown, known),
            namespaces: Known::Known(Arc::clone(&self.labels)),
            policies: Known::Known(Arc::clone(&self.policies)),
            selection: selected.map(|selected| Arc::clone(&selected.policies)),
            servers: Known::Known(Arc::clone(&self.servers)),
            live: Known::Known(Arc::clone(&self.stored)),
            grants: of_namespace(&self.grants, asked.namespace),
            sessions: of_namespace(&self.sessions, asked.namespace),
            ingress_classes: Known::Known(Arc::clone(&self.classes)),
            tools: of_namespace(&self.tools, asked.namespace),
            prompts: of_namespace(&self.prompts, asked.namespace),
            resources: of_namespace(&self.resources, asked.namespace),
            services: Known::Known(Arc::clone(&self.services)),
            requester: Known::Known(asked.requester.clone()),
            ..Facts::default()
        }
    }
}

/// What rules need to know of a Service. Its endpoints are not watched: they change with every pod.
fn service_fact(service: &Service) -> ServiceFact {
    let spec = service.spec.as_ref();
    let ports = spec
        .and_then(|spec| spec.ports.as_ref())
        .into_iter()
        .flatten()
        .map(|port| ServicePortFact {
            name: port.name.clone(),
            port: u16::try_from(port.port).unwrap_or_default(),
        });
    ServiceFact {
        ports: ports.collect(),
        external_name: spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName"),
        headless: spec.and_then(|spec| spec.cluster_ip.as_deref()) == Some("None"),
        endpoints: Known::Unknown,
        labels: service.labels().clone(),
    }
}

/// The objects of a namespace; all of them for an object of the cluster.
fn of_namespace<K>(objects: &ByNamespace<K>, namespace: &str) -> Known<Arc<Vec<Arc<K>>>> {
    Known::Known(if namespace.is_empty() {
        Arc::new(
            objects
                .values()
                .flat_map(|objects| objects.iter().cloned())
                .collect(),
        )
    } else {
        objects.get(namespace).cloned().unwrap_or_default()
    })
}

fn grouped<'a, K: kube::Resource + 'a>(
    objects: impl Iterator<Item = &'a Arc<K>>,
) -> ByNamespace<K> {
    let mut groups: BTreeMap<String, Vec<Arc<K>>> = BTreeMap::new();
    for object in objects {
        groups
            .entry(object.namespace().unwrap_or_default())
            .or_default()
            .push(Arc::clone(object));
    }
    let groups = groups
        .into_iter()
        .map(|(namespace, objects)| (namespace, Arc::new(objects)));
    Arc::new(groups.collect())
}
