//! What happens to a call: policy, sessions, limits, audit, and the gateway that sees to it.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretKeyRef, duration_schema};
use crate::access::{Decision, words};

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.scope != 'tool' || has(self.tool)").message("scope tool needs a tool"))]
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

/// Fields of an audit line that `audit.redact` can name.
pub const REDACTABLE: [&str; 5] = ["@principal", "@agent", "@name", "@session", "@arguments"];

/// Where the audit lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.sink) && self.sink == 'http') || has(self.url)")
    .message("sink http needs a url"))]
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
    /// What is left out of audit lines: names of arguments, whose values then do not count in the hash of the arguments,
    /// and @principal, @agent, @name, @session, @arguments for these fields of a line.
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

words! {
    PolicyMode { AllowList => "allow-list", Observe => "observe" }
    AuditSink { Stdout => "stdout", Http => "http", Off => "off" }
}
