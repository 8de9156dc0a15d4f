//! Who calls: the token of a request, and the caller behind it. Pure.

use access::{Caller, Reason, authenticate, token_hash};
use api::AuthMode;
use api::names::SESSION_TOKEN_HEADER;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::policy::{View, has_scheme};

/// A caller, and the hash of the token by which it is known.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who.
    pub caller: Caller,
    /// By which token, if by one.
    pub hash: Option<String>,
    /// What MCP sessions are bound to.
    pub principal: String,
}

/// The caller of a request, by the server's auth mode.
pub fn identify(headers: &HeaderMap, view: &View, now: Timestamp) -> Result<Known, Reason> {
    match view.bundle.auth {
        AuthMode::None => Ok(known(Caller::anonymous(), None)),
        AuthMode::Session => {
            let token = token(headers, &view.token)?;
            let hash = token_hash(token);
            let caller = authenticate(&view.bundle, &hash, now)?;
            Ok(known(caller, Some(hash)))
        }
        AuthMode::OAuth | AuthMode::Kubernetes | AuthMode::Header => {
            Err(Reason::AuthModeUnavailable)
        }
    }
}

fn known(caller: Caller, hash: Option<String>) -> Known {
    Known {
        principal: caller.identity.principal(),
        caller,
        hash,
    }
}

/// Whether the request claims to have come through the API server's service proxy: its token is in the header that
/// passes it, and the auth mode is one that asks for this token. Only [`identify`] says whether the token is valid;
/// until then the claim is worth nothing.
pub fn came_by_proxy(headers: &HeaderMap, view: &View) -> bool {
    match view.bundle.auth {
        AuthMode::Session => headers.contains_key(SESSION_TOKEN_HEADER),
        AuthMode::None | AuthMode::OAuth | AuthMode::Kubernetes | AuthMode::Header => false,
    }
}

/// The one token of a request: in the server's token header, or in the one that passes the service proxy.
fn token<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Reason> {
    let proxied = HeaderName::from_static(SESSION_TOKEN_HEADER);
    let own = headers
        .get_all(name)
        .iter()
        .map(|value| (value, has_scheme(name)));
    let other = headers
        .get_all(&proxied)
        .iter()
        .map(|value| (value, false))
        .filter(|_| *name != proxied);
    let mut tokens = own.chain(other);
    let (value, scheme) = tokens.next().ok_or(Reason::MissingBearerToken)?;
    if tokens.next().is_some() {
        return Err(Reason::DuplicateToken);
    }
    bare(value, scheme)
}

/// The token in a header's value: after `Bearer` where there is a scheme, and where it was written by habit.
fn bare(value: &HeaderValue, needs_scheme: bool) -> Result<&str, Reason> {
    let text = value.to_str().map_err(|_| Reason::InvalidToken)?.trim();
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return Err(Reason::InvalidToken),
        None if needs_scheme => return Err(Reason::MissingBearerToken),
        None => text,
    };
    if token.is_empty() {
        Err(Reason::MissingBearerToken)
    } else {
        Ok(token)
    }
}

/// The verified identity, as headers for the server. What no header can hold is left out.
pub fn told_to_server(caller: &Caller, view: &View, headers: &mut HeaderMap) {
    let account = caller.identity.service_account.as_ref();
    let account = account.map(|a| format!("system:serviceaccount:{}:{}", a.namespace, a.name));
    let human = caller.identity.human.as_ref().or(account.as_ref());
    let values = [
        human,
        caller.identity.agent.as_ref(),
        caller.identity.team.as_ref(),
    ];
    for (name, value) in view.identity.iter().zip(values) {
        if let Some(value) = value.and_then(|v| HeaderValue::from_str(v).ok()) {
            headers.insert(name.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    fn found(pairs: &[(&'static str, &'static str)], name: &HeaderName) -> Result<String, Reason> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        token(&headers, name).map(str::to_owned)
    }

    #[test]
    fn exactly_one_token_is_taken() {
        type Row<'r> = (
            &'r [(&'static str, &'static str)],
            &'r HeaderName,
            Result<&'r str, Reason>,
        );
        let other = HeaderName::from_static("x-token");
        let rows: &[Row<'_>] = &[
            (&[("authorization", "Bearer t")], &AUTHORIZATION, Ok("t")),
            (&[("authorization", "bearer  t ")], &AUTHORIZATION, Ok("t")),
            (&[("x-mcp-session-token", "t")], &AUTHORIZATION, Ok("t")),
            (&[("x-token", "t")], &other, Ok("t")),
            (&[("x-token", "Bearer t")], &other, Ok("t")),
            (
                &[("authorization", "Bearer t"), ("x-token", "u")],
                &other,
                Ok("u"),
            ),
            (&[], &AUTHORIZATION, Err(Reason::MissingBearerToken)),
            (
                &[("authorization", "t")],
                &AUTHORIZATION,
                Err(Reason::MissingBearerToken),
            ),
            (
                &[("authorization", "Basic dDp0")],
                &AUTHORIZATION,
                Err(Reason::InvalidToken),
            ),
            (
                &[("authorization", "Bearer ")],
                &AUTHORIZATION,
                Err(Reason::MissingBearerToken),
            ),
            (
                &[("authorization", "Bearer t"), ("authorization", "Bearer t")],
                &AUTHORIZATION,
                Err(Reason::DuplicateToken),
            ),
            (
                &[("authorization", "Bearer t"), ("x-mcp-session-token", "t")],
                &AUTHORIZATION,
                Err(Reason::DuplicateToken),
            ),
        ];
        for (pairs, name, expected) in rows {
            assert_eq!(found(pairs, name), expected.map(str::to_owned), "{pairs:?}");
        }
    }
}
