//! One request from its arrival to its answer, in the order that must not change:
//!
//! `Host` - `Origin` - path - identity - size and type - strict JSON - era - headers against body - access - forward
//! - filter - audit. A step that refuses ends the exchange; every outcome makes an audit line.

use std::sync::Arc;
use std::time::Duration;

use access::{Judge, Reason};
use api::AuditSink;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method as Verb, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use jiff::Timestamp;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::answer::Answer;
use crate::audit::Audit;
use crate::body::{Finish, ReplyBody};
use crate::exchange::{Exchange, Step, refuse};
use crate::headers;
use crate::identity::{self, Known};
use crate::message::{self, Kind, Message};
use crate::metrics::Metrics;
use crate::policy::{Store, View};
use crate::protocol::{Era, LEGACY, MODERN, Method, code};
use crate::reply::{allow_origin, no_answer, preflight, reply};
use crate::seal::Sealer;
use crate::upstream::Upstream;

/// How long a caller may take to send its body.
const BODY: Duration = Duration::from_secs(30);

/// Everything that a request needs. One for the process.
#[derive(Debug)]
pub struct Gateway {
    /// The access bundle.
    pub store: Arc<Store>,
    /// The server.
    pub upstream: Upstream,
    /// Session ids.
    pub sealer: Sealer,
    /// Audit lines.
    pub audit: Audit,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// The largest body that is taken, in bytes.
    pub largest_body: usize,
    /// Room for the bodies that are under way, in KiB.
    pub bodies: Semaphore,
    /// Namespace and name of the server, for audit lines.
    pub namespace: Arc<str>,
    /// See `namespace`.
    pub server: Arc<str>,
}

/// Answers one request. Never fails: whatever goes wrong is an answer.
pub async fn handle(gateway: Arc<Gateway>, request: Request<Incoming>) -> Response<ReplyBody> {
    gateway.metrics.begun();
    let mut exchange = Exchange::new(&gateway, &request);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let result = Box::pin(run(&gateway, request, &mut exchange)).await;
    let mut response = match result {
        Ok(response) => response,
        Err(refusal) => exchange.refused(*refusal),
    };
    if let (Some(origin), Some(view)) = (origin, &exchange.view)
        && origin
            .to_str()
            .is_ok_and(|origin| view.is_allowed_origin(origin))
    {
        allow_origin(response.headers_mut(), origin);
    }
    exchange.record.status = response.status().as_u16();
    let sink = exchange
        .view
        .as_ref()
        .map_or(AuditSink::Stdout, |view| view.bundle.audit);
    let audit = (sink != AuditSink::Off).then(|| gateway.audit.clone());
    let finish = Finish {
        record: exchange.record,
        audit,
        metrics: Arc::clone(&gateway.metrics),
        decision: exchange.decision,
        began: exchange.began,
    };
    response.map(|body| body.finishing(finish))
}

async fn run(
    gateway: &Arc<Gateway>,
    request: Request<Incoming>,
    exchange: &mut Exchange,
) -> Step<Response<ReplyBody>> {
    let Some(view) = gateway.store.view() else {
        return refuse(Answer::unavailable(
            Reason::PolicyUnavailable,
            "the gateway has no access bundle yet",
        ));
    };
    exchange.record.policy = Some(view.bundle.sequence);
    exchange.view = Some(Arc::clone(&view));
    check_host(&request, &view)?;
    check_origin(request.headers(), &view)?;
    if !view.is_endpoint(request.uri().path()) {
        let answer = Answer {
            status: StatusCode::NOT_FOUND,
            ..Answer::bad_request("the MCP endpoint is not at this path")
        };
        return refuse(answer);
    }
    if request.method() == Verb::OPTIONS && request.headers().contains_key(header::ORIGIN) {
        exchange.allowed(Reason::MethodAllowed);
        return Ok(preflight());
    }
    let known =
        identity::identify(request.headers(), &view, Timestamp::now()).or_else(|reason| {
            refuse(match reason {
                Reason::AuthModeUnavailable => Answer::unavailable(
                    reason,
                    format!(
                        "this gateway does not serve auth mode {} yet",
                        view.bundle.auth
                    ),
                ),
                _ => Answer::unauthenticated(reason, &view.bundle.namespace, &view.bundle.server),
            })
        })?;
    exchange.known(&known);
    match *request.method() {
        Verb::POST => Box::pin(post(gateway, request, exchange, &view, known)).await,
        Verb::GET | Verb::DELETE => {
            Box::pin(without_body(gateway, request, exchange, &view, known)).await
        }
        _ => refuse(not_allowed("POST, GET and DELETE are")),
    }
}

fn check_host(request: &Request<Incoming>, view: &View) -> Step<()> {
    // The API server's proxy sends its own Host, and no browser sends this header to another origin by itself.
    if identity::came_by_proxy(request.headers()) {
        return Ok(());
    }
    let host = headers::single(request.headers(), &header::HOST)
        .ok()
        .flatten();
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let own = host.is_some_and(|host| view.is_own_host(host))
        && authority.is_none_or(|a| view.is_own_host(a));
    if own {
        return Ok(());
    }
    let shown = access::hint::shown(host.unwrap_or_default());
    refuse(Answer::new(
        StatusCode::FORBIDDEN,
        code::BAD_REQUEST,
        Reason::HostNotAllowed,
        format!("the Host {shown} is not one of this server: add it to spec.gateway.allowedHosts"),
    ))
}

fn check_origin(headers: &HeaderMap, view: &View) -> Step<()> {
    if !headers.contains_key(header::ORIGIN) {
        return Ok(());
    }
    let origin = headers::single(headers, &header::ORIGIN).ok().flatten();
    if origin.is_some_and(|origin| view.is_allowed_origin(origin)) {
        return Ok(());
    }
    let shown = access::hint::shown(origin.unwrap_or_default());
    refuse(Answer::new(
        StatusCode::FORBIDDEN,
        code::BAD_REQUEST,
        Reason::OriginNotAllowed,
        format!("the Origin {shown} may not call: add it to spec.gateway.allowedOrigins"),
    ))
}

fn not_allowed(what: &str) -> Answer {
    Answer {
        status: StatusCode::METHOD_NOT_ALLOWED,
        ..Answer::bad_request(format!("only {what} allowed here"))
    }
}

/// A message.
async fn post(
    gateway: &Arc<Gateway>,
    request: Request<Incoming>,
    exchange: &mut Exchange,
    view: &Arc<View>,
    known: Known,
) -> Step<Response<ReplyBody>> {
    let (parts, incoming) = request.into_parts();
    check_type(&parts.headers)?;
    let (body, _room) = collect(incoming, gateway).await?;
    exchange.record.bytes_in = body.len() as u64;
    let message = Message::read(&body).or_else(|error| refuse(no_message(&error)))?;
    exchange.message(&message, &body);
    let id = message.id.clone();
    let step = Box::pin(judged(
        gateway,
        &parts.headers,
        body,
        message,
        exchange,
        view,
        known,
    ))
    .await;
    step.map_err(|mut refusal| {
        refusal.id = id;
        refusal
    })
}

fn check_type(headers: &HeaderMap) -> Step<()> {
    let unsupported = |message| {
        refuse(Answer {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ..Answer::bad_request(message)
        })
    };
    if headers::media_type(headers).as_deref() != Some("application/json") {
        return unsupported("Content-Type must be application/json");
    }
    match headers::single(headers, &header::CONTENT_ENCODING) {
        Ok(None | Some("identity")) => Ok(()),
        Ok(Some(_)) | Err(headers::NotOne) => unsupported("the body must not be compressed"),
    }
}

/// The whole body, if it is small enough and comes soon enough; and its room, to be held until it is forwarded.
async fn collect(incoming: Incoming, gateway: &Gateway) -> Step<(Bytes, SemaphorePermit<'_>)> {
    let most = gateway.largest_body;
    let too_large = || {
        let message = format!("the body must not be larger than {most} bytes");
        refuse(Answer {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Answer::bad_request(message)
        })
    };
    let size = incoming.size_hint();
    if size.lower() > most as u64 {
        discard(incoming, 4 * most).await;
        return too_large();
    }
    let expected = size
        .exact()
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(most);
    let Ok(mut room) = gateway.bodies.try_acquire_many(kib(expected)) else {
        return refuse(Answer::unavailable(
            Reason::ServerBusy,
            "too many messages are under way: try again",
        ));
    };
    match tokio::time::timeout(BODY, Limited::new(incoming, most).collect()).await {
        Ok(Ok(collected)) => {
            let body = collected.to_bytes();
            // Room that was kept for a body of unknown size goes back.
            drop(room.split((kib(expected) - kib(body.len())) as usize));
            Ok((body, room))
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => too_large(),
        Ok(Err(_)) => refuse(Answer::bad_request("the body ended early")),
        Err(_) => refuse(Answer {
            status: StatusCode::REQUEST_TIMEOUT,
            ..Answer::bad_request(format!("the body must come within {} s", BODY.as_secs()))
        }),
    }
}

/// Reads a body that is not wanted, up to a bound: a caller who is still sending when the connection closes would not
/// see the answer.
async fn discard(mut incoming: Incoming, most: usize) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = incoming.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > most {
                return;
            }
        }
    };
    if tokio::time::timeout(BODY, reading).await.is_err() {
        tracing::debug!("a body that was too large did not end in time");
    }
}

/// KiB begun, at least one.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

fn no_message(error: &message::Error) -> Answer {
    let code = if matches!(error, message::Error::Json(_)) {
        code::PARSE_ERROR
    } else {
        code::INVALID_REQUEST
    };
    Answer::new(
        StatusCode::BAD_REQUEST,
        code,
        Reason::RpcInspectionFailed,
        error.to_string(),
    )
}

fn no_agreement(error: &headers::Error) -> Answer {
    let (code, reason) = match error {
        headers::Error::Missing { .. }
        | headers::Error::Unreadable { .. }
        | headers::Error::Disagree { .. } => (code::HEADER_MISMATCH, Reason::HeaderMismatch),
        headers::Error::Envelope(_) => (code::INVALID_PARAMS, Reason::BadRequest),
        headers::Error::Version(_) => (code::UNSUPPORTED_VERSION, Reason::UnsupportedVersion),
    };
    let mut answer = Answer::new(StatusCode::BAD_REQUEST, code, reason, error.to_string());
    if let headers::Error::Version(requested) = error {
        let supported: Vec<&str> = MODERN.iter().chain(&LEGACY).copied().collect();
        answer
            .data
            .insert("supported".to_owned(), serde_json::json!(supported));
        answer
            .data
            .insert("requested".to_owned(), serde_json::json!(requested));
    }
    answer
}

/// A message that could be read: era, access, and on to the server.
async fn judged(
    gateway: &Arc<Gateway>,
    caller_headers: &HeaderMap,
    body: Bytes,
    message: Message,
    exchange: &mut Exchange,
    view: &Arc<View>,
    known: Known,
) -> Step<Response<ReplyBody>> {
    let era =
        headers::era(caller_headers, &message).or_else(|error| refuse(no_agreement(&error)))?;
    exchange.record.era = Some(era.as_str());
    let list = if message.kind == Kind::Response {
        if era == Era::Modern {
            return refuse(no_message(&message::Error::Shape));
        }
        exchange.allowed(Reason::MethodAllowed);
        None
    } else {
        let Some(method) = Method::find(&message.method, era) else {
            return unknown_method(era, &message);
        };
        check_access(gateway, exchange, view, &known, &message, method, era)?;
        method.list
    };
    let mut headers = headers::to_server(caller_headers, era, &view.secret);
    if era == Era::Legacy {
        open_session(gateway, caller_headers, &known, &mut headers)?;
    }
    identity::told_to_server(&known.caller, view, &mut headers);
    let response = gateway
        .upstream
        .send(Verb::POST, headers, body)
        .await
        .or_else(|error| refuse(no_answer(&error)))?;
    reply(gateway, response, known, era, list, message.id).await
}

/// A method that nobody could say anything about does not pass. A notification wants no answer.
fn unknown_method(era: Era, message: &Message) -> Step<Response<ReplyBody>> {
    let mut answer = Answer::unknown_method(era, &message.method);
    if message.kind == Kind::Notification {
        answer.status = StatusCode::ACCEPTED;
    }
    refuse(answer)
}

/// Asks about everything that the message names; all of it must be allowed.
fn check_access(
    gateway: &Gateway,
    exchange: &mut Exchange,
    view: &View,
    known: &Known,
    message: &Message,
    method: &Method,
    era: Era,
) -> Step<()> {
    if gateway.store.is_stale(view) {
        return refuse(Answer {
            status: StatusCode::OK,
            code: code::DENIED,
            ..Answer::unavailable(
                Reason::PolicyStale,
                "the gateway could not confirm its access bundle for too long: see the operator and the API server",
            )
        });
    }
    let items = message.items(method).or_else(|error| {
        let status = if era == Era::Modern {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::OK
        };
        refuse(Answer::new(
            status,
            code::INVALID_PARAMS,
            Reason::BadRequest,
            error.to_string(),
        ))
    })?;
    exchange.allowed(Reason::MethodAllowed);
    if items.is_empty() {
        return Ok(());
    }
    let judge = Judge::new(&view.bundle, &known.caller, Timestamp::now());
    for item in &items {
        let verdict = judge.decide(item);
        exchange.verdict(item, &verdict);
        if !verdict.allowed {
            return refuse(Answer::denied(&verdict));
        }
    }
    Ok(())
}

/// Puts the server's own session id in place of the sealed one.
fn open_session(
    gateway: &Gateway,
    from: &HeaderMap,
    known: &Known,
    to: &mut HeaderMap,
) -> Step<bool> {
    let Ok(sealed) = headers::single(from, &headers::SESSION_ID) else {
        return refuse(Answer::bad_request(
            "the header Mcp-Session-Id must stand once",
        ));
    };
    let Some(sealed) = sealed else {
        return Ok(false);
    };
    let opened = gateway
        .sealer
        .open(sealed, &known.principal)
        .ok()
        .and_then(|id| HeaderValue::from_str(&id).ok());
    match opened {
        Some(id) => {
            to.insert(headers::SESSION_ID, id);
            Ok(true)
        }
        None => refuse(Answer::unknown_session()),
    }
}

/// The standalone stream of a legacy session, or its end.
async fn without_body(
    gateway: &Arc<Gateway>,
    request: Request<Incoming>,
    exchange: &mut Exchange,
    view: &Arc<View>,
    known: Known,
) -> Step<Response<ReplyBody>> {
    let era =
        headers::era_of_headers(request.headers()).or_else(|error| refuse(no_agreement(&error)))?;
    exchange.record.era = Some(era.as_str());
    if era == Era::Modern {
        return refuse(not_allowed("POST is"));
    }
    let mut headers = headers::to_server(request.headers(), era, &view.secret);
    // A session binds the stream to its principal; without one there is nothing to bind it to.
    if !open_session(gateway, request.headers(), &known, &mut headers)? {
        return refuse(not_allowed("a request with Mcp-Session-Id is"));
    }
    exchange.allowed(Reason::MethodAllowed);
    identity::told_to_server(&known.caller, view, &mut headers);
    let verb = request.method().clone();
    let response = gateway
        .upstream
        .send(verb, headers, Bytes::new())
        .await
        .or_else(|e| refuse(no_answer(&e)))?;
    reply(gateway, response, known, era, None, None).await
}
