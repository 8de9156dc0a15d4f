//! From a validated server to the objects it wants. Pure: no cluster, no clock; tested by snapshots.

mod access;
mod deployment;
mod ingress;
mod network_policy;
mod outside;
mod rbac;
mod secret;
mod service;
mod stdio;
mod upstream;

use std::collections::BTreeMap;

use api::names;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ObjectMeta;

pub use access::config_map;
pub use secret::secret;

use super::validate::Valid;

/// What a server wants to exist. An absent object that was there before is removed.
///
/// The access bundle is not among them: it changes with every grant and session, and is written first.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Prepared {
    pub service_account: Option<ServiceAccount>,
    pub role: Option<Role>,
    pub role_binding: Option<RoleBinding>,
    pub service: Service,
    pub network_policy: NetworkPolicy,
    pub deployment: Deployment,
    pub ingress: Option<Ingress>,
}

/// Builds everything.
pub fn build(valid: &Valid) -> Prepared {
    Prepared {
        service_account: rbac::service_account(valid),
        role: rbac::role(valid),
        role_binding: rbac::role_binding(valid),
        service: service::service(valid),
        network_policy: network_policy::network_policy(valid),
        deployment: deployment::deployment(valid),
        ingress: ingress::ingress(valid),
    }
}

/// The labels that select a server's pods. They never change: a Deployment's selector is immutable.
fn selector(server: &str) -> BTreeMap<String, String> {
    [
        (names::SERVER_LABEL, server),
        (names::MANAGED_BY, names::OPERATOR),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// The labels of every object.
fn labels(server: &str) -> BTreeMap<String, String> {
    let mut labels = selector(server);
    labels.insert(names::PART_OF.to_owned(), names::PROJECT.to_owned());
    labels.insert("app.kubernetes.io/name".to_owned(), server.to_owned());
    labels
}

fn metadata(valid: &Valid, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(valid.effective.namespace.clone()),
        labels: Some(labels(&valid.effective.name)),
        ..ObjectMeta::default()
    }
}

/// The port that the Service leads to: the gateway's, or the server's own in direct mode.
fn entry_port(valid: &Valid) -> u16 {
    if valid.effective.gateway.enabled {
        valid.effective.gateway.port
    } else {
        valid.effective.port
    }
}

/// The account the pod runs under.
fn account(valid: &Valid) -> String {
    valid
        .server
        .spec
        .service_account_name
        .clone()
        .unwrap_or_else(|| names::gateway_account(&valid.effective.name))
}

#[cfg(test)]
mod tests;
