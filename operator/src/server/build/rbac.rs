//! What the gateway may do at the API server: read its own access bundle, by name, and nothing else.

use api::names;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::{Valid, account, metadata};

/// The bundle may be cut into this many further shards when it outgrows one ConfigMap.
const SHARDS: usize = 7;

/// An account of its own, unless the server names one.
pub(super) fn service_account(valid: &Valid) -> Option<ServiceAccount> {
    if valid.server.spec.service_account_name.is_some() {
        return None;
    }
    Some(ServiceAccount {
        metadata: metadata(valid, &names::gateway_account(&valid.effective.name)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

pub(super) fn role(valid: &Valid) -> Option<Role> {
    if !valid.effective.gateway.enabled {
        return None;
    }
    let first = names::access_config_map(&valid.effective.name);
    let shards = (1..=SHARDS).map(|shard| format!("{first}-{shard}"));
    Some(Role {
        metadata: metadata(valid, &names::gateway_account(&valid.effective.name)),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["configmaps".to_owned()]),
            resource_names: Some(std::iter::once(first.clone()).chain(shards).collect()),
            verbs: ["get", "list", "watch"].map(str::to_owned).to_vec(),
            ..PolicyRule::default()
        }]),
    })
}

pub(super) fn role_binding(valid: &Valid) -> Option<RoleBinding> {
    if !valid.effective.gateway.enabled {
        return None;
    }
    let name = names::gateway_account(&valid.effective.name);
    Some(RoleBinding {
        metadata: metadata(valid, &name),
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "Role".to_owned(),
            name,
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: account(valid),
            namespace: Some(valid.effective.namespace.clone()),
            ..Subject::default()
        }]),
    })
}
