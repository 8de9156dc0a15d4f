//! Names that two or more parts must agree on: labels, annotations, field managers, ports and derived object names.
//!
//! A string that only one crate uses stays in that crate.

/// The project's own name, the value of [`PART_OF`].
pub const PROJECT: &str = "kubectl-mcp";
/// The namespace that `kubectl mcp setup` installs into unless told otherwise.
pub const SYSTEM_NAMESPACE: &str = "kubectl-mcp-system";
/// The recommended label that marks everything `setup` installs.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// The recommended label for who keeps an object; [`OPERATOR`] on what the operator makes.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label on every object the operator makes for a server: the server's name.
pub const SERVER_LABEL: &str = "kubectl-mcp.dev/server";
/// Label of a namespace whose pods may scrape the gateways' admin port.
pub const SCRAPE_LABEL: &str = "kubectl-mcp.dev/scrape";
/// Consent of a Service, or of its namespace: a label of this prefix and the name of another namespace, with the value
/// `true`, lets MCPTools and MCPResources of that namespace call the Service (MCP0805).
pub const TOOLS_FROM_PREFIX: &str = "tools-from.kubectl-mcp.dev/";
/// Every label and annotation of our own begins with this.
pub const DOMAIN_PREFIX: &str = "kubectl-mcp.dev/";

/// Stamp: the user name that created the object.
pub const REQUESTED_BY: &str = "kubectl-mcp.dev/requested-by";
/// Stamp: the creator's groups at that moment, a JSON array.
pub const REQUESTED_BY_GROUPS: &str = "kubectl-mcp.dev/requested-by-groups";
/// Stamp on a server: who last changed the spec.
pub const EDITED_BY: &str = "kubectl-mcp.dev/edited-by";
/// On a grant: what its server asked for when the grant was given, where that was more than the default. A part of a
/// server's spec, as JSON (MCP0410).
pub const SERVER_AS_GRANTED: &str = "kubectl-mcp.dev/server-as-granted";
/// A copy of the manifest that `kubectl apply` leaves in the object.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Which defaults admission filled in, and from where: a JSON object of field path to policy name.
pub const DEFAULTED: &str = "kubectl-mcp.dev/defaulted";

/// Field manager of the operator's server-side apply.
pub const OPERATOR: &str = "kubectl-mcp-operator";
/// Field manager of the webhook (its `caBundle`, its CA Secret).
pub const WEBHOOK: &str = "kubectl-mcp-webhook";
/// Field manager of the plugins.
pub const PLUGIN: &str = "kubectl-mcp";

/// Name of the mutating webhook inside its configuration.
pub const MUTATING_WEBHOOK: &str = "default.kubectl-mcp.dev";
/// Name of the validating webhook. The API server prints it when the webhook is down, so it names the remedy:
/// `kubectl mcp check`.
pub const VALIDATING_WEBHOOK: &str = "run-kubectl-mcp-check.kubectl-mcp.dev";
/// Name of the validating webhook that is told of deletions, and only warns: it fails open.
pub const DELETION_WEBHOOK: &str = "in-use.kubectl-mcp.dev";
/// Name of both webhook configurations, the webhook's Deployment and its Service.
pub const WEBHOOK_NAME: &str = "mcp-webhook";
/// Name of the operator's Deployment.
pub const OPERATOR_NAME: &str = "mcp-operator";
/// The Secret with the webhook's CA.
pub const WEBHOOK_CA_SECRET: &str = "mcp-webhook-ca";
/// The MCPPolicy that `setup` writes.
pub const DEFAULT_POLICY: &str = "default";

/// The container that puts the bridge of a stdio server where the server's container finds it.
pub const BRIDGE_CONTAINER: &str = "mcp-bridge";
/// What belongs to the bridge of a stdio server, in the containers of its pod.
pub const BRIDGE_MOUNT: &str = "/opt/kubectl-mcp";
/// The server's container in its pod.
pub const SERVER_CONTAINER: &str = "server";
/// The gateway's container in its pod.
pub const GATEWAY_CONTAINER: &str = "mcp-gateway";
/// The gateway's port for health, metrics and the inventory. Never exposed by a Service.
pub const GATEWAY_ADMIN_PORT: u16 = 9091;
/// Where the gateway finds the access bundle.
pub const BUNDLE_MOUNT: &str = "/etc/kubectl-mcp/access";
/// Where the gateway finds the key of the audit sink.
pub const AUDIT_MOUNT: &str = "/etc/kubectl-mcp/audit";
/// Where the gateway finds the password of Redis.
pub const REDIS_MOUNT: &str = "/etc/kubectl-mcp/redis";
/// Where the gateway finds the keys of the server's Secret.
pub const SESSION_KEY_MOUNT: &str = "/etc/kubectl-mcp/session-key";
/// The key of a server's MCP sessions, in its Secret and as a file in [`SESSION_KEY_MOUNT`].
pub const SESSION_KEY: &str = "session-key";
/// The one before it, whose ids are still known.
pub const PREVIOUS_SESSION_KEY: &str = "session-key-previous";
/// How long each is.
pub const SESSION_KEY_BYTES: usize = 32;
/// Where client libraries look for the account's token, in the containers that get one.
pub const TOKEN_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the names of a pod's volumes begin with that are not the server's own.
pub const VOLUME_PREFIX: &str = "kubectl-mcp-";
/// The key of the access bundle in its ConfigMap, and its file name in [`BUNDLE_MOUNT`].
pub const BUNDLE_KEY: &str = "access.json";
/// The header that carries a session token through the API server's service proxy, which strips `Authorization`.
pub const SESSION_TOKEN_HEADER: &str = "x-mcp-session-token";
/// Where clients find the metadata of an OAuth resource; the resource's path follows (RFC 9728, 3).
pub const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";
/// What a session token begins with, so that secret scanners can find a leaked one.
pub const SESSION_TOKEN_PREFIX: &str = "mcps_";

/// The suffixes of the objects derived from a server's name. Two servers must not derive the same name.
pub const DERIVED_SUFFIXES: [&str; 4] = ["access", "gateway", "canary", "upstream"];

/// The ConfigMap with the access bundle of a server.
pub fn access_config_map(server: &str) -> String {
    format!("{server}-access")
}

/// What follows the server's name in [`gateway_account`].
pub const ACCOUNT_SUFFIX: &str = "-gateway";

/// The ServiceAccount, Role and RoleBinding of a server's gateway.
pub fn gateway_account(server: &str) -> String {
    format!("{server}{ACCOUNT_SUFFIX}")
}

/// The Secret that only a server's gateways read: the key of its MCP sessions.
pub fn upstream_secret(server: &str) -> String {
    format!("{server}-upstream")
}
