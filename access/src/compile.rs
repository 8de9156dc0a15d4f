//! Grants and sessions to a bundle. Called by the operator whenever one of them, the server or a policy changes, and
//! by the plugins to answer questions about live objects.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Decision, Effect, MCPAccessGrant, MCPAgentSession, MCPServer, ToolRule, Trust, names};
use jiff::{SignedDuration, Timestamp};

use crate::bundle::{Bundle, GrantEntry, RuleEntry, SCHEMA, SessionEntry, ToolEntry};
use crate::settings::{Ceilings, SESSION_IDLE, Settings};

/// The bundle of one server at `now`, with sequence 0.
///
/// Takes from `grants` and `sessions` what is in the server's namespace, refers to it, and lives: expired, disabled
/// and terminating ones are left out, but a terminating denial stays until it is gone, and a revoked session stays
/// until its expiry. Trust and lifetimes are cut to the policies' ceilings. Of two sessions with one hash the older
/// counts. A session is in every team that the policies give to its stamped groups, as far as denials go. The inventory of `server` gives the declared tools.
pub fn compile(
    settings: &Settings,
    server: &MCPServer,
    grants: &[Arc<MCPAccessGrant>],
    sessions: &[Arc<MCPAgentSession>],
    now: Timestamp,
) -> Bundle {
    let mut bundle = Bundle {
        schema: SCHEMA,
        sequence: 0,
        namespace: settings.namespace.clone(),
        server: settings.server.clone(),
        auth: settings.auth,
        headers: settings.headers.clone(),
        mode: settings.mode,
        default_decision: settings.default_decision,
        undeclared_tools: settings.undeclared_tools,
        pins: settings.pins,
        session_required: settings.session_required,
        max_trust: settings.ceilings.max_trust,
        max_staleness_seconds: settings.ceilings.max_staleness.as_secs(),
        session_idle_seconds: Some(settings.session_idle)
            .filter(|idle| *idle != SESSION_IDLE)
            .map(|idle| idle.as_secs()),
        paths: settings.paths.clone(),
        hosts: settings.hosts.clone(),
        origins: settings.origins.clone(),
        audit: settings.audit,
        audit_url: settings.audit_url.clone(),
        audit_redact: settings.audit_redact.clone(),
        limits: settings.limits.clone(),
        oauth: settings.oauth.clone(),
        proxies: settings.proxies.clone(),
        translate: settings.translate,
        tools: tools(server),
        grants: grants
            .iter()
            .filter_map(|grant| grant_entry(settings, grant, now))
            .collect(),
        sessions: session_entries(settings, sessions, now),
    };
    bundle.sort();
    bundle
}

/// The declared tools. Of two with one name the stricter counts; the schema refuses such lists anyway.
fn tools(server: &MCPServer) -> Vec<ToolEntry> {
    let mut tools: BTreeMap<&str, ToolEntry> = BTreeMap::new();
    for tool in &server.spec.tools {
        let entry = ToolEntry {
            name: tool.name.clone(),
            required_trust: tool.required_trust.unwrap_or_default(),
            side_effect: tool.side_effect.unwrap_or_default(),
            scopes: sorted(&tool.scopes),
            pins: sorted(tool.pins()),
        };
        tools
            .entry(&tool.name)
            .and_modify(|known| {
                known.required_trust = known.required_trust.max(entry.required_trust);
                known.side_effect = known.side_effect.max(entry.side_effect);
                known.scopes = sorted(&[known.scopes.as_slice(), &entry.scopes].concat());
                known.pins.retain(|pin| entry.pins.contains(pin));
            })
            .or_insert(entry);
    }
    tools.into_values().collect()
}

/// Why a grant takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It is for another server.
    OtherServer,
    /// It names nobody.
    NoSubject,
    /// It is turned off.
    Disabled,
    /// It is over.
    Expired,
    /// It is being deleted, and has nothing that denies.
    Terminating,
}

/// What a grant contributes to the bundle at `now`.
pub(crate) fn live_grant(
    settings: &Settings,
    grant: &MCPAccessGrant,
    now: Timestamp,
) -> Result<GrantEntry, Absent> {
    let (meta, spec) = (&grant.metadata, &grant.spec);
    if meta
        .namespace
        .as_ref()
        .is_some_and(|n| *n != settings.namespace)
        || spec.server_ref.name != settings.server
    {
        return Err(Absent::OtherServer);
    }
    if !spec.subject.names_somebody() {
        return Err(Absent::NoSubject);
    }
    if spec.disabled {
        return Err(Absent::Disabled);
    }
    let created = meta.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let expires_at = grant_expiry(
        &settings.ceilings,
        spec.effect,
        created,
        spec.expires_at.as_ref().map(|t| t.0),
    );
    if expires_at.is_some_and(|expiry| expiry <= now) {
        return Err(Absent::Expired);
    }
    let mut entry = GrantEntry {
        name: meta.name.clone().unwrap_or_default(),
        effect: spec.effect,
        subject: spec.subject.clone(),
        max_trust: clamp(spec.max_trust, &settings.ceilings),
        side_effects: sorted(&spec.allowed_side_effects),
        rules: sorted(
            &spec
                .tool_rules
                .iter()
                .map(|rule| rule_entry(spec.effect, rule))
                .collect::<Vec<_>>(),
        ),
        prompts: sorted(&spec.prompts),
        resources: sorted(&spec.resources),
        expires_at,
    };
    if meta.deletion_timestamp.is_some() && spec.effect == Effect::Allow {
        entry = only_denials(entry).ok_or(Absent::Terminating)?;
    }
    Ok(entry)
}

fn grant_entry(settings: &Settings, grant: &MCPAccessGrant, now: Timestamp) -> Option<GrantEntry> {
    live_grant(settings, grant, now).ok()
}

/// A grant of effect Deny denies whatever its rules name, so each of them is a denial.
fn rule_entry(effect: Effect, rule: &ToolRule) -> RuleEntry {
    RuleEntry {
        name: rule.name.clone(),
        deny: effect == Effect::Deny || rule.decision == Decision::Deny,
        required_trust: rule.required_trust,
    }
}

/// What stays of a grant that is being deleted: nothing that gives, everything that denies.
fn only_denials(mut entry: GrantEntry) -> Option<GrantEntry> {
    entry.rules.retain(|rule| rule.deny);
    if entry.rules.is_empty() {
        return None;
    }
    entry.effect = Effect::Deny;
    entry.prompts.clear();
    entry.resources.clear();
    Some(entry)
}

/// When a grant ends. The ceiling of lifetimes never shortens a denial.
fn grant_expiry(
    ceilings: &Ceilings,
    effect: Effect,
    created: Timestamp,
    stated: Option<Timestamp>,
) -> Option<Timestamp> {
    match (effect, ceilings.max_grant_lifetime) {
        (Effect::Deny, _) | (Effect::Allow, None) => stated,
        (Effect::Allow, Some(most)) => {
            let latest = after(created, most);
            Some(stated.map_or(latest, |time| time.min(latest)))
        }
    }
}

/// The live sessions of the server, one for each hash.
fn session_entries(
    settings: &Settings,
    sessions: &[Arc<MCPAgentSession>],
    now: Timestamp,
) -> Vec<SessionEntry> {
    let mut mine: Vec<&MCPAgentSession> = sessions
        .iter()
        .map(Arc::as_ref)
        .filter(|s| {
            s.metadata
                .namespace
                .as_ref()
                .is_none_or(|n| *n == settings.namespace)
        })
        .filter(|s| {
            s.spec.server_ref.name == settings.server && s.metadata.deletion_timestamp.is_none()
        })
        .collect();
    // The last one inserted stays, so the oldest goes last.
    mine.sort_by_key(|s| {
        Reverse((
            s.metadata.creation_timestamp.as_ref().map(|t| t.0),
            s.metadata.name.clone(),
        ))
    });
    let mut by_hash: BTreeMap<&str, SessionEntry> = BTreeMap::new();
    for session in mine {
        let spec = &session.spec;
        let created = session
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(now, |time| time.0);
        let expires_at = match settings.ceilings.max_session_lifetime {
            Some(most) => spec.expires_at.0.min(after(created, most)),
            None => spec.expires_at.0,
        };
        let well_formed = spec.token_hash.len() == 64
            && spec
                .token_hash
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if expires_at <= now || !well_formed {
            continue;
        }
        let groups = stamped_groups(session);
        let entry = SessionEntry {
            hash: spec.token_hash.clone(),
            name: session.metadata.name.clone().unwrap_or_default(),
            subject: spec.subject.clone(),
            teams: settings.teams_of(&groups),
            groups,
            consented_trust: clamp(spec.consented_trust, &settings.ceilings),
            expires_at,
            revoked: spec.revoked,
        };
        by_hash.insert(&spec.token_hash, entry);
    }
    by_hash.into_values().collect()
}

/// The groups that were stamped on the session, if its subject is who created it: groups of an impersonator are not
/// the groups of the subject.
fn stamped_groups(session: &MCPAgentSession) -> Vec<String> {
    let Some(annotations) = &session.metadata.annotations else {
        return Vec::new();
    };
    let Some(requester) = annotations.get(names::REQUESTED_BY) else {
        return Vec::new();
    };
    let subject = &session.spec.subject;
    let account = subject
        .service_account
        .as_ref()
        .map(|a| format!("system:serviceaccount:{}:{}", a.namespace, a.name));
    let own = subject.issuer.is_none()
        && match (&subject.human_id, &account) {
            (Some(human), None) => human == requester,
            (None, Some(account)) => account == requester,
            (Some(human), Some(account)) => human == requester && account == requester,
            (None, None) => false,
        };
    if !own {
        return Vec::new();
    }
    let groups = annotations
        .get(names::REQUESTED_BY_GROUPS)
        .map(String::as_str)
        .unwrap_or_default();
    sorted(&serde_json::from_str::<Vec<String>>(groups).unwrap_or_default())
}

fn clamp(trust: Trust, ceilings: &Ceilings) -> Trust {
    ceilings.max_trust.map_or(trust, |most| trust.min(most))
}

/// `time + duration`, or the end of all times.
fn after(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|d| time.checked_add(d).ok())
        .unwrap_or(Timestamp::MAX)
}

fn sorted<T: Clone + Ord>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort();
    items.dedup();
    items
}
