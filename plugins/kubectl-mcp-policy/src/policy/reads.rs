//! What the verbs read of a cluster, with the rights of the caller.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use api::MCPPolicy;
use common::api_error::During as _;
use common::cluster::Cluster;
use common::{Error, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Objects that one answer of the API server holds.
const PAGE: u32 = 500;

/// All objects behind `api`, page by page.
pub(super) async fn all<K>(api: &Api<K>, many: &str) -> Result<Vec<K>>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut params = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = api
            .list(&params)
            .await
            .during(format!("cannot list {many}"))?;
        objects.extend(page.items);
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            _ => return Ok(objects),
        }
    }
}

/// All objects of a kind as they are stored, everywhere or in one namespace. A typed read would lose what this version
/// does not know, and rules speak of that too.
pub(super) async fn stored<K>(
    cluster: &Cluster,
    namespace: Option<&str>,
    many: &str,
) -> Result<Vec<Value>>
where
    K: Resource<DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    let client = cluster.client.clone();
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let objects = all(&api, many).await?.into_iter().map(|mut object| {
        object.metadata.managed_fields = None;
        let mut value = serde_json::to_value(object).unwrap_or_default();
        value["apiVersion"] = resource.api_version.clone().into();
        value["kind"] = resource.kind.clone().into();
        value
    });
    Ok(objects.collect())
}

/// Every policy.
pub(super) async fn policies(cluster: &Cluster) -> Result<Vec<Arc<MCPPolicy>>> {
    let policies = all(&Api::all(cluster.client.clone()), "policies").await?;
    Ok(policies.into_iter().map(Arc::new).collect())
}

/// The labels of every namespace.
pub(super) async fn namespaces(
    cluster: &Cluster,
) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let namespaces: Vec<Namespace> = all(&Api::all(cluster.client.clone()), "namespaces").await?;
    let labels = |namespace: Namespace| (namespace.name_any(), namespace.labels().clone());
    Ok(namespaces.into_iter().map(labels).collect())
}

/// The labels of one namespace; `None` where it does not exist.
pub(super) async fn labels(
    cluster: &Cluster,
    name: &str,
) -> Result<Option<BTreeMap<String, String>>> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let found = api
        .get_opt(name)
        .await
        .during(format!("cannot get namespace '{name}'"))?;
    Ok(found.map(|namespace| namespace.labels().clone()))
}

/// `a=b,c=d`, for clap's `value_parser`.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

/// The policies of files. One that does not parse is an error: the whole run would mean nothing.
pub(super) fn of_files(read: &crate::manifests::Read) -> Result<Vec<(Arc<MCPPolicy>, Value)>> {
    let mut policies: Vec<(Arc<MCPPolicy>, Value)> = Vec::new();
    for (_, object) in read.ours().filter(|(kind, _)| *kind == rules::Kind::Policy) {
        let lint = || format!("kubectl mcp lint -f {}", object.file);
        let policy: MCPPolicy = serde_json::from_value(object.value.clone()).map_err(|error| {
            Error::failed(format!(
                "{} holds an MCPPolicy that is none: {error}",
                object.file
            ))
            .with_hint(lint())
        })?;
        let name = policy.name_any();
        if name.is_empty() {
            return Err(Error::failed(format!(
                "{} holds an MCPPolicy without metadata.name",
                object.file
            )));
        }
        if policies.iter().any(|(other, _)| other.name_any() == name) {
            return Err(Error::failed(format!(
                "MCPPolicy '{name}' is given twice: only one of them can be applied"
            )));
        }
        policies.push((Arc::new(policy), object.value.clone()));
    }
    Ok(policies)
}
