//! What grants, sessions and tools have in common: trust, side effects, subjects.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much an agent is trusted, or how much a tool asks for. Ordered: low < medium < high.
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
pub enum Trust {
    #[default]
    Low,
    Medium,
    High,
}

/// What a call does to the world.
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
pub enum SideEffect {
    #[default]
    Read,
    Write,
    Destructive,
}

/// What a grant or a rule says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Decision {
    #[default]
    Allow,
    Deny,
}

/// Whether a grant gives or takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Effect {
    #[default]
    Allow,
    Deny,
}

/// Implements `as_str` and `Display` for an enum by the words of its serde form.
macro_rules! words {
    ($($type:ident { $($variant:ident => $word:literal),+ })+) => {$(
        impl $type {
            /// The word as it stands in YAML.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}
pub(crate) use words;

words! {
    Trust { Low => "low", Medium => "medium", High => "high" }
    SideEffect { Read => "read", Write => "write", Destructive => "destructive" }
    Decision { Allow => "allow", Deny => "deny" }
    Effect { Allow => "Allow", Deny => "Deny" }
}

/// The server a grant or session is for, in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ServerRef {
    /// Name of an MCPServer in the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// A Kubernetes service account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ServiceAccountRef {
    /// Namespace of the service account.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of the service account.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Who a grant or session speaks of. All fields that are given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "has(self.humanID) || has(self.teamID) || has(self.serviceAccount) || has(self.group)"
).message("must name a humanID, teamID, serviceAccount or group: an agentID alone is self-declared and names nobody"))]
pub struct Subject {
    /// A person: the user name of a session's creator, or the mapped claim of an OAuth token.
    #[serde(rename = "humanID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub human_id: Option<String>,
    /// An agent. Self-declared, so it narrows a subject and never is one by itself.
    #[serde(rename = "agentID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub agent_id: Option<String>,
    /// A team.
    #[serde(rename = "teamID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub team_id: Option<String>,
    /// A Kubernetes service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountRef>,
    /// A group of the requester.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub group: Option<String>,
    /// The OAuth issuer that vouches for the names above. Without it they are Kubernetes names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub issuer: Option<String>,
}

impl Subject {
    /// Whether somebody authenticated is named: an agent alone is nobody (MCP0602).
    pub fn names_somebody(&self) -> bool {
        self.human_id.is_some()
            || self.team_id.is_some()
            || self.service_account.is_some()
            || self.group.is_some()
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let account = self
            .service_account
            .as_ref()
            .map(|a| format!("{}/{}", a.namespace, a.name));
        let parts = [
            ("human", self.human_id.as_deref()),
            ("serviceaccount", account.as_deref()),
            ("group", self.group.as_deref()),
            ("team", self.team_id.as_deref()),
            ("agent", self.agent_id.as_deref()),
            ("issuer", self.issuer.as_deref()),
        ];
        let mut first = true;
        for (kind, name) in parts {
            let Some(name) = name else { continue };
            write!(f, "{}{kind}:{name}", if first { "" } else { "," })?;
            first = false;
        }
        Ok(())
    }
}
