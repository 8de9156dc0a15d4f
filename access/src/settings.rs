//! What a server's spec and the policies say about access, already resolved to effective values.
//!
//! The operator fills this from `rules::effective`; it becomes part of the bundle.

use std::time::Duration;

use api::{AuditSink, AuthMode, Decision, PolicyMode, Trust};
use serde::{Deserialize, Serialize};

/// The effective settings of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Namespace of the server.
    pub namespace: String,
    /// Name of the MCPServer.
    pub server: String,
    /// How callers are known.
    pub auth: AuthMode,
    /// Names of the headers that carry identity.
    pub headers: HeaderNames,
    /// Whether grants decide, or are only noted.
    pub mode: PolicyMode,
    /// What happens to an item that no grant covers. `Allow` works like a grant to everybody of everything.
    pub default_decision: Decision,
    /// What happens to a tool that the spec does not declare.
    pub undeclared_tools: Decision,
    /// Every call needs a session.
    pub session_required: bool,
    /// What the policies allow at most, also for grants and sessions that exist already.
    pub ceilings: Ceilings,
    /// The paths at which the MCP endpoint is served: the public path and `/mcp`.
    pub paths: Vec<String>,
    /// Values of `Host` that are taken, besides the Service's own names. `host` stands for any port.
    pub hosts: Vec<String>,
    /// Values of `Origin` that are taken.
    pub origins: Vec<String>,
    /// Where audit lines go.
    pub audit: AuditSink,
}

impl Settings {
    /// The defaults of a server that says nothing, under no policy.
    pub fn new(namespace: impl Into<String>, server: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            server: server.into(),
            auth: AuthMode::Session,
            headers: HeaderNames::default(),
            mode: PolicyMode::AllowList,
            default_decision: Decision::Deny,
            undeclared_tools: Decision::Deny,
            session_required: false,
            ceilings: Ceilings::default(),
            paths: vec!["/mcp".to_owned()],
            hosts: Vec::new(),
            origins: Vec::new(),
            audit: AuditSink::Stdout,
        }
    }
}

/// Names of the headers that carry identity, without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderNames {
    /// The bearer token.
    pub token: String,
    /// A session token beside another identity.
    pub session: String,
    /// The person, from a trusted proxy.
    pub human: String,
    /// The agent.
    pub agent: String,
    /// The team, from a trusted proxy.
    pub team: String,
}

impl Default for HeaderNames {
    fn default() -> Self {
        Self {
            token: "Authorization".to_owned(),
            session: "X-MCP-Agent-Session".to_owned(),
            human: "X-MCP-Human-ID".to_owned(),
            agent: "X-MCP-Agent-ID".to_owned(),
            team: "X-MCP-Team-ID".to_owned(),
        }
    }
}

/// What the policies allow at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// The highest trust of any call.
    pub max_trust: Option<Trust>,
    /// The longest life of a grant that gives, from its creation.
    pub max_grant_lifetime: Option<Duration>,
    /// The longest life of a session, from its creation.
    pub max_session_lifetime: Option<Duration>,
    /// How long a gateway decides without having confirmed that its bundle is the newest.
    pub max_staleness: Duration,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self {
            max_trust: None,
            max_grant_lifetime: None,
            max_session_lifetime: None,
            max_staleness: Duration::from_secs(600),
        }
    }
}
