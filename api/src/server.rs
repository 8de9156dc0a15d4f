//! MCPServer: one MCP server of a team.
//!
//! No field here has a schema default where its absence means something to a rule or a policy: the API server would
//! fill it in before any webhook, and "set by the user" would be lost. Effective values come from
//! `rules::effective`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, PodTemplateSpec, ResourceRequirements, Volume, VolumeMount,
};
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::access::{Decision, SideEffect, Trust, words};
use crate::duration;
use crate::status::ServerStatus;
use crate::workload::{Autoscaling, Rollout};

/// One MCP server: an image to run, a virtual server of MCPTools, or a server elsewhere.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "kubectl-mcp.dev",
    version = "v1alpha1",
    kind = "MCPServer",
    plural = "mcpservers",
    shortname = "mcps",
    category = "mcp",
    namespaced,
    status = "ServerStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "An MCP server: an image to run, a virtual server of MCPTools, or a server elsewhere.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(
        name = "Tools",
        type_ = "integer",
        json_path = ".status.discovered.tools"
    ),
    printcolumn(name = "Transport", type_ = "string", json_path = ".status.transport"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".status.image",
        priority = 1
    ),
    printcolumn(
        name = "Policy",
        type_ = "string",
        json_path = ".status.policyRevision",
        priority = 1
    ),
    printcolumn(
        name = "Gateway",
        type_ = "string",
        json_path = ".status.gatewayReady",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "(has(self.image) ? 1 : 0) + (has(self.toolSelector) ? 1 : 0) + (has(self.remote) ? 1 : 0) == 1"
).message("must have exactly one of image, toolSelector and remote"))]
#[x_kube(validation = Rule::new(
    "!has(self.imageTag) || !has(self.image) || !self.image.matches('(:[^/]*|@.*)$')"
).message("imageTag must not be set when image has a tag or a digest"))]
#[x_kube(validation = Rule::new(
    "!(has(self.useProvisionedRegistry) && self.useProvisionedRegistry && has(self.registryOverride))"
).message("registryOverride and useProvisionedRegistry must not both be set"))]
#[x_kube(validation = Rule::new(
    "(has(self.port) ? self.port : 8088) != (has(self.gateway) && has(self.gateway.port) ? self.gateway.port : 8091) || \
     (has(self.gateway) && has(self.gateway.enabled) && !self.gateway.enabled)"
).message("port must not be the gateway's port"))]
#[x_kube(validation = Rule::new(
    "!(has(self.transport) && self.transport == 'stdio' && (has(self.port) || has(self.path)))"
).message("a stdio server has no port and no path"))]
pub struct MCPServerSpec {
    /// What the server is for, shown in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// The team that owns the server.
    #[serde(rename = "teamID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub team_id: Option<String>,

    /// Image to run. Exactly one of image, toolSelector and remote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub image: Option<String>,
    /// Tag, when the image has neither tag nor digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub image_tag: Option<String>,
    /// Registry, with port and path prefix where there is one, that takes the place of the image's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub registry_override: Option<String>,
    /// Pull from the policy's registry instead of the image's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_provisioned_registry: Option<bool>,
    /// Pull secrets by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub image_pull_secrets: Vec<String>,

    /// Command of the server; the image's entry point when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 32768)))]
    pub command: Vec<String>,
    /// Arguments of the server; the image's when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(max = 32768)))]
    pub args: Vec<String>,
    /// Environment of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub env: Vec<EnvVar>,
    /// Environment of the server from ConfigMaps and Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub env_from: Vec<EnvFromSource>,
    /// Volumes of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub volumes: Vec<Volume>,
    /// Volume mounts of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub volume_mounts: Vec<VolumeMount>,
    /// Resources of the server, not of the gateway. 50m / 64Mi requested, 500m / 256Mi at most when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Pods. 1 when absent, 0 is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// Service account of the pod; one of its own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Give the server's container a token of the service account. False when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_token: Option<bool>,
    /// Keep a client on one pod: None or ClientIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(None|ClientIP)$"))]
    pub session_affinity: Option<String>,
    /// A partial pod template: labels, annotations, scheduling, a stricter security context, extra containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "preserve_unknown")]
    pub pod_template: Option<PodTemplateSpec>,

    /// How the server speaks. streamable-http when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Processes of a stdio server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdio: Option<Stdio>,
    /// Which protocol eras are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The server's own port. 8088 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Port of the Service. 80 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub service_port: Option<i32>,
    /// The server's own path. `/mcp` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub path: Option<String>,
    /// What the pod may connect to and mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_profile: Option<PermissionProfile>,

    /// First part of the public path, before `/mcp`. The server's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 250))]
    pub public_path_prefix: Option<String>,
    /// Host of the Ingress; the policy's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub ingress_host: Option<String>,
    /// Path of the Ingress; wins over publicPathPrefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub ingress_path: Option<String>,
    /// Class of the Ingress. traefik when neither this nor the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub ingress_class: Option<String>,
    /// Annotations of the Ingress.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ingress_annotations: BTreeMap<String, String>,
    /// TLS Secret of the Ingress.
    #[serde(
        rename = "ingressTLSSecret",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 253))]
    pub ingress_tls_secret: Option<String>,
    /// A Gateway API gateway: makes an HTTPRoute instead of an Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ref: Option<GatewayRef>,

    /// Tools that may be granted, with what each asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tools: Vec<Tool>,
    /// Prompts that may be granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub prompts: Vec<NamedItem>,
    /// Resources that may be granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub mcp_resources: Vec<NamedItem>,

    /// How callers are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What happens to a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<ServerPolicy>,
    /// Sessions of callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionSettings>,
    /// The gateway in the server's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// Rate limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub rate_limits: Vec<RateLimit>,
    /// Where the audit lines go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// How a change reaches the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// A HorizontalPodAutoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Peers beyond those that the gateway needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySpec>,

    /// A server elsewhere, or a Service of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// A virtual server of the MCPTools that these labels select.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_selector: Option<LabelSelector>,
    /// Redis of a virtual server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// Settings of a virtual server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<VirtualConfig>,
}

/// The schema of a field that is judged by rules and not by the schema.
fn preserve_unknown(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// The schema of an optional Go duration.
fn duration_schema(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string", "maxLength": 64, "pattern": duration::PATTERN })
}

/// How a server speaks MCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Transport {
    #[default]
    StreamableHttp,
    Sse,
    Stdio,
}

/// Processes of a stdio server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stdio {
    /// Who shares a process. principal when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<StdioScope>,
    /// Most processes at a time. 3 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_processes: Option<i32>,
    /// When an idle process ends. 5m when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub idle_timeout: Option<String>,
}

/// Who shares a process of a stdio server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum StdioScope {
    #[default]
    Principal,
    Session,
    Shared,
}

/// Which protocol eras are served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Protocol {
    /// Whether the gateway translates for a server of another era. auto when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translate: Option<Translate>,
}

/// Whether the gateway translates for a server of another era.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Translate {
    #[default]
    Auto,
    Always,
    Never,
}

/// What a pod may connect to and mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionProfile {
    /// A profile of this project, or one from a ConfigMap.
    #[serde(rename = "type")]
    pub type_: PermissionProfileType,
    /// none or network; or the name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key of the ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// Where a permission profile stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum PermissionProfileType {
    #[default]
    Builtin,
    ConfigMap,
}

/// A listener of a Gateway API gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRef {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the Gateway; this one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Listener of the Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
}

/// A tool that may be granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Name, as the server lists it.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Trust that a call needs. low when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_trust: Option<Trust>,
    /// What a call does to the world. read when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_effect: Option<SideEffect>,
    /// OAuth scopes that a call needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    pub scopes: Vec<String>,
    /// Labels, for selectors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Hashes of the approved definitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pins_schema")]
    pub pin: Option<Pins>,
}

/// One approved definition, or several during a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pins {
    /// One hash.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Either a string or a list; the rules say what the string must be (MCP0504).
fn pins_schema(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// A prompt or a resource that may be granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedItem {
    /// Name of the prompt, or URI of the resource.
    #[schemars(length(min = 1, max = 2048))]
    pub name: String,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Labels, for selectors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// How callers are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!(has(self.mode) && self.mode == 'header') || (has(self.trustedProxies) && size(self.trustedProxies) > 0)"
).message("mode header needs trustedProxies"))]
#[x_kube(validation = Rule::new(
    "!(has(self.mode) && self.mode == 'oauth') || (has(self.oauth) && has(self.oauth.issuers) && size(self.oauth.issuers) > 0)"
).message("mode oauth needs oauth.issuers"))]
pub struct Auth {
    /// session when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<AuthMode>,
    /// Header with the person. X-MCP-Human-ID when absent.
    #[serde(
        rename = "humanIDHeader",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub human_id_header: Option<String>,
    /// Header with the agent. X-MCP-Agent-ID when absent.
    #[serde(
        rename = "agentIDHeader",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub agent_id_header: Option<String>,
    /// Header with the team. X-MCP-Team-ID when absent.
    #[serde(
        rename = "teamIDHeader",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub team_id_header: Option<String>,
    /// Header with a session token beside another identity. X-MCP-Agent-Session when absent.
    #[serde(
        rename = "sessionIDHeader",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub session_id_header: Option<String>,
    /// Header with the bearer token. Authorization when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub token_header: Option<String>,
    /// Who may set the identity headers, with mode header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Issuers and scopes, with mode oauth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OAuth>,
}

/// How callers are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum AuthMode {
    #[default]
    Session,
    OAuth,
    Kubernetes,
    Header,
    None,
}

words! {
    AuthMode {
        Session => "session", OAuth => "oauth", Kubernetes => "kubernetes", Header => "header", None => "none"
    }
    Transport { StreamableHttp => "streamable-http", Sse => "sse", Stdio => "stdio" }
    PolicyMode { AllowList => "allow-list", Observe => "observe" }
    AuditSink { Stdout => "stdout", Http => "http", Off => "off" }
}

/// Pods or addresses that may set identity headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustedProxy {
    /// Pods of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,
    /// Namespaces of these labels; this one when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub namespace_labels: BTreeMap<String, String>,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub cidr: Option<String>,
}

/// The server as an OAuth resource server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth {
    /// Scopes that every call needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    pub required_scopes: Vec<String>,
    /// Whose tokens are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub issuers: Vec<Issuer>,
}

/// An issuer of OAuth tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issuer {
    /// The `iss` of its tokens.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// Audiences that are taken; the server's URL when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 2048)))]
    pub audiences: Vec<String>,
    /// Where its keys are; discovered when absent.
    #[serde(rename = "jwksURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub jwks_url: Option<String>,
    /// Which claims hold whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<IssuerClaims>,
}

/// Names of claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuerClaims {
    /// The person. sub when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub human: Option<String>,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub agent: Option<String>,
    /// The team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub team: Option<String>,
    /// The scopes. scope when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub scopes: Option<String>,
}

/// What happens to a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerPolicy {
    /// allow-list when absent; observe lets every call through and notes what would have been denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PolicyMode>,
    /// What happens when no grant matches. deny when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_decision: Option<Decision>,
    /// What happens to a tool that the spec does not declare. deny when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undeclared_tools: Option<Decision>,
    /// What happens to a tool whose definition is not the approved one. off when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pins: Option<PinMode>,
}

/// Whether grants decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum PolicyMode {
    #[default]
    AllowList,
    Observe,
}

/// What happens to a tool whose definition is not the approved one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum PinMode {
    #[default]
    Off,
    Warn,
    Enforce,
}

/// Sessions of callers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionSettings {
    /// Every call needs a session token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// The longest life of an MCPAgentSession. 24h when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub max_lifetime: Option<String>,
    /// When an idle MCP protocol session ends. 1h when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub idle_timeout: Option<String>,
}

/// The gateway in the server's pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// False is direct mode: nothing is enforced. True when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Its port. 8091 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Resources of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Hosts beyond those that the operator derives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 260)))]
    pub allowed_hosts: Vec<String>,
    /// Origins of browser clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    pub allowed_origins: Vec<String>,
}

/// A token bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RateLimit {
    /// Who shares the bucket.
    pub scope: RateLimitScope,
    /// The tool, with scope tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tool: Option<String>,
    /// Requests in `per`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: i32,
    /// The time in which the bucket fills.
    #[schemars(schema_with = "duration_schema")]
    pub per: String,
    /// Size of the bucket; `requests` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<i32>,
}

/// Who shares a token bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum RateLimitScope {
    #[default]
    Server,
    Subject,
    Tool,
}

/// Where the audit lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// stdout when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<AuditSink>,
    /// Where, with sink http.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
    /// Key towards the sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,
    /// Argument names whose values never reach the sink.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub redact: Vec<String>,
}

/// Where the audit lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum AuditSink {
    #[default]
    Stdout,
    Http,
    Off,
}

/// A key of a Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A key of a ConfigMap of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Peers beyond those that the gateway needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Who may reach the gateway's port; anybody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub ingress_from: Option<Vec<NetworkPolicyPeer>>,
    /// Where the pod may connect to, beyond its profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub egress_to: Option<Vec<NetworkPolicyPeer>>,
}

/// A server elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.url) != has(self.service)").message("must have exactly one of url and service"))]
pub struct Remote {
    /// URL of the server, https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
    /// A Service of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<RemoteService>,
    /// Headers that the gateway adds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub headers_from_secret: Vec<SecretHeader>,
    /// CA that signs the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<ConfigMapRef>,
}

/// A Service of this namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemoteService {
    /// Name of the Service.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Port of the Service.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// A header whose value is in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretHeader {
    /// Name of the header.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Where its value is.
    pub secret_key_ref: SecretKeyRef,
}

/// Redis of a virtual server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redis {
    /// Service of this namespace.
    #[schemars(length(min = 1, max = 63))]
    pub service_name: String,
    /// Port of the Service. 6379 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
}

/// Settings of a virtual server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualConfig {
    /// How long a call to a Service may take. 30s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub request_timeout: Option<String>,
    /// Calls to Services at a time. 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_concurrent_requests: Option<i32>,
}
