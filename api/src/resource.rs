//! MCPResource: a text, bytes or HTTP endpoints, as resources of the virtual servers that select it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::words;
use crate::tool::{ItemStatus, Method, PATH_PATTERN, ServiceTarget};

/// What a URI looks like: a scheme and something behind it. MCP0809 reads the rest.
pub const URI_PATTERN: &str = "^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$";
/// What a MIME type looks like: a type, a subtype and maybe parameters. MCP0809 reads the parameters.
pub const MIME_PATTERN: &str = "^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+([ \t]*;.*)?$";
/// What the name of a parameter is made of.
pub const PARAMETER_PATTERN: &str = "^[A-Za-z0-9_.-]+$";
/// What base64 is made of.
pub const BASE64_PATTERN: &str = "^[A-Za-z0-9+/]*={0,2}$";

/// A resource is a content or what HTTP endpoints answer. Every virtual server whose toolSelector matches its labels
/// offers it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "kubectl-mcp.dev",
    version = "v1alpha1",
    kind = "MCPResource",
    plural = "mcpresources",
    shortname = "mcpr",
    category = "mcp",
    namespaced,
    status = "ItemStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A resource is a content or what HTTP endpoints answer. Every virtual server whose toolSelector matches its labels offers it.",
    printcolumn(name = "Resource", type_ = "string", json_path = ".spec.name"),
    printcolumn(name = "URI", type_ = "string", json_path = ".spec.content.uri"),
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
        name = "Type",
        type_ = "string",
        json_path = ".spec.content.mimeType",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.content) != has(self.operations)")
    .message("must have exactly one of content and operations"))]
pub struct MCPResourceSpec {
    /// Name of the resource, as clients see it.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// What it is, for people and models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// What stands here. Exactly one of content and operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ResourceContent>,
    /// What HTTP endpoints answer. Exactly one of content and operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub operations: Option<Vec<ResourceOperation>>,
}

/// The content of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.text) != has(self.blob)").message("must have exactly one of text and blob"))]
#[x_kube(validation = Rule::new("!has(self.blob) || self.blob.size() % 4 == 0")
    .message("blob must be base64, with = at its end up to a multiple of four characters"))]
pub struct ResourceContent {
    /// URI of the resource, as clients read it: a scheme of your own will do.
    #[schemars(length(min = 1, max = 2048), regex(pattern = URI_PATTERN))]
    pub uri: String,
    /// MIME type. text/plain for text and application/octet-stream for blob when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 255), regex(pattern = MIME_PATTERN))]
    pub mime_type: Option<String>,
    /// The content as text. Exactly one of text and blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub text: Option<String>,
    /// The content as bytes in base64. Exactly one of text and blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 349_528), regex(pattern = BASE64_PATTERN))]
    pub blob: Option<String>,
}

/// One HTTP endpoint whose answer is a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.ingressPath.matches('//|/[.][.]?(/|$)')")
    .message("ingressPath must not have '//', '.' and '..'"))]
pub struct ResourceOperation {
    /// HTTP method of the request.
    pub method: Method,
    /// Path below the server's at which the resource is, also by plain HTTP. A parameter stands in it as {name}.
    #[schemars(length(min = 1, max = 255), regex(pattern = PATH_PATTERN))]
    pub ingress_path: String,
    /// Where the request goes.
    pub service: ServiceTarget,
    /// Parameters of the request: each {name} of the paths, and those of query and header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into(), "in".into()]))]
    pub parameters: Vec<OperationParameter>,
}

/// A parameter of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperationParameter {
    /// Name of the parameter.
    #[schemars(length(min = 1, max = 63), regex(pattern = PARAMETER_PATTERN))]
    pub name: String,
    /// Where in the request to the Service it stands.
    #[serde(rename = "in")]
    pub in_: ParameterPlace,
    /// Whether a caller must give it. A parameter of the path always has to be given. False when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// What it means, for people and models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
}

/// Where in a request a parameter stands.
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
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ParameterPlace {
    #[default]
    Path,
    Query,
    Header,
}

words! { ParameterPlace { Path => "path", Query => "query", Header => "header" } }
