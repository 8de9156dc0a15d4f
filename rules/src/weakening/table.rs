//! The rows of the table: what is compared, and which way is looser.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use api::{
    AuditSink, Auth, AuthMode, Decision, Issuer, MCPServer, MCPServerSpec, OAuth, PinMode,
    PolicyMode, RateLimit, SideEffect, Tool, Trust, duration,
};

use super::{Loosened, Since};
use crate::effective::{Effective, effective};
use crate::policy::PolicySet;
use crate::rules::say;

/// Longer lists than this the schema refuses; comparing them would only keep us busy.
const LONGEST: usize = 1024;

/// A server before or after the change.
pub(super) struct Side {
    pub(super) spec: MCPServerSpec,
    pub(super) effective: Effective,
}

impl Side {
    pub(super) fn new(
        name: &str,
        namespace: &str,
        spec: MCPServerSpec,
        policies: &PolicySet,
    ) -> Self {
        let mut server = MCPServer::new(name, spec);
        server.metadata.namespace = Some(namespace.to_owned());
        let effective = effective(&server, policies);
        Self {
            spec: server.spec,
            effective,
        }
    }

    /// The names of the tools.
    pub(super) fn tools(&self) -> BTreeSet<&str> {
        let tools = self.spec.tools.iter();
        tools.map(|tool| tool.name.as_str()).collect()
    }
}

/// What was found.
pub(super) struct Table {
    pub(super) rows: Vec<Loosened>,
    since: Since,
}

impl Table {
    pub(super) fn new(since: Since) -> Self {
        Self {
            rows: Vec::new(),
            since,
        }
    }

    /// Notes a row if it is looser.
    fn row(
        &mut self,
        looser: bool,
        field: impl Into<String>,
        given: impl Display,
        was: impl Display,
    ) {
        if looser {
            self.rows.push(Loosened {
                field: field.into(),
                given: given.to_string(),
                was: was.to_string(),
                since: self.since,
            });
        }
    }

    /// Notes what a list that may only become shorter has gained.
    fn gained<T: PartialEq>(
        &mut self,
        field: &str,
        new: &[T],
        old: &[T],
        show: impl Fn(&T) -> String,
    ) {
        let old = &old[..old.len().min(LONGEST)];
        for (index, item) in new
            .iter()
            .take(LONGEST)
            .enumerate()
            .filter(|(_, item)| !old.contains(item))
        {
            self.row(true, format!("{field}[{index}]"), show(item), "absent");
        }
    }

    /// Notes what a list that may only become longer has lost.
    fn lost<T: PartialEq>(
        &mut self,
        field: &str,
        new: &[T],
        old: &[T],
        show: impl Fn(&T) -> String,
    ) {
        let new = &new[..new.len().min(LONGEST)];
        for item in old.iter().take(LONGEST).filter(|item| !new.contains(item)) {
            self.row(true, field, "absent", show(item));
        }
    }
}

/// Every row in which the first server is looser.
pub(super) fn compare(new: &Side, old: &Side, since: Since) -> Vec<Loosened> {
    let mut table = Table::new(since);
    peers(new, old, &mut table);
    // In direct mode nobody decides, knows, notes or limits anything: no gateway is looser than that.
    if old.effective.gateway.enabled {
        decisions(&new.effective, &old.effective, &mut table);
        identity(&new.effective, &old.effective, &mut table);
        issuers(new.spec.auth.as_ref(), old.spec.auth.as_ref(), &mut table);
        inventory(
            &new.spec.tools,
            &old.spec.tools,
            &old.effective,
            &new.effective,
            &mut table,
        );
        limits(&new.spec.rate_limits, &old.spec.rate_limits, &mut table);
        audit(new, old, &mut table);
    }
    table.rows
}

/// Who can reach the pod. A list without entries says what no list says: everybody.
fn peers(new: &Side, old: &Side, table: &mut Table) {
    const FIELD: &str = "spec.networkPolicy.ingressFrom";
    let from = |side: &Side| {
        side.spec
            .network_policy
            .as_ref()
            .and_then(|policy| policy.ingress_from.clone())
            .filter(|peers| !peers.is_empty())
    };
    match (from(new), from(old)) {
        (_, None) => {}
        (None, Some(_)) => table.row(true, FIELD, "absent", "a list of peers"),
        (Some(new), Some(old)) => table.gained(FIELD, &new, &old, |_| "a further peer".to_owned()),
    }
}

/// What happens to a call.
fn decisions(new: &Effective, old: &Effective, table: &mut Table) {
    table.row(
        !new.gateway.enabled,
        "spec.gateway.enabled",
        new.gateway.enabled,
        old.gateway.enabled,
    );
    let (after, before) = (&new.policy, &old.policy);
    let observes = before.mode != PolicyMode::Observe && after.mode == PolicyMode::Observe;
    table.row(observes, "spec.policy.mode", after.mode, before.mode);
    for (field, after, before) in [
        (
            "defaultDecision",
            after.default_decision,
            before.default_decision,
        ),
        (
            "undeclaredTools",
            after.undeclared_tools,
            before.undeclared_tools,
        ),
    ] {
        let allows = before == Decision::Deny && after == Decision::Allow;
        table.row(allows, format!("spec.policy.{field}"), after, before);
    }
    let (pins, pinned) = (pin_rank(after.pins), pin_rank(before.pins));
    table.row(pins < pinned, "spec.policy.pins", pins.1, pinned.1);
    let text = String::clone;
    table.gained(
        "spec.gateway.allowedHosts",
        &new.gateway.allowed_hosts,
        &old.gateway.allowed_hosts,
        text,
    );
    table.gained(
        "spec.gateway.allowedOrigins",
        &new.gateway.allowed_origins,
        &old.gateway.allowed_origins,
        text,
    );
}

/// How strict, and the word.
fn pin_rank(pins: PinMode) -> (u8, &'static str) {
    match pins {
        PinMode::Off => (0, "off"),
        PinMode::Warn => (1, "warn"),
        PinMode::Enforce => (2, "enforce"),
    }
}

/// Who a caller is, and for how long.
fn identity(new: &Effective, old: &Effective, table: &mut Table) {
    let (after, before) = (&new.auth, &old.auth);
    table.row(
        auth_rank(after.mode) < auth_rank(before.mode),
        "spec.auth.mode",
        after.mode,
        before.mode,
    );
    for (field, after, before) in [
        (
            "humanIDHeader",
            &after.human_id_header,
            &before.human_id_header,
        ),
        (
            "agentIDHeader",
            &after.agent_id_header,
            &before.agent_id_header,
        ),
        (
            "teamIDHeader",
            &after.team_id_header,
            &before.team_id_header,
        ),
        (
            "sessionIDHeader",
            &after.session_id_header,
            &before.session_id_header,
        ),
        ("tokenHeader", &after.token_header, &before.token_header),
    ] {
        table.row(
            !after.eq_ignore_ascii_case(before),
            format!("spec.auth.{field}"),
            after,
            before,
        );
    }
    let (after, before) = (&new.session, &old.session);
    table.row(
        before.required && !after.required,
        "spec.session.required",
        after.required,
        before.required,
    );
    for (field, after, before) in [
        ("maxLifetime", after.max_lifetime, before.max_lifetime),
        ("idleTimeout", after.idle_timeout, before.idle_timeout),
    ] {
        table.row(
            after > before,
            format!("spec.session.{field}"),
            say(after),
            say(before),
        );
    }
}

/// How sure one is of a caller: a session is of one principal with a consented trust, `none` is nobody.
fn auth_rank(mode: AuthMode) -> u8 {
    match mode {
        AuthMode::None => 0,
        AuthMode::Header => 1,
        AuthMode::OAuth => 2,
        AuthMode::Kubernetes => 3,
        AuthMode::Session => 4,
    }
}

/// Who says who a caller is.
fn issuers(new: Option<&Auth>, old: Option<&Auth>, table: &mut Table) {
    let proxies = |auth: Option<&Auth>| {
        auth.map(|auth| auth.trusted_proxies.clone())
            .unwrap_or_default()
    };
    table.gained(
        "spec.auth.trustedProxies",
        &proxies(new),
        &proxies(old),
        |_| "a further proxy".to_owned(),
    );
    let oauth = |auth: Option<&Auth>| -> OAuth {
        auth.and_then(|auth| auth.oauth.clone()).unwrap_or_default()
    };
    let (new, old) = (oauth(new), oauth(old));
    // Every part of an issuer says whose tokens are taken for whom, so a changed one is another one.
    table.gained(
        "spec.auth.oauth.issuers",
        &new.issuers,
        &old.issuers,
        |issuer: &Issuer| issuer.url.clone(),
    );
    table.lost(
        "spec.auth.oauth.requiredScopes",
        &new.required_scopes,
        &old.required_scopes,
        String::clone,
    );
}

/// What a call of a declared tool asks for.
pub(super) fn inventory(
    new: &[Tool],
    old: &[Tool],
    before: &Effective,
    after: &Effective,
    table: &mut Table,
) {
    if old.is_empty() {
        return;
    }
    // Of two of one name the first counts, as MCP0501 refuses the other.
    let mut by_name = BTreeMap::new();
    for (index, tool) in new.iter().enumerate() {
        by_name.entry(tool.name.as_str()).or_insert((index, tool));
    }
    for tool in old {
        let Some((index, now)) = by_name.get(tool.name.as_str()).copied() else {
            // An undeclared tool that is allowed asks for no trust and for every side effect.
            let open = before.policy.undeclared_tools == Decision::Allow
                && after.policy.undeclared_tools == Decision::Allow;
            table.row(
                open,
                "spec.tools",
                format!("without '{}'", tool.name),
                format!("with '{}'", tool.name),
            );
            continue;
        };
        let field = |name: &str| format!("spec.tools[{index}].{name}");
        let (trust, asked): (Trust, Trust) = (
            now.required_trust.unwrap_or_default(),
            tool.required_trust.unwrap_or_default(),
        );
        table.row(trust < asked, field("requiredTrust"), trust, asked);
        let (effect, said): (SideEffect, SideEffect) = (
            now.side_effect.unwrap_or_default(),
            tool.side_effect.unwrap_or_default(),
        );
        table.row(effect < said, field("sideEffect"), effect, said);
        table.lost(&field("scopes"), &now.scopes, &tool.scopes, String::clone);
        table.row(
            tool.pin.is_some() && now.pin != tool.pin,
            field("pin"),
            "another pin",
            "the approved one",
        );
    }
}

/// How much may be called. A limit that stays may only become tighter.
fn limits(new: &[RateLimit], old: &[RateLimit], table: &mut Table) {
    for (index, limit) in old.iter().take(LONGEST).enumerate() {
        table.row(
            !new.iter().take(LONGEST).any(|now| is_as_tight(now, limit)),
            "spec.rateLimits",
            format!("without limit {index}"),
            format!("{} in {}", limit.requests, limit.per),
        );
    }
}

/// Whether a limit lets through no more than another, at any time.
fn is_as_tight(now: &RateLimit, limit: &RateLimit) -> bool {
    let burst = |limit: &RateLimit| limit.burst.unwrap_or(limit.requests);
    // Requests of the first in the time of the second: which of two rates is higher, without a division.
    let in_time_of = |requests: i32, per: &str| -> Option<i128> {
        let nanos = i128::try_from(duration::parse(per).ok()?.as_nanos()).ok()?;
        Some(i128::from(requests) * nanos)
    };
    let slower = match (
        in_time_of(now.requests, &limit.per),
        in_time_of(limit.requests, &now.per),
    ) {
        (Some(now), Some(before)) => now <= before,
        // No duration: MCP0407 says so. Only the same text is the same.
        _ => now.per == limit.per && now.requests <= limit.requests,
    };
    (now.scope, &now.tool) == (limit.scope, &limit.tool) && slower && burst(now) <= burst(limit)
}

/// What is noted, and where.
fn audit(new: &Side, old: &Side, table: &mut Table) {
    let (after, before) = (new.effective.audit_sink, old.effective.audit_sink);
    table.row(
        before != AuditSink::Off && after != before,
        "spec.audit.sink",
        after,
        before,
    );
    let url = |side: &Side| side.spec.audit.as_ref().and_then(|audit| audit.url.clone());
    if let Some(before) = url(old) {
        let after = url(new).unwrap_or_else(|| "absent".to_owned());
        table.row(after != before, "spec.audit.url", &after, &before);
    }
    let redacted = |side: &Side| {
        let audit = side.spec.audit.as_ref();
        audit.map(|audit| audit.redact.clone()).unwrap_or_default()
    };
    table.lost(
        "spec.audit.redact",
        &redacted(new),
        &redacted(old),
        String::clone,
    );
}
