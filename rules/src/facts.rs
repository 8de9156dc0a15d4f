//! What a rule may know beyond the object it judges.
//!
//! The webhook fills this from its caches, `lint` from files or from the cluster, the operator from its stores. A fact
//! that nobody could look up is [`Known::Unknown`], and a rule that needs it says `unchecked` instead of passing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer, Tool};
use jiff::Timestamp;

use crate::effective::effective;
use crate::parse::route::Route;
use crate::policy::PolicySet;

/// A fact, or that nobody could look it up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known<T> {
    /// Could not be looked up: a rule that needs it reports `unchecked`.
    #[default]
    Unknown,
    /// Was looked up.
    Known(T),
}

impl<T> Known<T> {
    /// The fact, if it was looked up.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Unknown => None,
            Self::Known(value) => Some(value),
        }
    }
}

impl<T> From<T> for Known<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

/// Why an object is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is about to be created.
    Create,
    /// It is about to be changed.
    Update,
    /// It is about to be deleted.
    Delete,
    /// It is there, and is judged as it stands (the operator, `policy test`): rules about who asks and about lifetimes
    /// at creation say nothing.
    Live,
}

/// The snapshot a rule may look at.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Why the object is judged. `None`: it follows from which of new and old are there.
    pub operation: Option<Operation>,
    /// The time.
    pub now: Known<Timestamp>,
    /// The object's namespace.
    pub namespace: Known<NamespaceFacts>,
    /// Every MCPPolicy of the cluster.
    pub policies: Known<Vec<Arc<MCPPolicy>>>,
    /// Every MCPServer of the cluster. The judged object may be among them and is left out by namespace and name.
    pub servers: Known<Vec<ServerFact>>,
    /// Grants of the object's namespace, or of all.
    pub grants: Known<Vec<Arc<MCPAccessGrant>>>,
    /// Sessions of the object's namespace, or of all.
    pub sessions: Known<Vec<Arc<MCPAgentSession>>>,
    /// Names of the cluster's IngressClasses.
    pub ingress_classes: Known<Vec<String>>,
    /// Who asks.
    pub requester: Known<Requester>,
    /// What SubjectAccessReviews said to [`crate::questions`]. A question that is not here was not asked.
    pub answers: BTreeMap<Question, bool>,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Who asks, as the API server authenticated him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requester {
    /// The user name.
    pub username: String,
    /// The user's id, often empty.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Whatever else the authenticator said.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// One question for a SubjectAccessReview, about the requester.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The verb, such as `impersonate`.
    pub verb: &'static str,
    /// The API group.
    pub group: &'static str,
    /// The resource, in the plural.
    pub resource: &'static str,
    /// The namespace; empty for a resource of the cluster.
    pub namespace: String,
    /// The object's name; empty for any.
    pub name: String,
}

/// What rules need to know of another server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFact {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, when it was read from a cluster.
    pub uid: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// The route it claims.
    pub route: Option<Route>,
    /// The tools it declares.
    pub tools: Vec<Tool>,
    /// The service account it names.
    pub service_account: Option<String>,
    /// The longest life of a session, its own or the policy's, whichever is shorter.
    pub max_session_lifetime: Duration,
}

impl ServerFact {
    /// The fact that a server is. `policies` are those that select its namespace.
    pub fn new(server: &MCPServer, policies: &PolicySet) -> Self {
        let effective = effective(server, policies);
        let route = effective.route();
        Self {
            namespace: effective.namespace,
            name: effective.name,
            uid: server.metadata.uid.clone(),
            created: server
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0),
            route,
            tools: server.spec.tools.clone(),
            service_account: server.spec.service_account_name.clone(),
            max_session_lifetime: effective.session.max_lifetime,
        }
    }
}

impl Facts {
    /// The server of that name, if servers are known and it is there.
    pub fn server(&self, namespace: &str, name: &str) -> Option<&ServerFact> {
        self.servers
            .get()?
            .iter()
            .find(|server| server.namespace == namespace && server.name == name)
    }

    /// The policies that select the namespace of the judged object. Unknown policies select nothing; where only the
    /// namespace's labels are unknown, every policy that does not exclude it by name is taken to select it.
    pub fn selected(&self, namespace: &str) -> PolicySet {
        let Some(policies) = self.policies.get() else {
            return PolicySet::default();
        };
        match self.namespace.get() {
            Some(facts) => PolicySet::select(policies, &facts.name, &facts.labels),
            None => PolicySet::assume(policies, namespace),
        }
    }
}
