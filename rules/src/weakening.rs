//! Whether a server is made looser than it was: the one table of what decides who may call, who a caller is, and what
//! is noted and limited.
//!
//! Read by [`questions`](crate::questions()) before a request is judged, and by the rule MCP0410. Values are compared
//! as they take effect, under the same policies. What a server declares as a tool is its author's to say, so a further
//! tool loosens nothing; one that was declared before may not ask for less.

use std::fmt::Display;

use api::{
    AuditSink, Auth, AuthMode, Decision, Effect, GROUP, Issuer, MCPServer, MCPServerSpec, OAuth,
    PinMode, PolicyMode, RateLimit, SideEffect, Tool, Trust,
};
use serde_json::Value;

use crate::check::is_terminating;
use crate::context::text;
use crate::effective::{Effective, effective};
use crate::facts::{Facts, Known, Question};
use crate::kind::Kind;
use crate::policy::PolicySet;
use crate::questions::namespace;
use crate::rules::say;
use crate::schema::{self, Typed};
use crate::subject::is_live;

/// One value that lets through, or leaves unsaid, what the value before did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loosened {
    /// Path of the field.
    pub(crate) field: String,
    /// What it says now.
    pub(crate) given: String,
    /// What it said before, or by default.
    pub(crate) was: String,
}

/// What a request does to the strictness of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Weakening {
    /// It may be done by whoever may write the server.
    Nothing,
    /// It is a creation that is looser than the default, and whether grants use the name could not be looked up.
    Unknown,
    /// These values are looser.
    Loosens(Vec<Loosened>),
}

/// Compares a server with what it is to replace; a creation with the default, but only where live grants name it.
pub(crate) fn weakening(new: &Value, old: Option<&Value>, facts: &Facts) -> Weakening {
    if old.is_some_and(is_terminating) {
        return Weakening::Nothing;
    }
    let namespace = namespace(new, facts);
    let name = text(new, "/metadata/name").unwrap_or_default();
    let policies = facts.selected(&namespace);
    let side = |spec| Side::new(name, &namespace, spec, &policies);
    let before = old.map_or_else(MCPServerSpec::default, read);
    let loosened = compare(&side(read(new)), &side(before));
    if loosened.is_empty() {
        return Weakening::Nothing;
    }
    if old.is_some() {
        return Weakening::Loosens(loosened);
    }
    match is_granted(&namespace, name, facts) {
        Known::Unknown => Weakening::Unknown,
        Known::Known(false) => Weakening::Nothing,
        Known::Known(true) => Weakening::Loosens(loosened),
    }
}

/// To be asked where a server is made looser.
pub(crate) fn weaken(new: &Value, old: Option<&Value>, facts: &Facts) -> Option<Question> {
    matches!(weakening(new, old, facts), Weakening::Loosens(_)).then(|| question(new, facts))
}

/// Whether the requester has the verb `weaken` on the server.
pub(crate) fn question(server: &Value, facts: &Facts) -> Question {
    Question {
        verb: "weaken",
        group: GROUP,
        resource: Kind::Server.plural(),
        namespace: namespace(server, facts),
        name: text(server, "/metadata/name")
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Whether a grant gives something on a server of that name.
fn is_granted(namespace: &str, name: &str, facts: &Facts) -> Known<bool> {
    let Some(grants) = facts.grants.get() else {
        return Known::Unknown;
    };
    let now = facts.now.get().copied();
    Known::Known(grants.iter().any(|grant| {
        grant.metadata.namespace.as_deref() == Some(namespace)
            && grant.spec.server_ref.name == name
            && grant.spec.effect == Effect::Allow
            && is_live(grant, now)
    }))
}

/// The spec as far as the schema can read it.
fn read(object: &Value) -> MCPServerSpec {
    match schema::read(Kind::Server, object).0 {
        Typed::Server(spec) => *spec,
        Typed::Grant(_) | Typed::Session(_) | Typed::Policy(_) => MCPServerSpec::default(),
    }
}

/// A server before or after the change.
struct Side {
    spec: MCPServerSpec,
    effective: Effective,
}

impl Side {
    fn new(name: &str, namespace: &str, spec: MCPServerSpec, policies: &PolicySet) -> Self {
        let mut server = MCPServer::new(name, spec);
        server.metadata.namespace = Some(namespace.to_owned());
        let effective = effective(&server, policies);
        Self {
            spec: server.spec,
            effective,
        }
    }
}

/// What was found.
#[derive(Default)]
struct Table(Vec<Loosened>);

impl Table {
    /// Notes a row if it is looser.
    fn row(
        &mut self,
        looser: bool,
        field: impl Into<String>,
        given: impl Display,
        was: impl Display,
    ) {
        if looser {
            self.0.push(Loosened {
                field: field.into(),
                given: given.to_string(),
                was: was.to_string(),
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
        for (index, item) in new
            .iter()
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
        for item in old.iter().filter(|item| !new.contains(item)) {
            self.row(true, field, "absent", show(item));
        }
    }
}

fn compare(new: &Side, old: &Side) -> Vec<Loosened> {
    let mut table = Table::default();
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
    table.0
}

/// Who can reach the pod.
fn peers(new: &Side, old: &Side, table: &mut Table) {
    const FIELD: &str = "spec.networkPolicy.ingressFrom";
    let from = |side: &Side| {
        side.spec
            .network_policy
            .as_ref()
            .and_then(|policy| policy.ingress_from.clone())
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
fn inventory(new: &[Tool], old: &[Tool], before: &Effective, after: &Effective, table: &mut Table) {
    for tool in old {
        let Some((index, now)) = new
            .iter()
            .enumerate()
            .find(|(_, now)| now.name == tool.name)
        else {
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
    let burst = |limit: &RateLimit| limit.burst.unwrap_or(limit.requests);
    for (index, limit) in old.iter().enumerate() {
        let kept = new.iter().any(|now| {
            (now.scope, &now.tool, &now.per) == (limit.scope, &limit.tool, &limit.per)
                && now.requests <= limit.requests
                && burst(now) <= burst(limit)
        });
        table.row(
            !kept,
            "spec.rateLimits",
            format!("without limit {index}"),
            format!("{} in {}", limit.requests, limit.per),
        );
    }
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
}

#[cfg(test)]
mod tests;
