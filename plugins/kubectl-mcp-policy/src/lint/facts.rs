//! What the rules may know in a run of `lint`: the objects of the run, and the clock. The rest is unknown, and rules
//! that need it say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer};
use common::{Error, Result};
use jiff::Timestamp;
use rules::{Facts, Kind, Known, NamespaceFacts, PolicySet, ServerFact, kind_of};
use serde_json::Value;

use super::files::Object;

/// The facts of a run; those of a single object's namespace are added by [`Gathered::for_namespace`].
#[derive(Debug)]
pub(crate) struct Gathered {
    facts: Facts,
    namespaces: BTreeMap<String, NamespaceFacts>,
}

impl Gathered {
    /// The facts for objects of a namespace.
    pub(crate) fn for_namespace(&self, name: &str) -> Facts {
        let namespace = self
            .namespaces
            .get(name)
            .cloned()
            .map_or(Known::Unknown, Known::from);
        Facts {
            namespace,
            ..self.facts.clone()
        }
    }
}

/// Collects the facts. Objects that do not parse are no facts; as judged objects they get their findings. A policy of
/// `--policy` that does not parse is an error, because the whole run would mean nothing.
pub(crate) fn gather(
    judged: &[Object],
    policies: &[Object],
    policies_named: bool,
    namespace: &str,
    now: Timestamp,
) -> Result<Gathered> {
    let mut all_policies: Vec<Arc<MCPPolicy>> = typed(judged, Kind::Policy, namespace);
    for object in policies
        .iter()
        .filter(|object| kind_of(&object.value) == Some(Kind::Policy))
    {
        let policy = serde_json::from_value(object.value.clone()).map_err(|error| {
            Error::failed(format!(
                "{} holds an MCPPolicy that is none: {error}",
                object.file
            ))
            .with_hint(format!("kubectl mcp lint -f {}", object.file))
        })?;
        all_policies.push(Arc::new(policy));
    }
    if policies_named && all_policies.is_empty() {
        return Err(Error::failed("--policy names no MCPPolicy")
            .with_hint("kubectl get mcppolicy -o yaml > policy.yaml"));
    }
    let all = || judged.iter().chain(policies);
    let namespaces: BTreeMap<_, _> = all().filter_map(namespace_facts).collect();
    let servers: Vec<Arc<MCPServer>> = typed(judged, Kind::Server, namespace);
    let servers: Vec<_> = servers
        .iter()
        .map(|server| server_fact(server, &all_policies, &namespaces))
        .collect();
    let grants: Vec<Arc<MCPAccessGrant>> = typed(judged, Kind::Grant, namespace);
    let sessions: Vec<Arc<MCPAgentSession>> = typed(judged, Kind::Session, namespace);
    let classes: Vec<_> = all().filter_map(ingress_class).collect();
    let facts = Facts {
        now: Known::Known(now),
        policies: some(all_policies),
        servers: if servers.is_empty() {
            Known::Unknown
        } else {
            servers.into()
        },
        grants: some(grants),
        sessions: some(sessions),
        ingress_classes: some(classes),
        ..Facts::default()
    };
    Ok(Gathered { facts, namespaces })
}

/// None of a sort in the run does not mean that there is none in the cluster.
fn some<T>(list: Vec<T>) -> Known<Arc<Vec<T>>> {
    if list.is_empty() {
        Known::Unknown
    } else {
        Known::from(list)
    }
}

fn typed<T: serde::de::DeserializeOwned>(
    objects: &[Object],
    kind: Kind,
    namespace: &str,
) -> Vec<Arc<T>> {
    objects
        .iter()
        .filter(|object| kind_of(&object.value) == Some(kind))
        .filter_map(|object| serde_json::from_value(in_namespace(&object.value, namespace)).ok())
        .map(Arc::new)
        .collect()
}

/// The object with the namespace that kubectl would give it. An `MCPPolicy` has none.
pub(crate) fn in_namespace(object: &Value, namespace: &str) -> Value {
    let mut object = object.clone();
    if kind_of(&object) != Some(Kind::Policy)
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata
            .entry("namespace")
            .or_insert_with(|| namespace.into());
    }
    object
}

fn namespace_facts(object: &Object) -> Option<(String, NamespaceFacts)> {
    let value = &object.value;
    if value.get("apiVersion")? != "v1" || value.get("kind")? != "Namespace" {
        return None;
    }
    let name = value.pointer("/metadata/name")?.as_str()?.to_owned();
    let mut labels: BTreeMap<String, String> = value
        .pointer("/metadata/labels")
        .and_then(|labels| serde_json::from_value(labels.clone()).ok())
        .unwrap_or_default();
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
    Some((name.clone(), NamespaceFacts { name, labels }))
}

fn ingress_class(object: &Object) -> Option<String> {
    let value = &object.value;
    (value.get("kind")? == "IngressClass")
        .then(|| value.pointer("/metadata/name")?.as_str().map(str::to_owned))?
}

fn server_fact(
    server: &MCPServer,
    policies: &[Arc<MCPPolicy>],
    namespaces: &BTreeMap<String, NamespaceFacts>,
) -> ServerFact {
    let namespace = server.metadata.namespace.as_deref().unwrap_or_default();
    let selected = match namespaces.get(namespace) {
        Some(facts) => PolicySet::select(policies, namespace, &facts.labels),
        None => PolicySet::assume(policies, namespace),
    };
    ServerFact::new(server, &selected)
}
