//! What the cluster would store: what `kubectl apply` would send, sent as a dry run.

use common::api_error::During as _;
use common::{Cluster, Error, Result};
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use rules::Kind;
use serde_json::Value;

use super::name_of;
use super::unified::Change;
use crate::manifests::Object;
use crate::world::{LAST_APPLIED, in_namespace, is_namespaced, patch};

/// Who changes, in the dry run: kubectl's own name, so that no field changes hands.
const MANAGER: &str = "kubectl-client-side-apply";

/// The object in the cluster, and what it would be.
pub(super) async fn change(cluster: &Cluster, kind: Kind, object: &Object) -> Result<Change> {
    let namespace = match (is_namespaced(kind), object.text("/metadata/namespace")) {
        (false, _) => "",
        (true, "") => cluster.namespace.as_str(),
        (true, namespace) => namespace,
    };
    let name = name_of(kind, namespace, object);
    let api = api_of(cluster, kind, namespace);
    let given = object.text("/metadata/name");
    let live = if given.is_empty() {
        None
    } else {
        api.get_opt(given)
            .await
            .during(format!("cannot get {name}"))?
    };
    let what = format!("{}: the cluster does not take {name}", object.file);
    let after = match &live {
        None => create(&api, kind, namespace, object).await.during(what)?,
        Some(live) => update(&api, kind, live, object).await.during(what)?,
    };
    let before = live.as_ref().map(plain).transpose()?;
    let before_name = if before.is_some() {
        format!("live {name}")
    } else {
        "/dev/null".to_owned()
    };
    Ok(Change {
        before_name,
        after_name: format!("stored {name}"),
        before,
        after: plain(&after)?,
    })
}

fn api_of(cluster: &Cluster, kind: Kind, namespace: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(api::GROUP, api::VERSION, kind.as_str());
    let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural());
    if namespace.is_empty() {
        Api::all_with(cluster.client.clone(), &resource)
    } else {
        Api::namespaced_with(cluster.client.clone(), namespace, &resource)
    }
}

async fn create(
    api: &Api<DynamicObject>,
    kind: Kind,
    namespace: &str,
    object: &Object,
) -> kube::Result<DynamicObject> {
    let given = in_namespace(&object.value, kind, namespace);
    let given: DynamicObject = serde_json::from_value(given).map_err(kube::Error::SerdeError)?;
    let params = PostParams {
        dry_run: true,
        field_manager: Some(MANAGER.to_owned()),
    };
    api.create(&params, &given).await
}

/// Where kubectl applied the object before, its three-way merge; where somebody applied it on the server's side, that
/// again under the same name, because only so what the manifest dropped goes.
async fn update(
    api: &Api<DynamicObject>,
    kind: Kind,
    live: &DynamicObject,
    object: &Object,
) -> kube::Result<DynamicObject> {
    let stored = serde_json::to_value(live).map_err(kube::Error::SerdeError)?;
    let name = object.text("/metadata/name");
    let namespace = live.metadata.namespace.as_deref().unwrap_or_default();
    let given = in_namespace(&object.value, kind, namespace);
    if let Some(manager) = applier(live) {
        let params = PatchParams::apply(manager).force().dry_run();
        return api.patch(name, &params, &Patch::Apply(given)).await;
    }
    let mut params = PatchParams::default().dry_run();
    params.field_manager = Some(MANAGER.to_owned());
    let patch = Patch::Merge(patch(&stored, &given));
    api.patch(name, &params, &patch).await
}

/// Who applied the object on the server's side, and nobody from kubectl's.
fn applier(live: &DynamicObject) -> Option<&str> {
    let annotations = live.metadata.annotations.as_ref();
    if annotations.is_some_and(|annotations| annotations.contains_key(LAST_APPLIED)) {
        return None;
    }
    let entries = live.metadata.managed_fields.iter().flatten();
    let applied = |entry: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    };
    entries.clone().find(applied)?.manager.as_deref()
}

/// The object without what is different at every dry run and what nobody writes.
fn plain(object: &DynamicObject) -> Result<Value> {
    let mut value = serde_json::to_value(object)
        .map_err(|error| Error::failed(format!("cannot read the API server's answer: {error}")))?;
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "managedFields",
            "creationTimestamp",
            "generation",
            "resourceVersion",
            "uid",
            "selfLink",
        ] {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove(LAST_APPLIED);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    Ok(value)
}
