//! Where an object of the installation lives in the API: its resource and its namespace.
//!
//! The kinds are known, so nothing is discovered: setup works while the API server still learns our own kinds.

use api::names;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// The resource of an object, from its `apiVersion` and `kind`.
pub(crate) fn resource(object: &Value) -> ApiResource {
    let (api_version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// The API in which that object is found.
pub(crate) fn api(client: &Client, object: &Value) -> Api<DynamicObject> {
    match namespace(object) {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource(object)),
        None => Api::all_with(client.clone(), &resource(object)),
    }
}

/// The object's name.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The object's namespace, if it has one.
pub(crate) fn namespace(object: &Value) -> Option<&str> {
    object
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
}

/// The object's kind.
pub(crate) fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

/// Whether an object carries the label of what setup installs.
pub(crate) fn is_ours(object: &DynamicObject) -> bool {
    object.metadata.labels.as_ref().is_some_and(|labels| {
        labels
            .get(names::PART_OF)
            .is_some_and(|v| v == names::PROJECT)
    })
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::{Options, objects};

    #[test]
    fn every_installed_kind_has_the_plural_that_the_api_server_serves() {
        let mut plurals: Vec<String> = objects(&Options::default())
            .iter()
            .map(|one| resource(&one.object))
            .map(|resource| format!("{}.{}", resource.plural, resource.group))
            .collect();
        plurals.sort();
        plurals.dedup();
        assert_eq!(
            plurals,
            [
                "clusterrolebindings.rbac.authorization.k8s.io",
                "clusterroles.rbac.authorization.k8s.io",
                "customresourcedefinitions.apiextensions.k8s.io",
                "deployments.apps",
                "mcppolicies.kubectl-mcp.dev",
                "mutatingwebhookconfigurations.admissionregistration.k8s.io",
                "namespaces.",
                "networkpolicies.networking.k8s.io",
                "poddisruptionbudgets.policy",
                "rolebindings.rbac.authorization.k8s.io",
                "roles.rbac.authorization.k8s.io",
                "serviceaccounts.",
                "services.",
                "validatingadmissionpolicies.admissionregistration.k8s.io",
                "validatingadmissionpolicybindings.admissionregistration.k8s.io",
                "validatingwebhookconfigurations.admissionregistration.k8s.io",
            ]
        );
    }
}
