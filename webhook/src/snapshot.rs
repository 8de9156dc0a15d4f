//! What requests see of the cluster: immutable, indexed by namespace, and made again from [`Objects`] after a change,
//! not per request. [`Snapshot::facts`] picks from it what the rules may know of one request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer};
use jiff::Timestamp;
use kube::ResourceExt as _;
use rules::{Facts, Known, NamespaceFacts, Operation, PolicySet, Question, Requester, ServerFact};

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
type ByNamespace<T> = Arc<BTreeMap<String, Vec<T>>>;

/// What requests see of the cluster. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    policies: Arc<Vec<Arc<MCPPolicy>>>,
    labels: Arc<BTreeMap<String, BTreeMap<String, String>>>,
    servers: Arc<BTreeMap<String, BTreeMap<String, Arc<MCPServer>>>>,
    /// All there is to know about the servers of a namespace.
    neighbours: ByNamespace<ServerFact>,
    /// Of every server what servers of other namespaces must know: the route it claims.
    claims: Arc<Vec<ServerFact>>,
    grants: ByNamespace<Arc<MCPAccessGrant>>,
    sessions: ByNamespace<Arc<MCPAgentSession>>,
    classes: Arc<Vec<String>>,
}

/// What the facts of one request depend on.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Namespace of the object; empty for the cluster's.
    pub namespace: &'a str,
    /// Why the object is judged.
    pub operation: Operation,
    /// Whether the object is an MCPServer, which must know the routes of all others.
    pub needs_claims: bool,
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

    fn take_servers(&mut self, objects: &Objects) {
        let mut servers: BTreeMap<String, BTreeMap<String, Arc<MCPServer>>> = BTreeMap::new();
        for server in objects.servers.values() {
            let namespace = server.namespace().unwrap_or_default();
            servers
                .entry(namespace)
                .or_default()
                .insert(server.name_any(), Arc::clone(server));
        }
        let mut neighbours = BTreeMap::new();
        let mut claims = Vec::new();
        for (namespace, servers) in &servers {
            let policies = self.selected(namespace);
            let facts: Vec<_> = servers
                .values()
                .map(|server| ServerFact::new(server, &policies))
                .collect();
            claims.extend(facts.iter().map(|fact| ServerFact {
                tools: Vec::new(),
                ..fact.clone()
            }));
            neighbours.insert(namespace.clone(), facts);
        }
        self.servers = Arc::new(servers);
        self.neighbours = Arc::new(neighbours);
        self.claims = Arc::new(claims);
    }

    /// The policies that select a namespace.
    fn selected(&self, namespace: &str) -> PolicySet {
        match self.labels.get(namespace) {
            Some(labels) => PolicySet::select(&self.policies, namespace, labels),
            None => PolicySet::assume(&self.policies, namespace),
        }
    }

    /// The stored server.
    pub fn server(&self, namespace: &str, name: &str) -> Option<&Arc<MCPServer>> {
        self.servers.get(namespace)?.get(name)
    }

    /// What the rules may know of one request, but for the answers to their questions.
    pub fn facts(&self, asked: &Asked<'_>) -> Facts {
        Facts {
            operation: Some(asked.operation),
            now: Known::Known(asked.now),
            namespace: self.namespace(asked.namespace),
            policies: Known::Known(self.policies.to_vec()),
            servers: Known::Known(self.server_facts(asked)),
            grants: Known::Known(
                self.grants
                    .get(asked.namespace)
                    .cloned()
                    .unwrap_or_default(),
            ),
            sessions: Known::Known(
                self.sessions
                    .get(asked.namespace)
                    .cloned()
                    .unwrap_or_default(),
            ),
            ingress_classes: Known::Known(self.classes.to_vec()),
            requester: Known::Known(asked.requester.clone()),
            answers: BTreeMap::<Question, bool>::new(),
        }
    }

    /// A namespace that the watch has not brought yet is unknown, and then every policy counts that may select it.
    fn namespace(&self, name: &str) -> Known<NamespaceFacts> {
        match self.labels.get(name) {
            Some(labels) => Known::Known(NamespaceFacts {
                name: name.to_owned(),
                labels: labels.clone(),
            }),
            None => Known::Unknown,
        }
    }

    fn server_facts(&self, asked: &Asked<'_>) -> Vec<ServerFact> {
        let mut facts = self
            .neighbours
            .get(asked.namespace)
            .cloned()
            .unwrap_or_default();
        if asked.needs_claims {
            facts.extend(
                self.claims
                    .iter()
                    .filter(|fact| fact.namespace != asked.namespace)
                    .cloned(),
            );
        }
        facts
    }
}

fn grouped<'a, K: kube::Resource + 'a>(
    objects: impl Iterator<Item = &'a Arc<K>>,
) -> ByNamespace<Arc<K>> {
    let mut groups: BTreeMap<String, Vec<Arc<K>>> = BTreeMap::new();
    for object in objects {
        groups
            .entry(object.namespace().unwrap_or_default())
            .or_default()
            .push(Arc::clone(object));
    }
    Arc::new(groups)
}
