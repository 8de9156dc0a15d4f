//! What a rule may know beyond the object it judges.
//!
//! The webhook fills this from its caches, `lint` from files or from the cluster, the operator from its stores. A fact
//! that nobody could look up is [`Known::Unknown`], and a rule that needs it says `unchecked` instead of passing.

mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{
    Decision, MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPPrompt, MCPResource, MCPServer,
    MCPTool, Tool, names,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::effective::effective;
use crate::parse::route::Route;
use crate::policy::PolicySet;
use crate::weakening::stricter;

pub use servers::Servers;

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

impl<T> From<T> for Known<Arc<T>> {
    fn from(value: T) -> Self {
        Self::Known(Arc::new(value))
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
    pub namespace: Known<Arc<NamespaceFacts>>,
    /// The labels of every namespace, by name.
    pub namespaces: Known<Arc<Labels>>,
    /// Every MCPPolicy of the cluster.
    pub policies: Known<Arc<Vec<Arc<MCPPolicy>>>>,
    /// The policies that select the object's namespace, where the door has worked that out already: it must be what
    /// [`PolicySet::select`] says of the facts above.
    pub selection: Option<Arc<PolicySet>>,
    /// Every MCPServer of the cluster. The judged object may be among them and is left out by namespace and name.
    pub servers: Known<Arc<Servers>>,
    /// Every MCPServer of the cluster as it is stored.
    pub live: Known<Arc<Vec<Arc<LiveServer>>>>,
    /// Grants of the object's namespace, or of all.
    pub grants: Known<Arc<Vec<Arc<MCPAccessGrant>>>>,
    /// Sessions of the object's namespace, or of all.
    pub sessions: Known<Arc<Vec<Arc<MCPAgentSession>>>>,
    /// MCPTools of the object's namespace, or of all. Descriptions and schemas may have been left out.
    pub tools: Known<Arc<Vec<Arc<MCPTool>>>>,
    /// MCPPrompts of the object's namespace, or of all. Descriptions and texts may have been left out.
    pub prompts: Known<Arc<Vec<Arc<MCPPrompt>>>>,
    /// MCPResources of the object's namespace, or of all. Descriptions and contents may have been left out.
    pub resources: Known<Arc<Vec<Arc<MCPResource>>>>,
    /// Names of the cluster's IngressClasses.
    pub ingress_classes: Known<Arc<Vec<String>>>,
    /// The Secrets of the object's namespace, by name; never a value. Unknown in the webhook, which may not read them.
    pub secrets: Known<Arc<BTreeMap<String, SecretFact>>>,
    /// The data of the ConfigMaps of the object's namespace, by name. Unknown in the webhook, which may not read them.
    pub config_maps: Known<Arc<BTreeMap<String, BTreeMap<String, String>>>>,
    /// The Services of the cluster, by namespace and name.
    pub services: Known<Arc<BTreeMap<(String, String), ServiceFact>>>,
    /// The catalogues that were synced.
    pub catalogues: Known<Arc<Vec<CatalogueFact>>>,
    /// Who asks.
    pub requester: Known<Requester>,
    /// What SubjectAccessReviews said to [`crate::questions`]. A question that is not here was not asked.
    pub answers: BTreeMap<Question, bool>,
}

/// Labels of namespaces, by name.
pub type Labels = BTreeMap<String, BTreeMap<String, String>>;

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What may be known of a Secret: never a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFact {
    /// The Secret's type, such as `kubernetes.io/tls`.
    pub kind: String,
    /// The keys of its data.
    pub keys: BTreeSet<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What rules need to know of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFact {
    /// Its ports.
    pub ports: Vec<ServicePortFact>,
    /// It is a name of another host.
    pub external_name: bool,
    /// It has no address of its own.
    pub headless: bool,
    /// Whether some endpoint stands behind it.
    pub endpoints: Known<bool>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePortFact {
    /// Its name.
    pub name: Option<String>,
    /// Its number.
    pub port: u16,
}

/// What a synced catalogue holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogueFact {
    /// Namespace of the MCPRegistry.
    pub namespace: String,
    /// Name of the MCPRegistry.
    pub name: String,
    /// The repositories of its images, with their host and without tag.
    pub repositories: BTreeSet<String>,
    /// The digests of its images, `sha256:` and 64 digits.
    pub digests: BTreeSet<String>,
}

/// A server as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveServer {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The object, as JSON.
    pub text: Arc<str>,
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
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// The tools it declares, without descriptions.
    pub tools: Vec<Tool>,
    /// What a virtual server selects.
    pub tool_selector: Option<LabelSelector>,
    /// The service account it names.
    pub service_account: Option<String>,
    /// The longest life of a session, its own or the policy's, whichever is shorter.
    pub max_session_lifetime: Duration,
    /// Who made it and who changed its spec last, as it is stamped.
    pub authors: Vec<String>,
    /// What happens to a tool that it does not declare.
    pub undeclared_tools: Decision,
    /// What it is stricter in than the default, but for its tools: a part of a spec, as JSON. None where it is in nothing.
    pub stricter: Option<Arc<str>>,
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
            tools: server.spec.tools.iter().map(undescribed).collect(),
            tool_selector: server.spec.tool_selector.clone(),
            service_account: server.spec.service_account_name.clone(),
            max_session_lifetime: effective.session.max_lifetime,
            authors: authors(server),
            undeclared_tools: effective.policy.undeclared_tools,
            stricter: stricter(&server.spec),
        }
    }
}

/// A tool without what only people read: thousands of servers are kept.
fn undescribed(tool: &Tool) -> Tool {
    Tool {
        description: None,
        ..tool.clone()
    }
}

/// The stamps of a server, each name once.
fn authors(server: &MCPServer) -> Vec<String> {
    let stamps = server.metadata.annotations.iter().flat_map(|annotations| {
        [names::REQUESTED_BY, names::EDITED_BY]
            .into_iter()
            .filter_map(|key| annotations.get(key))
    });
    let mut authors: Vec<String> = stamps.cloned().collect();
    authors.dedup();
    authors
}

impl Facts {
    /// The server of that name, if servers are known and it is there.
    pub fn server(&self, namespace: &str, name: &str) -> Option<&ServerFact> {
        self.servers.get()?.get(namespace, name).map(AsRef::as_ref)
    }

    /// The policies that select the namespace of the judged object. Unknown policies select nothing; where only the
    /// namespace's labels are unknown, every policy that its name does not rule out is taken to select it.
    pub fn selected(&self, namespace: &str) -> Arc<PolicySet> {
        if let Some(selection) = &self.selection {
            return Arc::clone(selection);
        }
        let Some(policies) = self.policies.get() else {
            return Arc::default();
        };
        Arc::new(match self.namespace.get() {
            Some(facts) => PolicySet::select(policies, &facts.name, &facts.labels),
            None => PolicySet::assume(policies, namespace),
        })
    }
}
