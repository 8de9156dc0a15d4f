//! The rules of admission once more: what came in while the webhook was down, or was overtaken by another server, gets
//! the webhook's sentence as a condition, and nothing is built of it.

use std::time::Duration;

use api::MCPServer;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::core::Resource as _;
use rules::{Effective, Findings};

use crate::apply::Owner;
use crate::context::Context;
use crate::reconcile::until;

/// A server that may be built, and everything building needs. Later steps never look at the raw object's fields that
/// have an effective value.
#[derive(Clone, Debug)]
pub struct Valid {
    /// The object, for what is taken over as it stands.
    pub server: MCPServer,
    /// Its values after defaults and policies.
    pub effective: Effective,
    /// What all its objects belong to.
    pub owner: Owner,
    /// Image of the gateway.
    pub gateway_image: String,
    /// Collector of the gateways' traces.
    pub otlp_endpoint: Option<String>,
    /// Namespace whose pods may reach the admin port.
    pub system_namespace: String,
    /// No other server is exposed on this one's host.
    pub owns_host: bool,
    /// When a grant or session of the server next begins to count differently by the clock alone.
    pub next_expiry: Option<Timestamp>,
}

/// Why nothing is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Reason of the `Accepted` condition.
    pub reason: &'static str,
    /// The sentence of the first finding, and how many more there are.
    pub message: String,
}

/// The rule for a host and path that an older server holds.
const ROUTE_TAKEN: &str = "MCP0205";

impl Valid {
    /// How long until the clock alone changes something; a little later, so that it has changed by then.
    pub fn next_change(&self) -> Option<Duration> {
        self.next_expiry.map(until)
    }
}

/// Judges a server.
pub fn validate(server: &MCPServer, context: &Context) -> Result<Valid, Rejected> {
    let namespace = server.namespace().unwrap_or_default();
    let name = server.name_any();
    let json = serde_json::to_value(server).map_err(|e| Rejected {
        reason: "Unreadable",
        message: format!("the object cannot be read: {e}"),
    })?;
    let mut facts = context.facts(Some(&namespace));
    facts.servers = older_servers(server, context).into();
    let findings = rules::check(Some(&json), None, &facts);
    if let Some(rejected) = rejected(&findings) {
        return Err(rejected);
    }
    let effective = rules::effective(server, &context.policy_set(&namespace));
    let owner = server
        .controller_owner_ref(&())
        .map(|reference| Owner {
            namespace: namespace.clone(),
            reference,
        })
        .ok_or(Rejected {
            reason: "Unreadable",
            message: "the object has no uid".to_owned(),
        })?;
    Ok(Valid {
        gateway_image: effective
            .gateway
            .image
            .clone()
            .unwrap_or_else(|| context.settings.gateway_image.clone()),
        otlp_endpoint: context.settings.otlp_endpoint.clone(),
        system_namespace: context.settings.system_namespace.clone(),
        owns_host: owns_host(&effective, context),
        next_expiry: next_expiry(context, &namespace, &name),
        server: server.clone(),
        effective,
        owner,
    })
}

fn rejected(findings: &Findings) -> Option<Rejected> {
    let errors: Vec<_> = findings.errors().collect();
    let first = errors.first()?;
    let reason = if first.code == ROUTE_TAKEN {
        "HostPathConflict"
    } else {
        "Invalid"
    };
    let more = match errors.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more; see: kubectl mcp lint)"),
    };
    Some(Rejected {
        reason,
        message: format!("{first}{more}"),
    })
}

/// Two servers on one host and path: the older one keeps it, so only older ones can take it from this one.
fn older_servers(server: &MCPServer, context: &Context) -> Vec<rules::ServerFact> {
    let age = |s: &MCPServer| {
        (
            s.creation_timestamp().map(|t| t.0),
            s.namespace(),
            s.name_any(),
        )
    };
    let mine = age(server);
    context
        .caches
        .servers
        .state()
        .into_iter()
        .filter(|other| age(other) < mine && other.metadata.deletion_timestamp.is_none())
        .map(|other| {
            let namespace = other.namespace().unwrap_or_default();
            rules::ServerFact::new(&other, &context.policy_set(&namespace))
        })
        .collect()
}

/// Whether no other server has this one's host. Asked only where it makes a difference.
fn owns_host(effective: &Effective, context: &Context) -> bool {
    let host = |effective: &Effective| effective.ingress.as_ref()?.host.clone();
    let (Some(own), Some(_)) = (host(effective), &effective.auth.oauth) else {
        return false;
    };
    let servers = context.caches.servers.state();
    !servers.iter().any(|server| {
        let namespace = server.namespace().unwrap_or_default();
        let other = rules::effective(server, &context.policy_set(&namespace));
        (other.namespace != effective.namespace || other.name != effective.name)
            && host(&other).is_none_or(|host| host == own)
    })
}

fn next_expiry(context: &Context, namespace: &str, server: &str) -> Option<Timestamp> {
    let now = Timestamp::now();
    let grants = context.caches.grants_of(namespace, server);
    let sessions = context.caches.sessions_of(namespace, server);
    let grants = grants
        .iter()
        .filter_map(|grant| grant.spec.expires_at.as_ref().map(|t| t.0));
    let sessions = sessions.iter().map(|session| session.spec.expires_at.0);
    grants.chain(sessions).filter(|at| *at > now).min()
}

/// The bundle of a server at this moment, over the grants and sessions in the caches.
pub fn bundle(effective: &Effective, server: &MCPServer, context: &Context) -> access::Bundle {
    let grants = context
        .caches
        .grants_of(&effective.namespace, &effective.name);
    let sessions = context
        .caches
        .sessions_of(&effective.namespace, &effective.name);
    access::compile(
        &access::Settings::from(effective),
        server,
        &grants,
        &sessions,
        Timestamp::now(),
    )
}
