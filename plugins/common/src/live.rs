//! A server as it is in the cluster, with everything that decides about its calls: grants, sessions, policies.
//!
//! Read by `grant can-i|who-can|explain` and `server policy`. Gives the same answers as the gateway, because the same
//! functions give them. What the caller may not read is said, never guessed.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::{Bundle, Settings};
use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::ListParams;
use rules::{Effective, PolicySet};

use crate::api_error::During as _;
use crate::cluster::Cluster;
use crate::error::Result;

/// A server and what decides about its calls.
#[derive(Debug)]
pub struct LiveServer {
    /// The server.
    pub server: MCPServer,
    /// Its effective values.
    pub effective: Effective,
    /// Its grants, by name.
    pub grants: Vec<Arc<MCPAccessGrant>>,
    /// Its sessions, by name; empty when they may not be read.
    pub sessions: Vec<Arc<MCPAgentSession>>,
    /// What decides, as the gateway has it.
    pub bundle: Bundle,
    /// What could not be looked at, as sentences.
    pub unseen: Vec<String>,
}

impl LiveServer {
    /// Reads a server of the caller's namespace. The server and its grants must be readable; the rest is said in
    /// `unseen` when it is not.
    pub async fn read(cluster: &Cluster, name: &str, now: Timestamp) -> Result<Self> {
        let server = cluster
            .api::<MCPServer>()
            .get(name)
            .await
            .during(format!("cannot get mcpserver '{name}'"))?;
        let grants = cluster
            .api::<MCPAccessGrant>()
            .list(&ListParams::default())
            .await
            .during(format!(
                "cannot list grants in namespace '{}'",
                cluster.namespace
            ))?;
        let grants: Vec<_> = grants
            .items
            .into_iter()
            .filter(|grant| grant.spec.server_ref.name == name)
            .map(Arc::new)
            .collect();
        let mut unseen = Vec::new();
        let sessions = match cluster
            .api::<MCPAgentSession>()
            .list(&ListParams::default())
            .await
        {
            Ok(list) => list
                .items
                .into_iter()
                .filter(|s| s.spec.server_ref.name == name)
                .map(Arc::new)
                .collect(),
            Err(error) => {
                unseen.push(format!("sessions were not looked at: {}", reason(&error)));
                Vec::new()
            }
        };
        let policies = select_policies(cluster, &mut unseen).await;
        let effective = rules::effective(&server, &policies);
        let bundle = access::compile(
            &Settings::from(&effective),
            &server,
            &grants,
            &sessions,
            now,
        );
        Ok(Self {
            server,
            effective,
            grants,
            sessions,
            bundle,
            unseen,
        })
    }
}

/// The policies that select the caller's namespace, as far as they may be read.
pub async fn select_policies(cluster: &Cluster, unseen: &mut Vec<String>) -> PolicySet {
    let policies: Api<MCPPolicy> = Api::all(cluster.client.clone());
    let policies: Vec<_> = match policies.list(&ListParams::default()).await {
        Ok(list) => list.items.into_iter().map(Arc::new).collect(),
        Err(error) => {
            unseen.push(format!(
                "policies were not looked at, so their ceilings and teams are not counted: {}",
                reason(&error)
            ));
            return PolicySet::default();
        }
    };
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    match namespaces.get(&cluster.namespace).await {
        Ok(namespace) => {
            let labels: BTreeMap<_, _> = namespace.metadata.labels.unwrap_or_default();
            PolicySet::select(&policies, &cluster.namespace, &labels)
        }
        Err(error) => {
            unseen.push(format!(
                "labels of namespace '{}' were not looked at, so every policy is counted: {}",
                cluster.namespace,
                reason(&error)
            ));
            PolicySet::assume(&policies, &cluster.namespace)
        }
    }
}

fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => crate::api_error::status_message(status),
        other => other.to_string(),
    }
}
