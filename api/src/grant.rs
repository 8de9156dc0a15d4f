//! MCPAccessGrant: who may call what on a server of the same namespace.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Decision, Effect, ServerRef, SideEffect, Subject, Trust};

/// A grant gives a subject the use of tools, prompts and resources of one server, or (effect `Deny`) takes it away.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "kubectl-mcp.dev",
    version = "v1alpha1",
    kind = "MCPAccessGrant",
    plural = "mcpaccessgrants",
    shortname = "mcpgrant",
    category = "mcp",
    namespaced,
    status = "GrantStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A grant gives a subject the use of tools, prompts and resources of one server, or takes it away.",
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.serverRef.name"),
    printcolumn(name = "Effect", type_ = "string", json_path = ".spec.effect"),
    printcolumn(name = "Human", type_ = "string", json_path = ".spec.subject.humanID"),
    printcolumn(name = "Group", type_ = "string", json_path = ".spec.subject.group"),
    printcolumn(name = "Trust", type_ = "string", json_path = ".spec.maxTrust"),
    printcolumn(
        name = "Effective",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Effective\")].status"
    ),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.serverRef == oldSelf.serverRef && self.subject == oldSelf.subject")
    .message("serverRef and subject are immutable: make a new grant"))]
pub struct MCPAccessGrantSpec {
    /// The server, in the same namespace.
    pub server_ref: ServerRef,
    /// Allow gives, Deny takes away whatever the rules name, or everything.
    #[serde(default)]
    #[schemars(extend("default" = "Allow"))]
    pub effect: Effect,
    /// Who. All fields that are given must match.
    pub subject: Subject,
    /// The highest trust this grant can give.
    #[serde(default)]
    #[schemars(extend("default" = "low"))]
    pub max_trust: Trust,
    /// What calls may do to the world. Empty means that nothing can be called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub allowed_side_effects: Vec<SideEffect>,
    /// Tools by name or glob. Empty, or with nothing but denials, it means all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub tool_rules: Vec<ToolRule>,
    /// Prompts by name or glob. Absent means none, `*` means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    pub prompts: Vec<String>,
    /// Resources by URI or glob. Absent means none, `*` means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 2048)))]
    pub resources: Vec<String>,
    /// When the grant ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Turned off without being deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// Why, for whoever reads it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// One rule about tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolRule {
    /// A tool's name, or a pattern in which `*` stands for any characters.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// What the rule says. A denial wins over every allowance.
    #[serde(default)]
    #[schemars(extend("default" = "allow"))]
    pub decision: Decision,
    /// Trust that the rule asks for on top of the tool's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_trust: Option<Trust>,
}

/// What the operator found out about a grant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many declared tools of the server the grant covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_tools: Option<i32>,
    /// Rules that match no declared tool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead_rules: Vec<String>,
    /// `Effective`: whether the grant decides anything now, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
