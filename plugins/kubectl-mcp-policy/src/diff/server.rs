//! What the cluster would store: what `kubectl apply` would send, sent as a dry run.

use api::names::LAST_APPLIED;
use common::api_error::During as _;
use common::output::strip;
use common::{Cluster, Error, Result};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind, Request, Status};
use kube::{Api, Client};
use rules::Kind;
use serde_json::Value;

use super::name_of;
use super::unified::Change;
use crate::manifests::Object;
use crate::world::{in_namespace, is_namespaced, patch};

/// A request before it is sent.
type Sent = http::Request<Vec<u8>>;

/// Who changes, in the dry run: kubectl's own name, so that no field changes hands.
const MANAGER: &str = "kubectl-client-side-apply";

/// The object in the cluster, and what it would be; and what the API server warns about, as kubectl prints it.
pub(super) async fn change(
    cluster: &Cluster,
    kind: Kind,
    object: &Object,
) -> Result<(Change, Vec<String>)> {
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
    let manifest = in_namespace(&object.value, kind, namespace);
    let request = Request::new(api.resource_url());
    let request = match &live {
        None => create(&request, &manifest),
        Some(live) => update(&request, live, &manifest),
    };
    let request = request.during(what.clone())?;
    let (after, warnings) = answer(&cluster.client, request).await.during(what)?;
    let before = live.as_ref().map(plain).transpose()?;
    let before_name = if before.is_some() {
        format!("live {name}")
    } else {
        "/dev/null".to_owned()
    };
    let change = Change {
        before_name,
        after_name: format!("stored {name}"),
        before,
        after: plain(&after)?,
    };
    Ok((change, warnings))
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

fn create(request: &Request, manifest: &Value) -> kube::Result<Sent> {
    let params = PostParams {
        dry_run: true,
        field_manager: Some(MANAGER.to_owned()),
    };
    let body = serde_json::to_vec(manifest).map_err(kube::Error::SerdeError)?;
    let mut sent = request
        .create(&params, body)
        .map_err(kube::Error::BuildRequest)?;
    // kube knows the parameter for patches alone.
    let uri = format!("{}&fieldValidation=Strict", sent.uri());
    *sent.uri_mut() = uri
        .parse()
        .map_err(|error| kube::Error::Service(Box::new(error)))?;
    Ok(sent)
}

/// Where kubectl applied the object before, its three-way merge; where somebody applied it on the server's side, that
/// again under the same name, because only so what the manifest dropped goes.
fn update(request: &Request, live: &DynamicObject, manifest: &Value) -> kube::Result<Sent> {
    let stored = serde_json::to_value(live).map_err(kube::Error::SerdeError)?;
    let name = live.metadata.name.as_deref().unwrap_or_default();
    let (params, patch) = match applier(live) {
        Some(manager) => (
            PatchParams::apply(manager).force(),
            Patch::Apply(manifest.clone()),
        ),
        None => (
            PatchParams::apply(MANAGER),
            Patch::Merge(patch(&stored, manifest)),
        ),
    };
    let params = params.dry_run().validation(ValidationDirective::Strict);
    request
        .patch(name, &params, &patch)
        .map_err(kube::Error::BuildRequest)
}

/// Sends a request as the client would, and keeps what the API server warns about, which the client does not.
async fn answer(client: &Client, request: Sent) -> kube::Result<(DynamicObject, Vec<String>)> {
    let answer = client.send(request.map(Body::from)).await?;
    let status = answer.status();
    let warnings = answer
        .headers()
        .get_all("warning")
        .iter()
        .filter_map(|value| warning(&String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let bytes = answer.into_body().collect_bytes().await?;
    if status.is_success() {
        let object = serde_json::from_slice(&bytes).map_err(kube::Error::SerdeError)?;
        return Ok((object, warnings));
    }
    let refused: Status = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
        // A proxy on the way does not speak in such objects.
        Status::failure(String::from_utf8_lossy(&bytes).trim(), "").with_code(status.as_u16())
    });
    Err(kube::Error::Api(Box::new(refused)))
}

/// The words of a `Warning` header (RFC 7234 5.5): `299 - "words"`, on one line.
fn warning(header: &str) -> Option<String> {
    let (_, quoted) = header.split_once('"')?;
    let mut words = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => words.extend(letters.next()),
            letter => words.push(letter),
        }
    }
    let line = words.replace(char::is_control, " ");
    (!line.is_empty()).then_some(line)
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
    strip(&mut value);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_shown_without_its_wrapping() {
        assert_eq!(
            warning(r#"299 - "MCP0103: \"latest\" moves""#).as_deref(),
            Some("MCP0103: \"latest\" moves")
        );
        assert_eq!(warning("299 - \"\""), None);
        assert_eq!(warning("nonsense"), None);
    }

    #[test]
    fn what_nobody_could_store_is_asked_for_as_kubectl_apply_does() {
        let manifest = serde_json::json!({"metadata": {"name": "w"}});
        let request = Request::new("/apis/x");
        let new = create(&request, &manifest).unwrap().uri().to_string();
        let live: DynamicObject =
            serde_json::from_value(serde_json::json!({"metadata": {"name": "w"}})).unwrap();
        let changed = update(&request, &live, &manifest)
            .unwrap()
            .uri()
            .to_string();
        for uri in [new, changed] {
            assert!(
                uri.contains("fieldValidation=Strict") && uri.contains("dryRun=All"),
                "{uri}"
            );
        }
    }
}
