//! MCPAgentSession: a bearer token of one caller for one server, of which only the hash is stored.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{ServerRef, Subject, Trust, words};
use crate::server::SecretKeyRef;

/// A session lets whoever holds its token call one server as the subject, within the subject's grants.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "kubectl-mcp.dev",
    version = "v1alpha1",
    kind = "MCPAgentSession",
    plural = "mcpagentsessions",
    shortname = "mcpsession",
    category = "mcp",
    namespaced,
    status = "SessionStatus",
    derive = "PartialEq",
    doc = "A session lets whoever holds its token call one server as the subject, within the subject's grants.",
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.serverRef.name"),
    printcolumn(name = "Human", type_ = "string", json_path = ".spec.subject.humanID"),
    printcolumn(name = "Trust", type_ = "string", json_path = ".spec.consentedTrust"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "self.serverRef == oldSelf.serverRef && self.subject == oldSelf.subject && self.tokenHash == oldSelf.tokenHash"
).message("serverRef, subject and tokenHash are immutable: make a new session"))]
#[x_kube(validation = Rule::new("self.expiresAt <= oldSelf.expiresAt")
    .message("expiresAt may not be extended: make a new session"))]
#[x_kube(validation = Rule::new("!(has(oldSelf.revoked) && oldSelf.revoked) || (has(self.revoked) && self.revoked)")
    .message("a revoked session stays revoked: make a new session"))]
#[x_kube(validation = Rule::new(
    "(has(self.consentedTrust) ? self.consentedTrust : 'low') in \
     {'low': ['low'], 'medium': ['low', 'medium'], 'high': ['low', 'medium', 'high']}\
     [has(oldSelf.consentedTrust) ? oldSelf.consentedTrust : 'low']"
).message("consentedTrust may not be raised: make a new session"))]
pub struct MCPAgentSessionSpec {
    /// The server, in the same namespace.
    pub server_ref: ServerRef,
    /// The one authenticated principal whose session this is.
    pub subject: Subject,
    /// The highest trust the subject agreed to for this session.
    #[serde(default)]
    #[schemars(extend("default" = "low"))]
    pub consented_trust: Trust,
    /// When the session ends.
    pub expires_at: Time,
    /// True ends the session at once, and for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
    /// SHA-256 of the bearer token, 64 lower-case hexadecimal digits. The token itself is never stored.
    #[schemars(length(min = 64, max = 64), regex(pattern = "^[0-9a-f]{64}$"))]
    pub token_hash: String,
    /// A token that the gateway uses towards the server on behalf of this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_token_secret_ref: Option<SecretKeyRef>,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum SessionPhase {
    Active,
    Expired,
    Revoked,
}

words! { SessionPhase { Active => "Active", Expired => "Expired", Revoked => "Revoked" } }

/// What the operator found out about a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the session stands, by the clock of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SessionPhase>,
    /// `Accepted`: false when an older session has the same token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
