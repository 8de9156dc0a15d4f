//! The sentence of a denial, and the command that would change the answer.
//!
//! Names come from requests, so they are shown with their control characters escaped and quoted for a shell.

use api::{AuthMode, SideEffect, Trust};

use crate::decide::{Item, Judge};
use crate::reason::Reason;

/// The longest name that is repeated in a sentence, in characters. The audit line has the whole name.
const SHOWN: usize = 128;

/// The sentence and the command for a denial.
pub(crate) fn of_denial(
    judge: &Judge<'_>,
    item: &Item<'_>,
    reason: Reason,
    lack: Option<(Trust, Trust)>,
    grant: Option<&str>,
) -> (String, Option<String>) {
    let what = format!("{} {}", item.kind(), shown(item.name()));
    let who = judge.caller.identity.to_string();
    let server = shown(&judge.bundle.server);
    let by = grant
        .map(|name| format!(" by the grant {}", shown(name)))
        .unwrap_or_default();
    let effect = judge.needs(item).side_effect;
    match reason {
        Reason::ToolDenied | Reason::PromptDenied | Reason::ResourceDenied => (
            format!("{what} of server {server} is denied to {who}{by}"),
            Some(format!(
                "kubectl mcp grant get {}{}",
                grant.map(quoted).unwrap_or_default(),
                namespace(judge)
            )),
        ),
        Reason::ToolSideEffectUnknown => (
            format!(
                "{what} is not declared by server {server}, so nobody knows what it does: \
                 list it in spec.tools of the MCPServer"
            ),
            Some(format!(
                "kubectl mcp server get {}{}",
                quoted(&judge.bundle.server),
                namespace(judge)
            )),
        ),
        Reason::SideEffectNotAllowed => {
            let effect = effect.map_or("unknown", SideEffect::as_str);
            (
                format!(
                    "{what} of server {server} has the side effect {effect}, which no grant of {who} allows"
                ),
                create(judge, item, lack),
            )
        }
        Reason::TrustTooLow => {
            let (needed, available) = lack.unwrap_or((Trust::High, Trust::Low));
            (
                format!(
                    "{what} of server {server} needs trust {needed}, {who} has {available}{}",
                    limit(judge, needed)
                ),
                raise(judge, item, needed),
            )
        }
        Reason::NoMatchingGrant => (
            format!("{who} has no grant on server {server}, so {what} is denied"),
            create(judge, item, lack),
        ),
        Reason::MissingSession => (
            format!("server {server} asks for a session, {who} has none"),
            Some(session(judge, None)),
        ),
        Reason::SessionExpired => (
            format!("the session of {who} on server {server} has expired"),
            Some(session(judge, None)),
        ),
        _ => (
            format!("no grant of {who} covers {what} of server {server}"),
            create(judge, item, lack),
        ),
    }
}

/// What a caller without a valid identity is told.
pub fn of_identity(
    reason: Reason,
    auth: AuthMode,
    namespace: &str,
    server: &str,
) -> (String, Option<String>) {
    let asked = match auth {
        AuthMode::Session | AuthMode::None => None,
        AuthMode::OAuth => Some(
            "this server asks for an OAuth access token: its protected resource metadata names the issuers",
        ),
        AuthMode::Kubernetes => Some("this server asks for a token of a service account"),
        AuthMode::Header => Some("this server takes the word of its trusted proxies only"),
    };
    // A session is no identity in these modes, so no command of ours gives one.
    if let (Some(asked), Reason::MissingBearerToken) = (asked, reason) {
        let command = (auth == AuthMode::Kubernetes).then(|| {
            let audience = crate::caller::token_audience(namespace, server);
            format!(
                "kubectl create token SERVICE_ACCOUNT --audience {}",
                quoted(&audience)
            )
        });
        return (asked.to_owned(), command);
    }
    let create = Some(format!(
        "kubectl mcp session create --server {} -n {}",
        quoted(server),
        quoted(namespace)
    ));
    match reason {
        Reason::MissingBearerToken => (
            "this server asks for a session token: send it as Authorization: Bearer TOKEN"
                .to_owned(),
            create,
        ),
        Reason::InvalidToken if asked.is_some() => ("the token is not valid".to_owned(), None),
        Reason::InvalidToken => (
            "the token belongs to no session of this server".to_owned(),
            create,
        ),
        Reason::SessionOfAnother => (
            "the session belongs to somebody else than the caller".to_owned(),
            None,
        ),
        Reason::UntrustedProxy => (
            "the request did not come from one of the server's trusted proxies".to_owned(),
            None,
        ),
        Reason::MissingIdentity => (
            "the proxy must say who calls, in one header with a person or a team".to_owned(),
            None,
        ),
        Reason::DuplicateIdentity => (
            "each header with the caller's identity must stand once, with a value that can be read"
                .to_owned(),
            None,
        ),
        Reason::IssuerUnavailable => (
            "the keys of the token's issuer cannot be had now, so nobody can tell whether it is genuine"
                .to_owned(),
            None,
        ),
        Reason::SessionRevoked => ("the session was revoked".to_owned(), create),
        Reason::SessionExpired => ("the session has expired".to_owned(), create),
        Reason::MissingSession => ("this server asks for a session".to_owned(), create),
        Reason::DuplicateToken => (
            "the request carries more than one token: send exactly one".to_owned(),
            None,
        ),
        other => (
            format!("the caller could not be identified ({other})"),
            None,
        ),
    }
}

/// The grant that would allow the item to this caller.
fn create(judge: &Judge<'_>, item: &Item<'_>, lack: Option<(Trust, Trust)>) -> Option<String> {
    let needs = judge.needs(item);
    let trust = lack.map_or(needs.trust, |(needed, _)| needed);
    let flag = match item {
        Item::Tool(_) => "--tool",
        Item::Prompt(_) => "--prompt",
        Item::Resource(_) | Item::ResourceTemplate(_) => "--resource",
    };
    let effect = needs.side_effect?;
    // A pattern would grant more than what was asked for, and a command must be one line.
    if item.name().chars().any(|c| c.is_control() || c == '*') {
        return None;
    }
    let subject = judge.caller.identity.subject();
    Some(format!(
        "kubectl mcp grant create --server {} --subject {} {flag} {} --side-effect {effect} --trust {trust}{}",
        quoted(&judge.bundle.server),
        quoted(&subject.to_string()),
        quoted(item.name()),
        namespace(judge),
    ))
}

/// Which of session and policy stands in the way, beside the grant.
fn limit(judge: &Judge<'_>, needed: Trust) -> String {
    if let Some(most) = judge.bundle.max_trust.filter(|most| *most < needed) {
        return format!(": the policy allows at most {most}");
    }
    match judge
        .caller
        .session
        .as_ref()
        .filter(|s| s.consented_trust < needed)
    {
        Some(s) => format!(
            ": the session {} consents to {}",
            shown(&s.name),
            s.consented_trust
        ),
        None => String::new(),
    }
}

/// The command that raises the trust, if one can.
fn raise(judge: &Judge<'_>, item: &Item<'_>, needed: Trust) -> Option<String> {
    if judge.bundle.max_trust.is_some_and(|most| most < needed) {
        return None;
    }
    if judge
        .caller
        .session
        .as_ref()
        .is_some_and(|s| s.consented_trust < needed)
    {
        return Some(session(judge, Some(needed)));
    }
    create(judge, item, Some((needed, needed)))
}

fn session(judge: &Judge<'_>, trust: Option<Trust>) -> String {
    let trust = trust.map(|t| format!(" --trust {t}")).unwrap_or_default();
    format!(
        "kubectl mcp session create --server {}{trust}{}",
        quoted(&judge.bundle.server),
        namespace(judge)
    )
}

fn namespace(judge: &Judge<'_>) -> String {
    format!(" -n {}", quoted(&judge.bundle.namespace))
}

/// A name as it may stand in a sentence: quoted, escaped, not endless.
pub fn shown(name: &str) -> String {
    let mut text: String = name.chars().take(SHOWN).collect();
    if text.len() < name.len() {
        text.push('…');
    }
    format!("{text:?}")
}

/// A word for a POSIX shell.
pub fn quoted(word: &str) -> String {
    let plain = !word.is_empty()
        && word.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b':' | b',' | b'@')
        });
    if plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
