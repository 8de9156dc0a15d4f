//! Who calls: the identity of a request, by the server's auth mode.
//!
//! Called by the [`pipeline`](crate::pipeline) once per request. It says who somebody is, never what he may do. A token
//! is in no log, no error and no audit line; what is wrong with one is said without repeating any of it.

pub mod cache;
pub mod fetch;
pub mod issuers;
pub mod jwks;
pub mod jwt;
pub mod kubernetes;
pub mod metadata;
pub mod oauth;
pub mod proxy;

use std::net::IpAddr;
use std::sync::Arc;

use access::{
    Bundle, Caller, Item, Reason, account_user, authenticate, join_session, token_audience,
    token_hash,
};
use api::AuthMode;
use api::names::SESSION_TOKEN_HEADER;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::answer::Answer;
use crate::policy::{View, has_scheme};
use crate::protocol::code;
use cache::{Cache, Verified};
use fetch::Fetcher;
use issuers::{Issuers, NotTaken};
use jwt::Unverified;

/// A caller, and what it is known by.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who.
    pub caller: Caller,
    /// The hash of its session's token, if it has one.
    pub hash: Option<String>,
    /// What MCP sessions are bound to.
    pub principal: String,
    /// What its signed token says, if it has one.
    pub token: Option<Arc<Verified>>,
}

impl Known {
    fn new(caller: Caller, hash: Option<String>, token: Option<Arc<Verified>>) -> Self {
        Self {
            principal: caller.identity.principal(),
            caller,
            hash,
            token,
        }
    }
}

/// Why a caller is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotKnown {
    /// For the answer and the audit line.
    pub reason: Reason,
    /// What is wrong with the token, where it is a signed one.
    pub fault: Option<NotTaken>,
}

impl From<Reason> for NotKnown {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            fault: None,
        }
    }
}

impl From<NotTaken> for NotKnown {
    fn from(fault: NotTaken) -> Self {
        let reason = match fault {
            NotTaken::Token(_) => Reason::InvalidToken,
            NotTaken::Unavailable => Reason::IssuerUnavailable,
        };
        Self {
            reason,
            fault: Some(fault),
        }
    }
}

impl From<jwt::Error> for NotKnown {
    fn from(error: jwt::Error) -> Self {
        NotTaken::from(error).into()
    }
}

/// What a bundle says of callers, prepared once.
#[derive(Debug)]
pub struct Trust {
    /// The server as an OAuth resource server, with mode oauth.
    pub oauth: Option<oauth::Resource>,
    proxies: Option<proxy::Proxies>,
    audience: String,
}

impl Trust {
    /// Prepares a bundle; the text that is no network where there is one.
    pub fn new(bundle: &Bundle) -> Result<Self, String> {
        let oauth = bundle.oauth.as_ref();
        let proxies = bundle.proxies.as_ref().map(proxy::Proxies::new);
        Ok(Self {
            oauth: oauth.map(|entry| oauth::Resource::new(entry, &bundle.server, &bundle.paths)),
            proxies: proxies.transpose()?,
            audience: token_audience(&bundle.namespace, &bundle.server),
        })
    }
}

/// What is remembered from one request to the next: keys of issuers, and tokens checked with them. One for the process.
#[derive(Debug)]
pub struct Memory {
    issuers: Issuers,
    cache: Cache,
}

impl Memory {
    /// Empty. `insecure` lets issuers be asked by plain http on loopback: for tests and development.
    pub fn new(insecure: bool) -> Self {
        Self {
            issuers: Issuers::new(Fetcher::new(insecure)),
            cache: Cache::default(),
        }
    }
}

/// The caller of a request from `peer`, by the server's auth mode.
pub async fn identify(
    memory: &Memory,
    headers: &HeaderMap,
    peer: IpAddr,
    view: &View,
    now: Timestamp,
) -> Result<Known, NotKnown> {
    match view.bundle.auth {
        AuthMode::None if came_by_proxy(headers, view) => {
            // The session lets the request through, but makes nobody of the caller.
            let name = HeaderName::from_static(SESSION_TOKEN_HEADER);
            let (_, hash) = session(token(headers, &name)?, view, now)?;
            Ok(Known::new(Caller::anonymous(), Some(hash), None))
        }
        AuthMode::None => Ok(Known::new(Caller::anonymous(), None, None)),
        AuthMode::Session => {
            let (caller, hash) = session(token(headers, &view.token)?, view, now)?;
            Ok(Known::new(caller, Some(hash), None))
        }
        AuthMode::OAuth | AuthMode::Kubernetes => {
            let token = token(headers, &view.token)?;
            let verified = verified(memory, token, view, now).await?;
            if let Some(resource) = &view.trust.oauth
                && resource
                    .lacking(&verified.scopes, std::iter::empty())
                    .is_some()
            {
                return Err(Reason::InsufficientScope.into());
            }
            let caller = Caller {
                identity: verified.identity.clone(),
                session: None,
            };
            beside(headers, caller, Some(verified), view, now)
        }
        AuthMode::Header => {
            let proxies = view.trust.proxies.as_ref();
            if !proxies.is_some_and(|proxies| proxies.trust(peer)) {
                return Err(Reason::UntrustedProxy.into());
            }
            let caller = Caller {
                identity: proxy::identity(headers, &view.identity)?,
                session: None,
            };
            beside(headers, caller, None, view, now)
        }
    }
}

/// The holder of a session, and the hash of its token.
fn session(token: &str, view: &View, now: Timestamp) -> Result<(Caller, String), Reason> {
    let hash = token_hash(token);
    Ok((authenticate(&view.bundle, &hash, now)?, hash))
}

/// The caller with the session whose token came beside its identity, if one did.
fn beside(
    headers: &HeaderMap,
    caller: Caller,
    token: Option<Arc<Verified>>,
    view: &View,
    now: Timestamp,
) -> Result<Known, NotKnown> {
    let mut values = headers.get_all(&view.session).iter();
    let Some(value) = values.next() else {
        if view.bundle.session_required {
            return Err(Reason::MissingSession.into());
        }
        return Ok(Known::new(caller, None, token));
    };
    if values.next().is_some() {
        return Err(Reason::DuplicateToken.into());
    }
    let (holder, hash) = session(bare(value, has_scheme(&view.session))?, view, now)?;
    Ok(Known::new(join_session(caller, holder)?, Some(hash), token))
}

/// What a signed token says, if it is of a trusted issuer, for this server, and valid.
async fn verified(
    memory: &Memory,
    token: &str,
    view: &View,
    now: Timestamp,
) -> Result<Arc<Verified>, NotKnown> {
    let hash = Sha256::digest(token.as_bytes()).into();
    let sequence = view.bundle.sequence;
    if let Some(known) = memory.cache.get(&hash, sequence, now) {
        return Ok(known);
    }
    let token = Unverified::read(token)?;
    let issuer = match &view.trust.oauth {
        Some(resource) => Some(resource.issuer(token.issuer()?)?),
        None => None,
    };
    let keeper = memory
        .issuers
        .keeper(issuer.map_or(&issuers::Source::Cluster, |(_, source)| source));
    let (claims, keys) = keeper.claims(&token).await?;
    let verified = Arc::new(match issuer {
        Some((entry, _)) => Verified {
            until: claims.check(&entry.audiences, now)?,
            identity: oauth::identity(claims, entry)?,
            scopes: oauth::scopes(claims, entry),
        },
        None => Verified {
            until: claims.check(&[&view.trust.audience], now)?,
            identity: kubernetes::identity(claims)?,
            scopes: Vec::new(),
        },
    });
    let by = (Arc::clone(&keeper), keys);
    memory.cache.put(hash, sequence, now, &verified, by);
    Ok(verified)
}

/// The answer to a caller that is not known.
pub fn refusal(error: &NotKnown, view: &View) -> Answer {
    let bundle = &view.bundle;
    let (mut message, hint) =
        access::hint::of_identity(error.reason, bundle.auth, &bundle.namespace, &bundle.server);
    let status = match error.reason {
        Reason::DuplicateToken | Reason::DuplicateIdentity => StatusCode::BAD_REQUEST,
        Reason::IssuerUnavailable => return Answer::unavailable(error.reason, message),
        Reason::InsufficientScope => {
            return view.trust.oauth.as_ref().map_or_else(
                || Answer::unavailable(error.reason, message),
                |resource| insufficient(resource, &resource.required),
            );
        }
        _ => StatusCode::UNAUTHORIZED,
    };
    if let Some(NotTaken::Token(fault)) = error.fault {
        tracing::debug!(%fault, "a token is not taken");
        message = fault.to_string();
    }
    let challenge = view.trust.oauth.as_ref().map(|resource| {
        let metadata = &resource.metadata;
        match error.reason {
            Reason::MissingBearerToken => metadata.missing.clone(),
            _ => metadata.invalid.clone(),
        }
    });
    Answer {
        hint,
        challenge: challenge.map(Box::new),
        ..Answer::new(status, code::UNAUTHENTICATED, error.reason, message)
    }
}

/// The answer to a caller whose token lacks scopes that one of these items needs.
pub fn lacking_scopes(known: &Known, items: &[Item<'_>], view: &View) -> Option<Answer> {
    let (resource, token) = (view.trust.oauth.as_ref()?, known.token.as_ref()?);
    let tools = items.iter().filter_map(|item| match item {
        Item::Tool(name) => view.bundle.tool(name),
        Item::Prompt(_) | Item::Resource(_) | Item::ResourceTemplate(_) => None,
    });
    let needed = resource.lacking(&token.scopes, tools.flat_map(|tool| &tool.scopes))?;
    Some(insufficient(resource, &needed))
}

/// 403: the client should come again with a token that has all of these scopes.
fn insufficient(resource: &oauth::Resource, needed: &[String]) -> Answer {
    let mut answer = Answer {
        challenge: Some(Box::new(resource.metadata.insufficient(needed))),
        ..Answer::new(
            StatusCode::FORBIDDEN,
            code::DENIED,
            Reason::InsufficientScope,
            format!("the token must have the scopes: {}", needed.join(" ")),
        )
    };
    answer
        .data
        .insert("scopes".to_owned(), serde_json::json!(needed));
    answer
}

/// Whether the request claims to have come through the API server's service proxy: its token is in the header that
/// passes it. Only [`identify`] says whether the token is valid; until then the claim is worth nothing. With auth mode
/// header no token says who calls, so such a request is one like any other.
pub fn came_by_proxy(headers: &HeaderMap, view: &View) -> bool {
    match view.bundle.auth {
        AuthMode::Session | AuthMode::OAuth | AuthMode::Kubernetes | AuthMode::None => {
            headers.contains_key(SESSION_TOKEN_HEADER)
        }
        AuthMode::Header => false,
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
    let account = caller.identity.service_account.as_ref().map(account_user);
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
