//! MCPPrompt: a text with variables, as a prompt of the virtual servers that select it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{ItemStatus, PATH_PATTERN};

/// What the name of a variable or parameter is made of.
pub const VARIABLE_PATTERN: &str = "^[A-Za-z0-9_]+$";

/// A prompt is a text with variables. Every virtual server whose toolSelector matches its labels offers it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "kubectl-mcp.dev",
    version = "v1alpha1",
    kind = "MCPPrompt",
    plural = "mcpprompts",
    shortname = "mcpp",
    category = "mcp",
    namespaced,
    status = "ItemStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A prompt is a text with variables. Every virtual server whose toolSelector matches its labels offers it.",
    printcolumn(name = "Prompt", type_ = "string", json_path = ".spec.name"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Description",
        type_ = "string",
        json_path = ".spec.description",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.ingressPath) || !self.ingressPath.matches('//|/[.][.]?(/|$)')")
    .message("ingressPath must not have '//', '.' and '..'"))]
pub struct MCPPromptSpec {
    /// Name of the prompt, as clients see it.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// What it is for, for people and models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// The text. A variable stands in it as {{name}}.
    #[schemars(length(min = 1, max = 65536))]
    pub template: String,
    /// The variables of the text: each that is used, and no other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub variables: Vec<PromptVariable>,
    /// Path below the server's at which the prompt can also be had by plain HTTP (GET).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = PATH_PATTERN))]
    pub ingress_path: Option<String>,
}

/// A variable of a prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromptVariable {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 63), regex(pattern = VARIABLE_PATTERN))]
    pub name: String,
    /// What it means, for people and models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Whether a caller must give it. False when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// What stands in its place when a caller does not give it. Nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub default: Option<String>,
}
