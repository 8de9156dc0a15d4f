//! The server's answer on its way to the caller: headers, sealed session id, filtered lists. And what browsers are told.
//! A list is filtered whatever the status says.

use std::sync::Arc;

use access::Reason;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use jiff::Timestamp;

use crate::answer::Answer;
use crate::body::{EventFilter, LARGEST, LARGEST_RESULT, ReplyBody};
use crate::exchange::{Step, refuse};
use crate::filter::{self, Ask, Filtered};
use crate::headers;
use crate::identity::Known;
use crate::news::{News, Wanted};
use crate::pipeline::Gateway;
use crate::protocol::Era;
use crate::upstream::{self, UpstreamBody};
use crate::viewer::Viewer;

pub(crate) fn no_answer(error: &upstream::Error) -> Answer {
    if matches!(error, upstream::Error::Busy) {
        return Answer::unavailable(Reason::ServerBusy, format!("{error}: try again later"));
    }
    let status = match error {
        upstream::Error::Connect(_) | upstream::Error::Busy | upstream::Error::Start(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        upstream::Error::Broken(_)
        | upstream::Error::Request(_)
        | upstream::Error::Status(_)
        | upstream::Error::Transport(_) => StatusCode::BAD_GATEWAY,
        upstream::Error::Timeout => StatusCode::GATEWAY_TIMEOUT,
    };
    tracing::warn!(%error, "no answer from the server");
    let message = match error {
        upstream::Error::Connect(_) => "the server behind the gateway cannot be reached",
        upstream::Error::Busy | upstream::Error::Start(_) => {
            "a process of the server behind the gateway cannot be started"
        }
        upstream::Error::Broken(_) | upstream::Error::Request(_) => {
            "the server behind the gateway ended the connection"
        }
        upstream::Error::Timeout => "the server behind the gateway did not answer in time",
        upstream::Error::Status(_) | upstream::Error::Transport(_) => {
            "the server behind the gateway did not begin a conversation"
        }
    };
    Answer {
        status,
        ..Answer::upstream(Reason::UpstreamUnavailable, message)
    }
}

/// What an answer answers.
pub(crate) struct Asked {
    /// What to look for in it.
    pub(crate) ask: Ask,
    /// Source text of the id of the request; none of a standalone stream.
    pub(crate) id: Option<String>,
    /// Of which changes of lists the caller wants to hear on it.
    pub(crate) wanted: Option<Wanted>,
}

/// The server's answer as the caller may see it.
pub(crate) async fn reply(
    gateway: &Arc<Gateway>,
    response: Response<UpstreamBody>,
    known: Known,
    asked: Asked,
) -> Step<Response<ReplyBody>> {
    let (parts, incoming) = response.into_parts();
    let invalid = |message: &str| refuse(Answer::upstream(Reason::UpstreamInvalid, message));
    if parts.status.is_redirection() {
        return invalid("the server behind the gateway answered with a redirect");
    }
    if parts.status == StatusCode::UNAUTHORIZED {
        return invalid("the server behind the gateway does not accept the gateway");
    }
    let mut headers = headers::to_caller(&parts.headers);
    if asked.ask.era == Era::Legacy
        && let Ok(Some(session)) = headers::single(&parts.headers, &headers::SESSION_ID)
    {
        match gateway
            .sealer
            .seal(session, &known.principal)
            .map(|id| HeaderValue::from_str(&id))
        {
            Ok(Ok(sealed)) => {
                gateway.sessions.began(session, &known.principal);
                headers.insert(headers::SESSION_ID, sealed);
            }
            Ok(Err(_)) | Err(_) => {
                return invalid(
                    "the server behind the gateway gave a session id that cannot be used",
                );
            }
        }
    }
    let stream = headers::is_event_stream(&parts.headers);
    let body = match (stream, asked.ask.wants_json()) {
        (true, _) => events(gateway, incoming, &known, asked),
        (false, true) if parts.status.is_success() => {
            looked_at(gateway, &parts.headers, incoming, &known, &asked.ask).await?
        }
        (false, true) if asked.ask.list.is_some() => {
            let error = error_json(&parts.headers, incoming).await;
            if error.is_none() {
                headers.remove(header::CONTENT_TYPE);
                headers.remove(header::CONTENT_ENCODING);
            }
            ReplyBody::full(error.unwrap_or_default())
        }
        (false, _) => ReplyBody::relay(incoming),
    };
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// A stream of events. Each is looked at: it may be a notification that is not for this caller.
fn events(
    gateway: &Arc<Gateway>,
    incoming: UpstreamBody,
    known: &Known,
    asked: Asked,
) -> ReplyBody {
    let Asked { ask, id, wanted } = asked;
    let news = wanted.map(|wanted| {
        let subscription = id.as_deref();
        News::new(
            gateway,
            &known.caller,
            &known.principal,
            wanted,
            subscription,
        )
    });
    let filter = EventFilter {
        gateway: Arc::clone(gateway),
        caller: known.caller.clone(),
        principal: known.principal.clone(),
        ask,
        id,
    };
    ReplyBody::events(incoming, filter, news)
}

/// The body of an answer with an error status to a request for a list, if it is a JSON-RPC error. Of anything else
/// only the status is passed, which a client needs, a lost session above all: some clients would read a list in it.
async fn error_json(headers: &HeaderMap, incoming: UpstreamBody) -> Option<Bytes> {
    let json = headers::media_type(headers).as_deref() == Some("application/json")
        && !headers.contains_key(header::CONTENT_ENCODING);
    if json
        && let Ok(collected) = Limited::new(incoming, LARGEST).collect().await
        && let bytes = collected.to_bytes()
        && filter::is_error(&bytes)
    {
        return Some(bytes);
    }
    tracing::debug!("the body of the server's error is left out: it is no JSON-RPC error");
    None
}

/// An answer that comes as one JSON document, of which something must be known.
async fn looked_at(
    gateway: &Gateway,
    headers: &HeaderMap,
    incoming: UpstreamBody,
    known: &Known,
    ask: &Ask,
) -> Step<ReplyBody> {
    let invalid = |message: String| refuse(Answer::upstream(Reason::UpstreamInvalid, message));
    if headers::media_type(headers).as_deref() != Some("application/json")
        || headers.contains_key(header::CONTENT_ENCODING)
    {
        if !ask.is_strict() {
            return Ok(ReplyBody::relay(incoming));
        }
        return invalid(
            "the server's answer must be JSON or a stream of events, and not compressed".to_owned(),
        );
    }
    let limit = if ask.is_strict() {
        LARGEST
    } else {
        LARGEST_RESULT
    };
    let Ok(collected) = Limited::new(incoming, limit).collect().await else {
        return invalid(format!(
            "the server's answer ended early, or is larger than {limit} bytes"
        ));
    };
    let bytes = collected.to_bytes();
    let Some(view) = gateway.store.view() else {
        return refuse(Answer::unavailable(
            Reason::PolicyUnavailable,
            "the gateway has no access bundle",
        ));
    };
    let viewer = Viewer::new(
        &view.bundle,
        view.judge(&known.caller, Timestamp::now()),
        &known.principal,
        &gateway.discovery,
        &gateway.tasks,
    );
    match filter::message(&bytes, ask, &viewer) {
        Ok(Filtered::Same) => Ok(ReplyBody::full(bytes)),
        Ok(Filtered::Changed(changed)) => Ok(ReplyBody::full(changed)),
        Ok(Filtered::Dropped | Filtered::Stray) => {
            invalid("the server did not answer the request".to_owned())
        }
        // A result that nothing is taken out of passes as the server wrote it.
        Err(_) if !ask.is_strict() => Ok(ReplyBody::full(bytes)),
        Err(error) => invalid(error.to_string()),
    }
}

pub(crate) fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate"),
    );
}

/// A document that everybody may read.
pub(crate) fn public_json(document: Bytes) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::full(document));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=60"),
    );
    response
}

/// The answer to a browser that asks whether it may call.
pub(crate) fn preflight() -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::full(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST, GET, DELETE"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Authorization, Content-Type, Accept, Last-Event-ID, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, \
             Mcp-Name, X-MCP-Session-Token, traceparent, tracestate",
        ),
    );
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    response
}
