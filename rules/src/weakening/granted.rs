//! What a server asked for when a grant was given: kept with the grant, so that a server cannot ask for less by way of
//! being deleted and made again, or of a tool that goes and comes back.
//!
//! The mutating door writes it into an annotation of the grant; [`weakening`](super::weakening) reads it from the grants
//! that are live. Only what is stricter than the default is kept: less than the default is never taken for granted, so
//! whoever could forge the annotation would gain nothing by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{
    Audit, AuditSink, Auth, Decision, Effect, MCPAccessGrantSpec, MCPServerSpec, NetworkPolicySpec,
    OAuth, PinMode, ServerPolicy, SessionSettings, SideEffect, Tool, Trust, duration, names,
};

use crate::effective::{IDLE_TIMEOUT, MAX_SESSION_LIFETIME};
use crate::facts::{Facts, ServerFact};
use crate::parse::name::glob;
use crate::subject::is_live;

/// The longest text that is kept: annotations share 256 KiB.
const LONGEST: usize = 48 << 10;

/// What a server is stricter in than the default, but for its tools. None where it is in nothing.
pub(crate) fn stricter(spec: &MCPServerSpec) -> Option<Arc<str>> {
    let mut kept = MCPServerSpec {
        policy: pins(spec),
        session: session(spec),
        rate_limits: spec.rate_limits.clone(),
        auth: scopes(spec),
        audit: audit(spec),
        network_policy: peers(spec),
        ..MCPServerSpec::default()
    };
    let mut text = to_text(&kept)?;
    if text.len() > LONGEST {
        kept.network_policy = None;
        text = to_text(&kept)?;
    }
    (text != "{}" && text.len() <= LONGEST).then(|| text.into())
}

fn pins(spec: &MCPServerSpec) -> Option<ServerPolicy> {
    let pins = spec.policy.as_ref()?.pins?;
    (pins != PinMode::Off).then(|| ServerPolicy {
        pins: Some(pins),
        ..ServerPolicy::default()
    })
}

fn session(spec: &MCPServerSpec) -> Option<SessionSettings> {
    let given = spec.session.as_ref()?;
    let shorter = |text: &Option<String>, default| {
        text.clone()
            .filter(|text| duration::parse(text).is_ok_and(|given| given < default))
    };
    let kept = SessionSettings {
        required: given.required.filter(|required| *required),
        max_lifetime: shorter(&given.max_lifetime, MAX_SESSION_LIFETIME),
        idle_timeout: shorter(&given.idle_timeout, IDLE_TIMEOUT),
    };
    (kept != SessionSettings::default()).then_some(kept)
}

fn scopes(spec: &MCPServerSpec) -> Option<Auth> {
    let required = &spec.auth.as_ref()?.oauth.as_ref()?.required_scopes;
    (!required.is_empty()).then(|| Auth {
        oauth: Some(OAuth {
            required_scopes: required.clone(),
            ..OAuth::default()
        }),
        ..Auth::default()
    })
}

fn audit(spec: &MCPServerSpec) -> Option<Audit> {
    let given = spec.audit.as_ref()?;
    let sent = given.sink == Some(AuditSink::Http);
    let kept = Audit {
        sink: given.sink.filter(|_| sent),
        url: given.url.clone().filter(|_| sent),
        api_key_secret_ref: None,
        redact: given.redact.clone(),
    };
    (kept != Audit::default()).then_some(kept)
}

fn peers(spec: &MCPServerSpec) -> Option<NetworkPolicySpec> {
    let from = spec.network_policy.as_ref()?.ingress_from.as_ref()?;
    (!from.is_empty()).then(|| NetworkPolicySpec {
        ingress_from: Some(from.clone()),
        egress_to: None,
    })
}

/// What is to be kept with a grant: what its server asks for now, and of the tools that the server does not declare now
/// what was kept before. None where there is nothing beyond the default.
pub(crate) fn as_granted(
    grant: &MCPAccessGrantSpec,
    server: Option<&ServerFact>,
    before: Option<&str>,
) -> Option<String> {
    if grant.effect == Effect::Deny {
        return None;
    }
    let before = before.and_then(from_text).unwrap_or_default();
    let mut kept = match server {
        Some(server) => server
            .stricter
            .as_deref()
            .and_then(from_text)
            .unwrap_or_default(),
        None => before.clone(),
    };
    let declared = server
        .map(|server| server.tools.as_slice())
        .unwrap_or_default();
    let gone = before
        .tools
        .iter()
        .filter(|tool| !declared.iter().any(|now| now.name == tool.name));
    kept.tools = declared
        .iter()
        .chain(gone)
        .filter(|tool| is_strict(tool) && speaks_of(grant, &tool.name))
        .map(bare)
        .collect();
    kept.tools.sort_by(|one, other| one.name.cmp(&other.name));
    kept.tools.dedup_by(|one, other| one.name == other.name);
    let mut text = to_text(&kept)?;
    while text.len() > LONGEST && !kept.tools.is_empty() {
        kept.tools.truncate(kept.tools.len() / 2);
        text = to_text(&kept)?;
    }
    (text != "{}").then_some(text)
}

/// What the live grants on a server say that it asked for.
pub(super) fn remembered(facts: &Facts, namespace: &str, name: &str) -> Vec<MCPServerSpec> {
    let now = facts.now.get().copied();
    let grants = facts.grants.get().map(|grants| grants.iter());
    let mut texts: Vec<&str> = grants
        .into_iter()
        .flatten()
        .filter(|grant| {
            grant.metadata.namespace.as_deref() == Some(namespace)
                && grant.spec.server_ref.name == name
                && grant.spec.effect == Effect::Allow
                && is_live(grant, now)
        })
        .filter_map(|grant| {
            grant
                .metadata
                .annotations
                .as_ref()?
                .get(names::SERVER_AS_GRANTED)
        })
        .map(String::as_str)
        .collect();
    texts.sort_unstable();
    texts.dedup();
    texts.into_iter().filter_map(from_text).collect()
}

/// Whether a tool asks for more than the default.
fn is_strict(tool: &Tool) -> bool {
    tool.required_trust > Some(Trust::Low)
        || tool.side_effect > Some(SideEffect::Read)
        || !tool.scopes.is_empty()
        || tool.pin.is_some()
}

/// Whether a rule of the grant that allows speaks of the tool; without any such rule it speaks of all.
fn speaks_of(grant: &MCPAccessGrantSpec, tool: &str) -> bool {
    let mut allowing = grant
        .tool_rules
        .iter()
        .filter(|rule| rule.decision == Decision::Allow)
        .peekable();
    allowing.peek().is_none() || allowing.any(|rule| glob(&rule.name, tool))
}

/// A tool without what people read.
fn bare(tool: &Tool) -> Tool {
    Tool {
        description: None,
        labels: BTreeMap::new(),
        ..tool.clone()
    }
}

fn to_text(spec: &MCPServerSpec) -> Option<String> {
    serde_json::to_string(spec).ok()
}

fn from_text(text: &str) -> Option<MCPServerSpec> {
    serde_json::from_str(text).ok()
}
