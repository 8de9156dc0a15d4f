//! What a server's spec and the policies say about access, already resolved to effective values.
//!
//! Made from `rules::effective`; it becomes part of the bundle.

use std::time::Duration;

use api::{AuditSink, AuthMode, Decision, PinMode, PolicyMode, TeamMapping, Translate, Trust};
use rules::Effective;
use serde::{Deserialize, Serialize};

use crate::bundle::{IssuerEntry, OAuthEntry, ProxyEntry};
use crate::limits::Limits;

/// After how long without use an MCP session ends, unless the server says otherwise.
pub const SESSION_IDLE: Duration = Duration::from_secs(3600);

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
    /// What happens to a tool whose definition is not an approved one.
    pub pins: PinMode,
    /// Every call needs a session.
    pub session_required: bool,
    /// After how long without use an MCP session ends.
    pub session_idle: Duration,
    /// What the policies allow at most, also for grants and sessions that exist already.
    pub ceilings: Ceilings,
    /// Which groups make a person a member of a team, by the policies.
    pub teams: Vec<TeamMapping>,
    /// The paths at which the MCP endpoint is served: the public path and `/mcp`.
    pub paths: Vec<String>,
    /// Values of `Host` that are taken, besides the Service's own names. `host` stands for any port.
    pub hosts: Vec<String>,
    /// Values of `Origin` that are taken.
    pub origins: Vec<String>,
    /// Where audit lines go.
    pub audit: AuditSink,
    /// The URL of the sink http.
    pub audit_url: Option<String>,
    /// What is left out of audit lines.
    pub audit_redact: Vec<String>,
    /// How much may be called.
    pub limits: Limits,
    /// The server as an OAuth resource server, with mode oauth.
    pub oauth: Option<OAuthEntry>,
    /// Who may say who calls, with mode header.
    pub proxies: Option<ProxyEntry>,
    /// Whether the gateway translates for a server of another era.
    pub translate: Translate,
}

impl From<&Effective> for Settings {
    /// What decides about a server's calls. Operator and plugins both read it here, so that they cannot differ.
    fn from(effective: &Effective) -> Self {
        let (name, namespace) = (&effective.name, &effective.namespace);
        let public = effective.ingress.as_ref();
        let mut settings = Self::new(namespace.clone(), name.clone());
        settings.paths.extend(
            public
                .map(|route| route.path.clone())
                .filter(|path| path != "/mcp"),
        );
        settings.hosts = vec![
            name.clone(),
            format!("{name}.{namespace}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}.svc.cluster.local"),
        ];
        settings
            .hosts
            .extend(public.and_then(|route| route.host.clone()));
        settings
            .hosts
            .extend(effective.gateway.allowed_hosts.iter().cloned());
        let own = effective.session.max_lifetime;
        Self {
            auth: effective.auth.mode,
            headers: HeaderNames {
                token: effective.auth.token_header.clone(),
                session: effective.auth.session_id_header.clone(),
                human: effective.auth.human_id_header.clone(),
                agent: effective.auth.agent_id_header.clone(),
                team: effective.auth.team_id_header.clone(),
            },
            mode: effective.policy.mode,
            default_decision: effective.policy.default_decision,
            undeclared_tools: effective.policy.undeclared_tools,
            pins: effective.policy.pins,
            session_required: effective.session.required,
            session_idle: effective.session.idle_timeout,
            ceilings: Ceilings {
                max_trust: effective.access.max_trust,
                max_grant_lifetime: effective.access.max_grant_lifetime,
                max_session_lifetime: Some(
                    effective
                        .access
                        .max_session_lifetime
                        .map_or(own, |policy| policy.min(own)),
                ),
                max_staleness: effective.access.max_staleness,
            },
            teams: effective.access.teams.clone(),
            origins: effective.gateway.allowed_origins.clone(),
            audit: effective.audit_sink,
            audit_url: effective.audit_url.clone(),
            audit_redact: effective.audit_redact.clone(),
            limits: Limits::from(effective),
            oauth: oauth(effective),
            proxies: proxies(effective),
            translate: effective.translate,
            ..settings
        }
    }
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
            pins: PinMode::Off,
            session_required: false,
            session_idle: SESSION_IDLE,
            ceilings: Ceilings::default(),
            teams: Vec::new(),
            paths: vec!["/mcp".to_owned()],
            hosts: Vec::new(),
            origins: Vec::new(),
            audit: AuditSink::Stdout,
            audit_url: None,
            audit_redact: Vec::new(),
            limits: Limits::default(),
            oauth: None,
            proxies: None,
            translate: Translate::Auto,
        }
    }

    /// The teams of a member of these groups, by name, each once.
    pub fn teams_of(&self, groups: &[String]) -> Vec<String> {
        let mut teams: Vec<String> = self
            .teams
            .iter()
            .filter(|team| team.groups.iter().any(|group| groups.contains(group)))
            .map(|team| team.name.clone())
            .collect();
        teams.sort();
        teams.dedup();
        teams
    }
}

/// The server as an OAuth resource server: named by its public URL, or by the one inside the cluster where it has no
/// host of its own.
fn oauth(effective: &Effective) -> Option<OAuthEntry> {
    let given = effective.auth.oauth.as_ref()?;
    let resource = effective
        .public_url()
        .unwrap_or_else(|| effective.internal_url());
    let issuers = given.issuers.iter().map(|issuer| {
        let claims = issuer.claims.clone().unwrap_or_default();
        IssuerEntry {
            url: issuer.url.clone(),
            audiences: if issuer.audiences.is_empty() {
                vec![resource.clone()]
            } else {
                issuer.audiences.clone()
            },
            keys: issuer.jwks_url.clone(),
            human: claims.human.unwrap_or_else(|| "sub".to_owned()),
            agent: claims.agent,
            team: claims.team,
            scopes: claims.scopes.unwrap_or_else(|| "scope".to_owned()),
        }
    });
    Some(OAuthEntry {
        issuers: issuers.collect(),
        required_scopes: given.required_scopes.clone(),
        resource,
    })
}

fn proxies(effective: &Effective) -> Option<ProxyEntry> {
    let given = &effective.auth.trusted_proxies;
    (!given.is_empty()).then(|| ProxyEntry {
        networks: given
            .iter()
            .filter_map(|proxy| proxy.cidr.clone())
            .collect(),
        by_labels: given.iter().any(|proxy| proxy.cidr.is_none()),
    })
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
