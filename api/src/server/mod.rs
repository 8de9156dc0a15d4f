//! MCPServer: one MCP server of a team.
//!
//! No field here has a schema default where its absence means something to a rule or a policy: the API server would
//! fill it in before any webhook, and "set by the user" would be lost. Effective values come from
//! `rules::effective`.

mod auth;
mod control;
mod inventory;
mod runtime;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, PodTemplateSpec, ResourceRequirements, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

pub use auth::{Auth, AuthMode, Issuer, IssuerClaims, OAuth, TrustedProxy};
pub use control::{
    Audit, AuditSink, Gateway, PinMode, PolicyMode, REDACTABLE, RateLimit, RateLimitScope,
    ServerPolicy, SessionSettings,
};
pub use inventory::{NamedItem, Pins, Tool};
pub use runtime::{
    ConfigMapRef, GatewayRef, NetworkPolicySpec, PermissionProfile, PermissionProfileType,
    Protocol, Redis, Remote, RemoteService, SecretHeader, SecretKeyRef, Stdio, StdioScope,
    Translate, Transport, VirtualConfig,
};

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
#[x_kube(validation = Rule::new(
    "!has(self.stdio) || (has(self.transport) && self.transport == 'stdio')"
).message("stdio needs transport: stdio"))]
#[x_kube(validation = Rule::new(
    "!(has(self.replicas) && has(self.autoscaling))"
).message("replicas must not be set with autoscaling"))]
#[x_kube(validation = Rule::new(
    "!(has(self.gateway) && has(self.gateway.enabled) && !self.gateway.enabled) || !(has(self.policy) || \
     has(self.session) || (has(self.rateLimits) && size(self.rateLimits) > 0) || \
     (has(self.auth) && !(has(self.auth.mode) && self.auth.mode == 'none')))"
).message("auth, policy, session and rateLimits must not be set with gateway.enabled: false"))]
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
    /// Redis, for rate limits that all replicas share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// How long calls may take, and how many there may be at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<VirtualConfig>,
}

/// The schema of a field that is judged by rules and not by the schema.
pub(crate) fn preserve_unknown(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// The schema of an optional Go duration.
pub(crate) fn duration_schema(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string", "maxLength": 64, "pattern": duration::PATTERN })
}
