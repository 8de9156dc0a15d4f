//! Writing objects: server-side apply with one field manager, nothing when nothing changed, and never over an object
//! that is not ours.

use std::fmt::Debug;
use std::sync::Arc;

use api::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::reconcile::said;

/// Annotation: the hash of what was applied last. A field that is no longer wanted shows only here.
pub(crate) const APPLIED: &str = "kubectl-mcp.dev/applied";

/// Why an object is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object of that name exists and is not the owner's. It is neither adopted nor deleted.
    #[error(
        "{kind} {name} exists and does not belong to this server; rename the server, or delete it with: kubectl delete {kind} {name} -n {namespace}"
    )]
    Conflict {
        /// Kind of the object.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The object could not be read.
    #[error("cannot read {kind} {name}: {}", said(source))]
    Read {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The object could not be written.
    #[error("cannot write {kind} {name}: {}", said(source))]
    Write {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The object could not be deleted.
    #[error("cannot delete {kind} {name}: {}", said(source))]
    Delete {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The object could not be put into JSON.
    #[error("cannot serialise {kind} {name}: {source}")]
    Serialise {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What serde said.
        source: serde_json::Error,
    },
}

/// The object that others belong to.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its namespace, which all its objects share; empty for an owner of the cluster.
    pub namespace: String,
    /// The controller reference that every object carries.
    pub reference: OwnerReference,
}

impl Owner {
    /// An object of the owner in a cache.
    fn key<K: Resource<DynamicType = ()>>(&self, name: &str) -> ObjectRef<K> {
        let mut key = ObjectRef::new(name);
        key.namespace = Some(self.namespace.clone()).filter(|namespace| !namespace.is_empty());
        key
    }

    fn owns<K: Resource>(&self, object: &K) -> bool {
        object
            .owner_references()
            .iter()
            .any(|r| r.uid == self.reference.uid && r.controller == Some(true))
    }
}

/// Kinds of objects that the operator writes.
pub trait Written:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
}

impl<K> Written for K where
    K: Resource<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

/// Brings an object of the owner's namespace to what is wanted. What is returned is what the API server holds now.
///
/// # Errors
/// See [`Error`]; nothing was written on [`Error::Conflict`].
pub async fn ensure<K: Written + Resource<Scope = NamespaceResourceScope>>(
    context: &Context,
    cache: &Store<K>,
    owner: &Owner,
    wanted: K,
) -> Result<Arc<K>, Error> {
    let api = Api::namespaced(context.client.clone(), &owner.namespace);
    ensure_by(context, cache, owner, api, wanted).await
}

/// The same for an object of the cluster.
///
/// # Errors
/// As those of [`ensure`].
pub async fn ensure_of_cluster<K: Written + Resource<Scope = ClusterResourceScope>>(
    context: &Context,
    cache: &Store<K>,
    owner: &Owner,
    wanted: K,
) -> Result<Arc<K>, Error> {
    let api = Api::all(context.client.clone());
    ensure_by(context, cache, owner, api, wanted).await
}

async fn ensure_by<K: Written>(
    context: &Context,
    cache: &Store<K>,
    owner: &Owner,
    api: Api<K>,
    mut wanted: K,
) -> Result<Arc<K>, Error> {
    let (kind, name) = (K::kind(&()).into_owned(), wanted.name_any());
    let serialise = |k: &K| {
        serde_json::to_value(k).map_err(|source| Error::Serialise {
            kind: kind.clone(),
            name: name.clone(),
            source,
        })
    };
    let hash = fingerprint(&serialise(&wanted)?);
    wanted.annotations_mut().insert(APPLIED.to_owned(), hash);
    wanted.meta_mut().owner_references = Some(vec![owner.reference.clone()]);
    let wanted_json = serialise(&wanted)?;

    let live = match cache.get(&owner.key(&name)) {
        Some(live) => Some(live),
        None => api
            .get_opt(&name)
            .await
            .map_err(|e| Error::Read {
                kind: kind.clone(),
                name: name.clone(),
                source: Box::new(e),
            })?
            .map(Arc::new),
    };
    if let Some(live) = live {
        if !owner.owns(live.as_ref()) {
            return Err(Error::Conflict {
                kind,
                namespace: owner.namespace.clone(),
                name,
            });
        }
        if covers(&serialise(live.as_ref())?, &wanted_json) {
            return Ok(live);
        }
        // An object that was deleted and made again by somebody in between is another one: the write then fails.
        wanted.meta_mut().uid = live.uid();
    }
    let params = PatchParams::apply(names::OPERATOR).force();
    let written = api
        .patch(&name, &params, &Patch::Apply(&wanted))
        .await
        .map_err(|e| Error::Write {
            kind: kind.clone(),
            name: name.clone(),
            source: Box::new(e),
        })?;
    context.metrics.wrote(&kind);
    Ok(Arc::new(written))
}

/// Deletes what the owner had under this name and no longer wants. Somebody else's object is left alone.
///
/// # Errors
/// See [`Error::Delete`].
pub async fn remove<K: Written + Resource<Scope = NamespaceResourceScope>>(
    context: &Context,
    cache: &Store<K>,
    owner: &Owner,
    name: &str,
) -> Result<(), Error> {
    let api = Api::namespaced(context.client.clone(), &owner.namespace);
    remove_by(context, cache, owner, api, name).await
}

/// The same for an object of the cluster.
///
/// # Errors
/// As those of [`remove`].
pub async fn remove_of_cluster<K: Written + Resource<Scope = ClusterResourceScope>>(
    context: &Context,
    cache: &Store<K>,
    owner: &Owner,
    name: &str,
) -> Result<(), Error> {
    let api = Api::all(context.client.clone());
    remove_by(context, cache, owner, api, name).await
}

async fn remove_by<K: Written>(
    context: &Context,
    cache: &Store<K>,
    owner: &Owner,
    api: Api<K>,
    name: &str,
) -> Result<(), Error> {
    let Some(live) = cache.get(&owner.key(name)) else {
        return Ok(());
    };
    if !owner.owns(live.as_ref()) || live.meta().deletion_timestamp.is_some() {
        return Ok(());
    }
    let kind = K::kind(&()).into_owned();
    let only_this = Preconditions {
        uid: live.uid(),
        resource_version: None,
    };
    let params = DeleteParams {
        preconditions: Some(only_this),
        ..DeleteParams::background()
    };
    match api.delete(name, &params).await {
        Ok(_) => context.metrics.wrote(&kind),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
        Err(source) => {
            return Err(Error::Delete {
                kind,
                name: name.to_owned(),
                source: Box::new(source),
            });
        }
    }
    Ok(())
}

/// The first 16 hexadecimal digits of the SHA-256 of a JSON text.
pub(crate) fn fingerprint(value: &Value) -> String {
    let digest = Sha256::digest(value.to_string().as_bytes());
    let first = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{first:016x}")
}

/// Whether everything that is wanted stands in what is there. What others added, and what the API server filled in,
/// does not count, but in a selector: there one more label changes what is meant.
pub(crate) fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| match live.get(key) {
                None => is_empty(value),
                Some(live) if SELECTORS.contains(&key.as_str()) => live == value,
                Some(live) => covers(live, value),
            })
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len()
                && live
                    .iter()
                    .zip(wanted)
                    .all(|(live, wanted)| covers(live, wanted))
        }
        (Value::String(live), Value::String(wanted)) => {
            live == wanted || same_quantity(live, wanted)
        }
        _ => live == wanted,
    }
}

/// Fields that the API server takes as a whole.
const SELECTORS: [&str; 4] = [
    "selector",
    "podSelector",
    "namespaceSelector",
    "matchLabels",
];

/// The API server leaves out what is empty. A `false` is not: left out, `automountServiceAccountToken` means true.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The API server rewrites quantities: `0.5` comes back as `500m`.
fn same_quantity(a: &str, b: &str) -> bool {
    match (
        rules::parse::quantity::parse(a),
        rules::parse::quantity::parse(b),
    ) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_added_is_no_difference() {
        let live = json!({"metadata": {"annotations": {"ours": "1", "theirs": "2"}}, "spec": {"replicas": 3, "paused": false}});
        assert!(covers(
            &live,
            &json!({"metadata": {"annotations": {"ours": "1"}}, "spec": {"replicas": 3}})
        ));
        assert!(!covers(
            &live,
            &json!({"metadata": {"annotations": {"ours": "2"}}})
        ));
    }

    #[test]
    fn what_the_api_server_left_out_or_rewrote_is_no_difference() {
        let live = json!({"env": [{"name": "A"}], "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}});
        assert!(covers(
            &live,
            &json!({"env": [{"name": "A", "value": ""}], "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}}})
        ));
        assert!(!covers(
            &live,
            &json!({"resources": {"limits": {"cpu": "0.6"}}})
        ));
    }

    #[test]
    fn what_hardens_a_pod_or_selects_it_must_stand_as_it_was_written() {
        let wanted = json!({"automountServiceAccountToken": false, "selector": {"app": "a"}});
        assert!(covers(&wanted, &wanted));
        assert!(!covers(&json!({"selector": {"app": "a"}}), &wanted));
        let wider =
            json!({"automountServiceAccountToken": false, "selector": {"app": "a", "foo": "bar"}});
        assert!(!covers(&wider, &wanted));
    }

    #[test]
    fn a_longer_or_shorter_list_is_a_difference() {
        assert!(!covers(&json!(["a"]), &json!(["a", "b"])));
        assert!(!covers(&json!(["a", "b"]), &json!(["a"])));
    }
}
