//! MCPTool: one HTTP endpoint of a Service, or several, as tools of the virtual servers that select it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::{SideEffect, Trust, words};
use crate::server::preserve_unknown;

/// What a path of ours may be made of: nothing encoded, no query, `{name}` for a parameter (MCP0810).
pub const PATH_PATTERN: &str = "^/[A-Za-z0-9._~!$&'()*+,;=:@{}/-]*$";

/// A tool calls an HTTP endpoint of a Service. Every virtual server whose toolSelector matches its labels offers it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "kubectl-mcp.dev",
    version = "v1alpha1",
    kind = "MCPTool",
    plural = "mcptools",
    shortname = "mcpt",
    category = "mcp",
    namespaced,
    status = "ItemStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A tool calls an HTTP endpoint of a Service. Every virtual server whose toolSelector matches its labels offers it.",
    printcolumn(name = "Tool", type_ = "string", json_path = ".spec.name"),
    printcolumn(name = "Service", type_ = "string", json_path = ".spec.service.name"),
    printcolumn(name = "Trust", type_ = "string", json_path = ".spec.requiredTrust"),
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
        name = "Port",
        type_ = "integer",
        json_path = ".spec.service.port",
        priority = 1
    ),
    printcolumn(
        name = "Path",
        type_ = "string",
        json_path = ".spec.service.path",
        priority = 1
    ),
    printcolumn(
        name = "Side Effect",
        type_ = "string",
        json_path = ".spec.sideEffect",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.name) != has(self.tools)")
    .message("must have exactly one of name and tools"))]
#[x_kube(validation = Rule::new("!has(self.tools) || (!has(self.inputSchema) && !has(self.ingressPath))")
    .message("inputSchema and ingressPath belong to the entries of tools"))]
#[x_kube(validation = Rule::new("!has(self.ingressPath) || !self.ingressPath.matches('//|/[.][.]?(/|$)')")
    .message("ingressPath must not have '//', '.' and '..'"))]
pub struct MCPToolSpec {
    /// Name of the tool, as clients see it. Exactly one of name and tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9_./-]+$"))]
    pub name: Option<String>,
    /// What it does, for people and models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// Trust that a call needs. low when absent. With tools: of every entry that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_trust: Option<Trust>,
    /// What a call does to the world. read when absent. With tools: of every entry that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_effect: Option<SideEffect>,
    /// Labels in the inventory of a server. A toolSelector looks at metadata.labels, not at these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where a call goes.
    pub service: ServiceTarget,
    /// JSON Schema 2020-12 of the arguments, of type object. An object without properties when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "preserve_unknown")]
    pub input_schema: Option<Map<String, Value>>,
    /// HTTP method of a call. POST when absent. With tools: of every entry that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Path below the server's at which the tool can also be called by plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = PATH_PATTERN))]
    pub ingress_path: Option<String>,
    /// Several tools of one Service. Exactly one of name and tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tools: Option<Vec<ToolEntry>>,
}

/// One of several tools of one Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.path) || !self.path.matches('//|/[.][.]?(/|$)')")
    .message("path must not have '//', '.' and '..'"))]
#[x_kube(validation = Rule::new("!has(self.ingressPath) || !self.ingressPath.matches('//|/[.][.]?(/|$)')")
    .message("ingressPath must not have '//', '.' and '..'"))]
pub struct ToolEntry {
    /// Name of the tool, as clients see it.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9_./-]+$"))]
    pub name: String,
    /// What it does, for people and models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// Path of a call; the Service's when absent. A parameter stands in it as {name}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = PATH_PATTERN))]
    pub path: Option<String>,
    /// HTTP method of a call; that of the MCPTool when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// JSON Schema 2020-12 of the arguments, of type object. An object without properties when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "preserve_unknown")]
    pub input_schema: Option<Map<String, Value>>,
    /// Trust that a call needs; that of the MCPTool when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_trust: Option<Trust>,
    /// What a call does to the world; what the MCPTool says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_effect: Option<SideEffect>,
    /// Labels in the inventory of a server, besides those of the MCPTool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Path below the server's at which the tool can also be called by plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = PATH_PATTERN))]
    pub ingress_path: Option<String>,
}

/// An HTTP endpoint of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.path) || !self.path.matches('//|/[.][.]?(/|$)')")
    .message("path must not have '//', '.' and '..'"))]
pub struct ServiceTarget {
    /// Name of the Service.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Namespace of the Service; this one when absent. Another one has to agree, by a label (MCP0805).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Port of the Service.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Path of a request. / when absent. A parameter stands in it as {name}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = PATH_PATTERN))]
    pub path: Option<String>,
}

/// HTTP method of a request to a Service.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum Method {
    Get,
    #[default]
    Post,
    Put,
    Delete,
    Patch,
}

words! {
    Method { Get => "GET", Post => "POST", Put => "PUT", Delete => "DELETE", Patch => "PATCH" }
}

/// A tool of an MCPTool, whichever of the two ways it was written.
#[derive(Clone, Copy, Debug)]
pub struct ToolView<'a> {
    /// Its place in `tools`; none for the tool that the MCPTool itself is.
    pub index: Option<usize>,
    /// Its name.
    pub name: &'a str,
    /// The path of a call; none means `/`.
    pub path: Option<&'a str>,
    /// The schema of its arguments.
    pub input_schema: Option<&'a Map<String, Value>>,
    /// The method of a call.
    pub method: Method,
    /// Its path for plain HTTP.
    pub ingress_path: Option<&'a str>,
}

impl MCPToolSpec {
    /// The tools: one of the object's name, those of `tools`, or (in an object that says both) all of them.
    pub fn views(&self) -> impl Iterator<Item = ToolView<'_>> {
        let method = self.method.unwrap_or_default();
        let own = self.name.as_deref().map(|name| ToolView {
            index: None,
            name,
            path: self.service.path.as_deref(),
            input_schema: self.input_schema.as_ref(),
            method,
            ingress_path: self.ingress_path.as_deref(),
        });
        let entries = self.tools.iter().flatten().enumerate();
        own.into_iter()
            .chain(entries.map(move |(index, entry)| ToolView {
                index: Some(index),
                name: &entry.name,
                path: entry.path.as_deref().or(self.service.path.as_deref()),
                input_schema: entry.input_schema.as_ref(),
                method: entry.method.unwrap_or(method),
                ingress_path: entry.ingress_path.as_deref(),
            }))
    }
}

/// What the operator found out about a tool, a prompt or a resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The virtual servers that select it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Accepted, Ready: only those that apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_entries_of_tools_take_what_they_do_not_say_from_the_object() {
        let spec: MCPToolSpec = serde_json::from_value(json!({
            "method": "GET", "service": {"name": "s", "port": 80, "path": "/all"},
            "tools": [{"name": "a"}, {"name": "b", "path": "/b", "method": "PUT"}]
        }))
        .unwrap();
        let views: Vec<_> = spec
            .views()
            .map(|view| (view.name, view.path, view.method.as_str()))
            .collect();
        assert_eq!(
            views,
            [("a", Some("/all"), "GET"), ("b", Some("/b"), "PUT")]
        );
    }
}
