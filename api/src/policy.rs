//! MCPPolicy: what the servers of some namespaces get, and must keep to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Trust, words};
use crate::server::{AuthMode, SecretKeyRef};

/// A policy for the MCP servers of the namespaces it selects.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "kubectl-mcp.dev",
    version = "v1alpha1",
    kind = "MCPPolicy",
    plural = "mcppolicies",
    shortname = "mcppolicy",
    category = "mcp",
    status = "PolicyStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A policy for the MCP servers of the namespaces it selects: defaults they get and rules they must keep to.",
    printcolumn(
        name = "Enforcement",
        type_ = "string",
        json_path = ".spec.enforcement"
    ),
    printcolumn(
        name = "Host",
        type_ = "string",
        json_path = ".spec.defaults.ingressHost"
    ),
    printcolumn(
        name = "Violations",
        type_ = "integer",
        json_path = ".status.violations"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MCPPolicySpec {
    /// Which namespaces; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Namespaces that the selector matches and the policy leaves out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)))]
    pub exclude_namespaces: Vec<String>,
    /// What a violation of the policy does; Enforce when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
    /// Another enforcement for single rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub overrides: Vec<RuleOverride>,
    /// What a server gets that does not say it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<Defaults>,
    /// The provisioned registry, for `useProvisionedRegistry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryPolicy>,
    /// The gateway in the servers' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayPolicy>,
    /// Which images may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagePolicy>,
    /// Where servers may be exposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressPolicy>,
    /// How callers are known, and how much they may get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessPolicy>,
    /// What pods may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadPolicy>,
    /// How much there may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Where servers may connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressPolicy>,
}

/// What a violation does: refuse, warn, note it in the audit log, nothing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[allow(missing_docs)]
pub enum Enforcement {
    Off,
    Audit,
    Warn,
    #[default]
    Enforce,
}

words! { Enforcement { Off => "Off", Audit => "Audit", Warn => "Warn", Enforce => "Enforce" } }

/// Another enforcement for one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleOverride {
    /// Code of the rule, such as MCP0103.
    #[schemars(regex(pattern = "^MCP[0-9]{4}$"))]
    pub rule: String,
    /// What a violation of it does.
    pub enforcement: Enforcement,
}

/// What a server gets that does not say it itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// Host of the Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub ingress_host: Option<String>,
    /// Class of the Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub ingress_class: Option<String>,
    /// TLS Secret of the Ingress.
    #[serde(
        rename = "ingressTLSSecret",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 253))]
    pub ingress_tls_secret: Option<String>,
    /// Path of the Ingress; `{name}` and `{namespace}` are filled in. `/{name}/mcp` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub path_template: Option<String>,
    /// Resources of the server's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Pull secrets, by name, in the server's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub image_pull_secrets: Vec<String>,
    /// Labels of the MCPServer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The provisioned registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryPolicy {
    /// Host, with port and path prefix where there is one.
    #[schemars(length(min = 1, max = 512))]
    pub host: String,
    /// Speaks plain HTTP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Pull-only credentials, a key of type dockerconfigjson in the system namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretKeyRef>,
    /// A mirror to pull through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub mirror: Option<String>,
}

/// The gateway in the servers' pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayPolicy {
    /// Its image; the operator's flag when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub image: Option<String>,
}

/// Which images may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImagePolicy {
    /// Host with port, or host and whole path segments. Absent restricts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 512)))]
    pub allowed_registries: Option<Vec<String>>,
    /// Every image must name a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_digest: Option<bool>,
    /// No image without tag, with `latest`, `main` or the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbid_mutable_tags: Option<bool>,
    /// Only what a catalogue lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_only: Option<bool>,
    /// The catalogues; those of the system namespace when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub catalogs: Option<Vec<CatalogRef>>,
}

/// One catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CatalogRef {
    /// Namespace of the MCPRegistry.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of the MCPRegistry.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Where servers may be exposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressPolicy {
    /// Hosts; `*.example.com` stands for exactly one label. Absent restricts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub allowed_hosts: Option<Vec<String>>,
    /// A server must have a host. True when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_host: Option<bool>,
    /// A server must have a TLS Secret.
    #[serde(
        rename = "requireTLS",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub require_tls: Option<bool>,
    /// Ingress classes. Absent restricts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub allowed_classes: Option<Vec<String>>,
    /// Ingress annotations, by key; a trailing `*` stands for any ending. Absent allows those that only name things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 317)))]
    pub allowed_annotations: Option<Vec<String>>,
    /// Paths; `{namespace}` is filled in. Absent restricts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    pub allowed_path_prefixes: Option<Vec<String>>,
    /// Servers may claim wildcard hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_wildcard_hosts: Option<bool>,
}

/// How callers are known, and how much they may get.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessPolicy {
    /// No server without a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_gateway: Option<bool>,
    /// Ways to be known. Absent restricts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5))]
    pub allowed_auth_modes: Option<Vec<AuthMode>>,
    /// OAuth issuers. Absent restricts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 2048)))]
    pub allowed_issuers: Option<Vec<String>>,
    /// No `observe`, no `defaultDecision: allow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbid_observe: Option<bool>,
    /// The highest trust of any grant, also of those that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_trust: Option<Trust>,
    /// The longest life of a grant, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub max_grant_lifetime: Option<String>,
    /// The longest life of a session, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub max_session_lifetime: Option<String>,
    /// How old a gateway's knowledge may become before it denies, a Go duration; 10m when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub max_staleness: Option<String>,
    /// Which groups of a requester make him a member of a team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub teams: Option<Vec<TeamMapping>>,
    /// A grant must say why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_reason: Option<bool>,
    /// Grants of these trust levels need a second person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3))]
    pub four_eyes_for: Option<Vec<Trust>>,
}

/// The groups whose members are a team.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TeamMapping {
    /// The team, as it stands in a subject's `teamID`.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Groups of Kubernetes users.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub groups: Vec<String>,
}

/// What pods may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadPolicy {
    /// No literal secrets in `env`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbid_literal_secrets: Option<bool>,
    /// Nothing of the host in `podTemplate`. True when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbid_host_access: Option<bool>,
    /// Service accounts that a server may name. Absent restricts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub allowed_service_accounts: Option<Vec<String>>,
}

/// How much there may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Servers in one namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub servers_per_namespace: Option<i32>,
    /// Replicas of one server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// Tools of one server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub tools_per_server: Option<i32>,
    /// Live sessions of one requester on one server; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub sessions_per_requester: Option<i32>,
    /// CPU limit of one server's container, a quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub cpu: Option<String>,
    /// Memory limit of one server's container, a quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub memory: Option<String>,
}

/// Where servers may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EgressPolicy {
    /// Hosts or CIDRs. Absent restricts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub allowed: Option<Vec<String>>,
}

/// What the operator says of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many namespaces the policy selects now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_namespaces: Option<i32>,
    /// How many live MCPServers, MCPAccessGrants and MCPAgentSessions of these namespaces break the policy as they stand:
    /// a rule that the policy mentions has something against them under this policy. What it only warns about or notes
    /// counts too, what it turned off does not; an object that two policies forbid counts for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violations: Option<i32>,
    /// `Accepted`: the policy is understood and free of contradictions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
