//! MCPRegistry: a catalogue of MCP servers, read from somewhere and kept in the cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::words;
use crate::server::duration_schema;

/// A catalogue of MCP servers: read from a ConfigMap, a URL, a Git repository or the cluster itself, and kept in the
/// cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "kubectl-mcp.dev",
    version = "v1alpha1",
    kind = "MCPRegistry",
    plural = "mcpregistries",
    shortname = "mcpreg",
    category = "mcp",
    namespaced,
    status = "RegistryStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A catalogue of MCP servers: read from a ConfigMap, a URL, a Git repository or the cluster itself, and kept in the cluster.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.source.type"),
    printcolumn(name = "Servers", type_ = "integer", json_path = ".status.serverCount"),
    printcolumn(name = "Last Sync", type_ = "date", json_path = ".status.lastSyncTime"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Format",
        type_ = "string",
        json_path = ".status.format",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MCPRegistrySpec {
    /// Name of the catalogue, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub display_name: Option<String>,
    /// Format of the data. toolhive when absent; a source of type cluster has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<RegistryFormat>,
    /// Where the data are.
    pub source: RegistrySource,
    /// When the data are read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_policy: Option<SyncPolicy>,
    /// Which servers are taken over; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<RegistryFilter>,
}

/// Format of a catalogue's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum RegistryFormat {
    #[default]
    Toolhive,
    Upstream,
}

/// Where a catalogue's data are: exactly the source that `type` names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new(
    "has(self.configmap) == (self.type == 'configmap') && has(self.url) == (self.type == 'url') && \
     has(self.git) == (self.type == 'git') && (!has(self.cluster) || self.type == 'cluster')"
).message("must have exactly the source that type names"))]
pub struct RegistrySource {
    /// Which of the sources it is.
    #[serde(rename = "type")]
    pub type_: RegistrySourceType,
    /// A ConfigMap, with type configmap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configmap: Option<ConfigMapSource>,
    /// A file behind a URL, with type url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<UrlSource>,
    /// A file of a Git repository, with type git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitSource>,
    /// The ready MCPServers of this cluster, with type cluster. All of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterSource>,
}

/// Sort of a catalogue's source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum RegistrySourceType {
    #[default]
    ConfigMap,
    Url,
    Git,
    Cluster,
}

/// A ConfigMap of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapSource {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key of the ConfigMap. registry.json when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// A file behind a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UrlSource {
    /// The URL, http or https, of a host outside the cluster.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub url: String,
}

/// A file of a Git repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new(
    "(has(self.branch) ? 1 : 0) + (has(self.tag) ? 1 : 0) + (has(self.commit) ? 1 : 0) <= 1"
).message("must have at most one of branch, tag and commit"))]
#[x_kube(validation = Rule::new("!has(self.path) || !self.path.matches('^/|//|(^|/)[.][.]?(/|$)')")
    .message("path must be inside the repository, without '/' in front, '//', '.' and '..'"))]
pub struct GitSource {
    /// URL of the repository, http or https, of a host outside the cluster.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub repository: String,
    /// Branch; the repository's own when neither this nor tag nor commit says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub branch: Option<String>,
    /// Tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub tag: Option<String>,
    /// Commit, written out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 40, max = 64),
        regex(pattern = "^[0-9a-f]{40}([0-9a-f]{24})?$")
    )]
    pub commit: Option<String>,
    /// Path of the file in the repository. registry.json when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: Option<String>,
}

/// The ready MCPServers of this cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSource {
    /// Namespaces whose servers are taken over; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
}

/// When a catalogue's data are read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.interval) || !self.interval.matches('^([0-9]+([.][0-9]+)?(ns|us|\u{b5}s|ms|s|m|h))+$') || \
     duration(self.interval) >= duration('10s')"
)
    .message("interval must be 10s or more"))]
pub struct SyncPolicy {
    /// Whether the data are read again by themselves. manual when absent: by an annotation only.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<SyncType>,
    /// How often, with type automatic. 1h when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub interval: Option<String>,
    /// What happens after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
}

/// Whether a catalogue's data are read again by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum SyncType {
    Automatic,
    #[default]
    Manual,
}

/// What happens after a failed sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.backoffInterval) || !self.backoffInterval.matches('^([0-9]+([.][0-9]+)?(ns|us|\u{b5}s|ms|s|m|h))+$') || \
     duration(self.backoffInterval) > duration('0s')"
).message("backoffInterval must be greater than zero"))]
pub struct RetryPolicy {
    /// How often it is tried again before the next interval. 3 when absent, 0 is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_attempts: Option<i32>,
    /// Time before the first of them; each further one takes twice as long. 30s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub backoff_interval: Option<String>,
}

/// Which servers of a catalogue's data are taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegistryFilter {
    /// By name, exact or with * for any characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<IncludeExclude>,
    /// By tag. One of the included tags is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<IncludeExclude>,
}

/// What is taken, and what is left out even if it is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncludeExclude {
    /// Taken; everything when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    pub include: Vec<String>,
    /// Left out, whatever is included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    pub exclude: Vec<String>,
}

/// Where a catalogue stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum RegistryPhase {
    #[default]
    Pending,
    Syncing,
    Ready,
    Failed,
}

/// What the operator found out about a catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryStatus {
    /// Where the catalogue stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RegistryPhase>,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The source that was read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_type: Option<RegistrySourceType>,
    /// Format of the data that were read last, with its generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Servers in the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_count: Option<i32>,
    /// When the data were read last, successfully.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync_time: Option<Time>,
    /// SHA-256 of the data that were read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync_hash: Option<String>,
    /// Accepted, Ready: only those that apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

words! {
    RegistryFormat { Toolhive => "toolhive", Upstream => "upstream" }
    RegistrySourceType { ConfigMap => "configmap", Url => "url", Git => "git", Cluster => "cluster" }
    SyncType { Automatic => "automatic", Manual => "manual" }
    RegistryPhase { Pending => "Pending", Syncing => "Syncing", Ready => "Ready", Failed => "Failed" }
}
