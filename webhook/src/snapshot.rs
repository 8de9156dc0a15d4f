//! What requests see of the cluster: immutable, indexed by namespace, and made again from [`Objects`] after a change,
//! not per request. [`Snapshot::facts`] picks from it what the rules may know of one request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer};
use jiff::Timestamp;
use kube::ResourceExt as _;
use rules::{
    Facts, Known, Labels, NamespaceFacts, Operation, PolicySet, Requester, ServerFact, Servers,
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
}

impl Changed {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Policies,
        Self::Servers,
        Self::Grants,
        Self::Sessions,
        Self::Namespaces,
        Self::Classes,
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
    stored: Arc<BTreeMap<String, BTreeMap<String, Arc<MCPServer>>>>,
    servers: Arc<Servers>,
    grants: ByNamespace<MCPAccessGrant>,
    sessions: ByNamespace<MCPAgentSession>,
    classes: Arc<Vec<String>>,
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
        if has(Changed::Policies) || has(Changed::Namespaces) || has(Changed::Servers) {
            next.take_servers(objects);
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
        next
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

    fn take_servers(&mut self, objects: &Objects) {
        let mut stored: BTreeMap<String, BTreeMap<String, Arc<MCPServer>>> = BTreeMap::new();
        for server in objects.servers.values() {
            let namespace = server.namespace().unwrap_or_default();
            stored
                .entry(namespace)
                .or_default()
                .insert(server.name_any(), Arc::clone(server));
        }
        let facts = stored.iter().flat_map(|(namespace, servers)| {
            let policies = self.selected(namespace);
            servers
                .values()
                .map(move |server| ServerFact::new(server, &policies))
        });
        self.servers = Arc::new(facts.collect());
        self.stored = Arc::new(stored);
    }

    /// The policies that select a namespace.
    fn selected(&self, namespace: &str) -> Arc<PolicySet> {
        match self.namespaces.get(namespace) {
            Some(selected) => Arc::clone(&selected.policies),
            None => Arc::new(PolicySet::assume(&self.policies, namespace)),
        }
    }

    /// The stored server.
    pub fn server(&self, namespace: &str, name: &str) -> Option<&Arc<MCPServer>> {
        self.stored.get(namespace)?.get(name)
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
            grants: of_namespace(&self.grants, asked.namespace),
            sessions: of_namespace(&self.sessions, asked.namespace),
            ingress_classes: Known::Known(Arc::clone(&self.classes)),
            requester: Known::Known(asked.requester.clone()),
            ..Facts::default()
        }
    }
}

fn of_namespace<K>(objects: &ByNamespace<K>, namespace: &str) -> Known<Arc<Vec<Arc<K>>>> {
    Known::Known(objects.get(namespace).cloned().unwrap_or_default())
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
