//! The `ConfigMap` of an access bundle.

use ::access::Bundle;
use api::names;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;

/// The ConfigMap of a bundle.
pub fn config_map(bundle: &Bundle) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::access_config_map(&bundle.server)),
            namespace: Some(bundle.namespace.clone()),
            labels: Some(super::labels(&bundle.server)),
            ..ObjectMeta::default()
        },
        data: Some([(names::BUNDLE_KEY.to_owned(), bundle.to_json())].into()),
        ..ConfigMap::default()
    }
}
