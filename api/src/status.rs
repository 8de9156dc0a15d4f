//! What the operator says of an MCPServer.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::words;
use crate::server::Transport;

/// One word for people; programs read the conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Phase {
    #[default]
    Pending,
    PartiallyReady,
    Ready,
    Error,
}

words! { Phase { Pending => "Pending", PartiallyReady => "PartiallyReady", Ready => "Ready", Error => "Error" } }

/// What the operator says of an MCPServer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// One word for people; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The sentence of the first condition that is not true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where a client outside the cluster reaches the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where a pod of the cluster reaches the server.
    #[serde(
        rename = "internalURL",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub internal_url: Option<String>,
    /// The image as it runs: after tag, override and provisioned registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How the server speaks, after defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Hash of the access bundle that the gateways are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_revision: Option<String>,
    /// Ready pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The pods' label selector, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// What the server said of itself to the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovered: Option<Discovered>,
    /// The Deployment has all its replicas.
    #[serde(default)]
    pub deployment_ready: bool,
    /// The Service has an address.
    #[serde(default)]
    pub service_ready: bool,
    /// The Ingress has an address.
    #[serde(default)]
    pub ingress_ready: bool,
    /// The gateway completed a handshake with the server.
    #[serde(default)]
    pub gateway_ready: bool,
    /// The access bundle is in place.
    #[serde(default)]
    pub policy_ready: bool,
    /// Only those that apply, each with its own reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What the server said of itself to the gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Discovered {
    /// Name and version of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_info: Option<ServerInfo>,
    /// Protocol versions the server speaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocol_versions: Vec<String>,
    /// How many tools it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<i32>,
    /// How many prompts it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<i32>,
    /// How many resources it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<i32>,
    /// Where the server differs from what the spec declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
    /// The definitions of its tools, by name, as far as they could be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub definitions: Vec<Definition>,
}

/// How the server defines a tool now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// Name of the tool.
    pub name: String,
    /// What a pin of this definition would be.
    pub hash: String,
    /// What is suspicious in its text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
}

/// Name and version that a server gives itself. Self-declared: never an identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerInfo {
    /// The server's name of itself.
    #[serde(default)]
    pub name: String,
    /// The server's version of itself.
    #[serde(default)]
    pub version: String,
}
