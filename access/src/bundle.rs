//! The access bundle: all that a gateway needs to know to decide, as one JSON document.
//!
//! Made by [`compile`](crate::compile()) in the operator, carried by a ConfigMap, read by the gateway. Its content is
//! sorted, so that equal objects give equal bytes and an unchanged bundle is not written again.

use std::time::Duration;

use api::{
    AuditSink, AuthMode, Decision, Effect, PinMode, PolicyMode, SideEffect, Subject, Translate,
    Trust,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::limits::Limits;
use crate::settings::{HeaderNames, SESSION_IDLE};

/// The form of the document. A gateway refuses a form it does not know, because it might leave out a restriction.
pub const SCHEMA: u32 = 1;

/// All that a gateway needs to know about one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Grows with every change; a gateway never goes back to a lower one.
    pub sequence: u64,
    /// Namespace of the server.
    pub namespace: String,
    /// Name of the MCPServer.
    pub server: String,
    /// How callers are known.
    pub auth: AuthMode,
    /// Names of the identity headers.
    pub headers: HeaderNames,
    /// Whether grants decide.
    pub mode: PolicyMode,
    /// What happens to an item that no grant covers.
    pub default_decision: Decision,
    /// What happens to a tool that the spec does not declare.
    pub undeclared_tools: Decision,
    /// What happens to a tool whose definition is not an approved one.
    #[serde(default, skip_serializing_if = "is_off")]
    pub pins: PinMode,
    /// Every call needs a session.
    pub session_required: bool,
    /// The highest trust of any call, by policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_trust: Option<Trust>,
    /// How long a gateway decides without a confirmation that this is the newest bundle, in seconds.
    pub max_staleness_seconds: u64,
    /// After how many seconds without use an MCP session ends; an hour, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_idle_seconds: Option<u64>,
    /// Paths of the MCP endpoint.
    pub paths: Vec<String>,
    /// Values of `Host` that are taken.
    pub hosts: Vec<String>,
    /// Values of `Origin` that are taken.
    pub origins: Vec<String>,
    /// Where audit lines go.
    pub audit: AuditSink,
    /// The URL of the sink http.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_url: Option<String>,
    /// What is left out of audit lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit_redact: Vec<String>,
    /// How much may be called.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// The server as an OAuth resource server, with mode oauth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OAuthEntry>,
    /// Who may say who calls, with mode header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<ProxyEntry>,
    /// Whether the gateway translates for a server of another era.
    #[serde(default, skip_serializing_if = "is_auto")]
    pub translate: Translate,
    /// Declared tools, by name.
    pub tools: Vec<ToolEntry>,
    /// Live grants, by name.
    pub grants: Vec<GrantEntry>,
    /// Sessions that have not expired, by hash.
    pub sessions: Vec<SessionEntry>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_off(pins: &PinMode) -> bool {
    *pins == PinMode::Off
}

/// A declared tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolEntry {
    /// Name, as the server lists it.
    pub name: String,
    /// Trust that a call needs.
    pub required_trust: Trust,
    /// What a call does to the world.
    pub side_effect: SideEffect,
    /// Scopes that a token needs for a call, beside those that every request needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Hashes of the approved definitions, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<String>,
}

/// The server as an OAuth resource server (RFC 9728).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OAuthEntry {
    /// The server's URL: its name for authorization servers, and the audience of tokens where an issuer names none.
    pub resource: String,
    /// Scopes that every request needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_scopes: Vec<String>,
    /// Whose tokens are taken.
    pub issuers: Vec<IssuerEntry>,
}

/// An issuer of tokens, with its claims' names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerEntry {
    /// The `iss` of its tokens.
    pub url: String,
    /// Audiences that are taken, at least one.
    pub audiences: Vec<String>,
    /// Where its keys are; discovered when absent (RFC 8414, OIDC discovery).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
    /// The claim with the person.
    pub human: String,
    /// The claim with the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The claim with the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The claim with the scopes.
    pub scopes: String,
}

/// Who may say who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyEntry {
    /// Networks in CIDR notation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Pods are named by their labels as well: the NetworkPolicy admits them, and the gateway cannot know their
    /// addresses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_labels: bool,
}

/// A grant, with the policies' ceilings already applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantEntry {
    /// Name of the MCPAccessGrant.
    pub name: String,
    /// Whether it gives or takes away.
    pub effect: Effect,
    /// Who.
    pub subject: Subject,
    /// The highest trust it gives.
    pub max_trust: Trust,
    /// What calls may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub side_effects: Vec<SideEffect>,
    /// Rules about tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleEntry>,
    /// Patterns of prompts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// Patterns of resource URIs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A rule about tools.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleEntry {
    /// Name or pattern.
    pub name: String,
    /// Whether it denies. In a grant of effect Deny every rule does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deny: bool,
    /// Trust it asks for on top of the tool's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_trust: Option<Trust>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionEntry {
    /// SHA-256 of the token, 64 lower-case hexadecimal digits.
    pub hash: String,
    /// Name of the MCPAgentSession.
    pub name: String,
    /// Whose it is.
    pub subject: Subject,
    /// Groups of the subject, as stamped when the session was created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Teams that the policies give to these groups, whether or not the subject names one. They count for denials
    /// only: a session that leaves its team out gets past none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<String>,
    /// The highest trust the subject agreed to.
    pub consented_trust: Trust,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Ended before its time. Kept until then, so that the caller is told why.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_auto(translate: &Translate) -> bool {
    *translate == Translate::Auto
}

/// Why a text is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not JSON, or not of this shape.
    #[error("the access bundle must be a JSON document as the operator writes it: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Of a later form.
    #[error(
        "the access bundle has schema {found}, this program knows {SCHEMA}: update the gateway image"
    )]
    Schema {
        /// The schema it has.
        found: u32,
    },
}

impl Bundle {
    /// The same bundle under another sequence number.
    #[must_use]
    pub fn with_sequence(mut self, sequence: u64) -> Self {
        self.sequence = sequence;
        self
    }

    /// SHA-256 of the content without the sequence number, in lower-case hexadecimal digits.
    pub fn revision(&self) -> String {
        let content = self.clone().with_sequence(0).to_json();
        crate::caller::hex(&Sha256::digest(content.as_bytes()))
    }

    /// The document. Equal bundles give equal bytes.
    #[allow(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .expect("a bundle has string keys only, which is all that can fail")
    }

    /// Reads a document.
    pub fn from_json(text: &str) -> Result<Self, BundleError> {
        #[derive(Deserialize)]
        struct Probe {
            schema: u32,
        }
        let probe: Probe = serde_json::from_str(text)?;
        if probe.schema != SCHEMA {
            return Err(BundleError::Schema {
                found: probe.schema,
            });
        }
        let mut bundle: Self = serde_json::from_str(text)?;
        bundle.sort();
        Ok(bundle)
    }

    /// How long an MCP session may go unused.
    pub fn session_idle(&self) -> Duration {
        self.session_idle_seconds
            .map_or(SESSION_IDLE, Duration::from_secs)
    }

    /// A declared tool.
    pub fn tool(&self, name: &str) -> Option<&ToolEntry> {
        self.tools
            .binary_search_by(|t| t.name.as_str().cmp(name))
            .ok()
            .map(|i| &self.tools[i])
    }

    /// A session by the hash of its token.
    pub fn session(&self, hash: &str) -> Option<&SessionEntry> {
        self.sessions
            .binary_search_by(|s| s.hash.as_str().cmp(hash))
            .ok()
            .map(|i| &self.sessions[i])
    }

    /// Puts the lists in the order that the look-ups need.
    pub(crate) fn sort(&mut self) {
        self.tools.sort_by(|a, b| a.name.cmp(&b.name));
        self.grants.sort_by(|a, b| a.name.cmp(&b.name));
        self.sessions.sort_by(|a, b| a.hash.cmp(&b.hash));
    }
}
