//! One request from its arrival to its answer, in the order that must not change:
//!
//! `Host` - `Origin` - path - identity - size and type - strict JSON - era - headers against body - access - forward
//! - filter - audit. A step that refuses ends the exchange; every outcome makes an audit line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{Judge, Reason, authenticate};
use api::AuditSink;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method as Verb, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::answer::Answer;
use crate::audit::{Audit, Record};
use crate::body::{EventFilter, Finish, LARGEST, ReplyBody, Watchdog};
use crate::filter::{self, Filtered};
use crate::headers;
use crate::identity::{self, Known};
use crate::message::{self, Kind, Message};
use crate::metrics::{Decision, Metrics};
use crate::policy::{Store, View};
use crate::protocol::{Era, LEGACY, List, MODERN, Method, code};
use crate::seal::Sealer;
use crate::upstream::{self, Upstream};

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
    /// Namespace and name of the server, for audit lines.
    pub namespace: Arc<str>,
    /// See `namespace`.
    pub server: Arc<str>,
}

/// The answer of a step that refuses, with the id that it answers.
struct Refusal {
    answer: Answer,
    id: Option<String>,
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Self {
        Self { answer, id: None }
    }
}

/// Boxed, because an answer is large and refusals are rare.
type Step<T> = Result<T, Box<Refusal>>;

fn refuse<T>(answer: Answer) -> Step<T> {
    Err(Box::new(answer.into()))
}

/// What an exchange knows so far, for the audit line.
struct Exchange {
    record: Record,
    decision: Decision,
    view: Option<Arc<View>>,
    began: Instant,
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
    let body = collect(incoming, gateway.largest_body).await?;
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

/// The whole body, if it is small enough and comes soon enough.
async fn collect(incoming: Incoming, most: usize) -> Step<Bytes> {
    let too_large = || {
        let message = format!("the body must not be larger than {most} bytes");
        refuse(Answer {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Answer::bad_request(message)
        })
    };
    if incoming.size_hint().lower() > most as u64 {
        return too_large();
    }
    match tokio::time::timeout(BODY, Limited::new(incoming, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => too_large(),
        Ok(Err(_)) => refuse(Answer::bad_request("the body ended early")),
        Err(_) => refuse(Answer {
            status: StatusCode::REQUEST_TIMEOUT,
            ..Answer::bad_request(format!("the body must come within {} s", BODY.as_secs()))
        }),
    }
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

fn no_answer(error: &upstream::Error) -> Answer {
    let status = match error {
        upstream::Error::Connect(_) => StatusCode::SERVICE_UNAVAILABLE,
        upstream::Error::Broken(_) | upstream::Error::Request(_) => StatusCode::BAD_GATEWAY,
        upstream::Error::Timeout => StatusCode::GATEWAY_TIMEOUT,
    };
    tracing::warn!(%error, "no answer from the server");
    let message = match error {
        upstream::Error::Connect(_) => "the server behind the gateway cannot be reached",
        upstream::Error::Broken(_) | upstream::Error::Request(_) => {
            "the server behind the gateway ended the connection"
        }
        upstream::Error::Timeout => "the server behind the gateway did not answer in time",
    };
    Answer {
        status,
        ..Answer::upstream(Reason::UpstreamUnavailable, message)
    }
}

/// The server's answer as the caller may see it. `list` is what must be filtered in it.
async fn reply(
    gateway: &Arc<Gateway>,
    response: Response<Incoming>,
    known: Known,
    era: Era,
    list: Option<List>,
    id: Option<String>,
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
    if era == Era::Legacy
        && let Ok(Some(session)) = headers::single(&parts.headers, &headers::SESSION_ID)
    {
        match gateway
            .sealer
            .seal(session, &known.principal)
            .map(|id| HeaderValue::from_str(&id))
        {
            Ok(Ok(sealed)) => drop(headers.insert(headers::SESSION_ID, sealed)),
            Ok(Err(_)) | Err(_) => {
                return invalid(
                    "the server behind the gateway gave a session id that cannot be used",
                );
            }
        }
    }
    let stream = headers::is_event_stream(&parts.headers);
    // A standalone stream answers no request, but after a reconnect it may repeat a list.
    let filtered = list.is_some() || (id.is_none() && stream);
    let body = match (filtered && parts.status.is_success(), stream) {
        (true, true) => {
            let (store, caller) = (Arc::clone(&gateway.store), known.caller.clone());
            ReplyBody::events(
                incoming,
                EventFilter {
                    store,
                    caller,
                    expected: list,
                    id,
                },
            )
        }
        (true, false) => filtered_json(gateway, &parts.headers, incoming, &known, list).await?,
        (false, _) => ReplyBody::relay(incoming),
    };
    let body = match known.hash {
        Some(hash) if stream => body.watched(session_end(Arc::clone(&gateway.store), hash)),
        Some(_) | None => body,
    };
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// A list that comes as one JSON document.
async fn filtered_json(
    gateway: &Gateway,
    headers: &HeaderMap,
    incoming: Incoming,
    known: &Known,
    list: Option<List>,
) -> Step<ReplyBody> {
    let invalid = |message: String| refuse(Answer::upstream(Reason::UpstreamInvalid, message));
    if headers::media_type(headers).as_deref() != Some("application/json")
        || headers.contains_key(header::CONTENT_ENCODING)
    {
        return invalid(
            "the server's answer must be JSON or a stream of events, and not compressed".to_owned(),
        );
    }
    let Ok(collected) = Limited::new(incoming, LARGEST).collect().await else {
        return invalid(format!(
            "the server's answer ended early, or is larger than {LARGEST} bytes"
        ));
    };
    let bytes = collected.to_bytes();
    let Some(view) = gateway.store.view() else {
        return refuse(Answer::unavailable(
            Reason::PolicyUnavailable,
            "the gateway has no access bundle",
        ));
    };
    let judge = Judge::new(&view.bundle, &known.caller, Timestamp::now());
    match filter::message(&bytes, list, &judge) {
        Ok(Filtered::Same) => Ok(ReplyBody::full(bytes)),
        Ok(Filtered::Changed(changed)) => Ok(ReplyBody::full(changed)),
        Err(error) => invalid(error.to_string()),
    }
}

/// Resolves when the session behind `hash` is revoked, over or gone.
fn session_end(store: Arc<Store>, hash: String) -> Watchdog {
    Box::pin(async move {
        let mut news = store.changes();
        loop {
            let now = Timestamp::now();
            let caller = store
                .view()
                .and_then(|view| authenticate(&view.bundle, &hash, now).ok());
            let Some(session) = caller.and_then(|caller| caller.session) else {
                return;
            };
            let left =
                Duration::try_from(session.expires_at.duration_since(now)).unwrap_or_default();
            tokio::select! {
                told = news.changed() => if told.is_err() { return },
                () = tokio::time::sleep(left.min(Duration::from_secs(3600))) => {}
            }
        }
    })
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate"),
    );
}

/// The answer to a browser that asks whether it may call.
fn preflight() -> Response<ReplyBody> {
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

impl Exchange {
    fn new(gateway: &Gateway, request: &Request<Incoming>) -> Self {
        let verb = match *request.method() {
            Verb::POST => "POST",
            Verb::GET => "GET",
            Verb::DELETE => "DELETE",
            Verb::OPTIONS => "OPTIONS",
            _ => "other",
        };
        let record = Record {
            time: Timestamp::now(),
            kind: "audit",
            namespace: Arc::clone(&gateway.namespace),
            server: Arc::clone(&gateway.server),
            principal: None,
            agent: None,
            http_method: verb,
            method: None,
            name: None,
            decision: Decision::Deny.as_str(),
            reason: Reason::BadRequest,
            grant: None,
            session: None,
            trust: None,
            status: 0,
            latency_ms: 0.0,
            bytes_in: 0,
            bytes: 0,
            era: None,
            trace_id: trace_id(request.headers()),
            arguments_sha256: None,
            policy: None,
        };
        Self {
            record,
            decision: Decision::Deny,
            view: None,
            began: Instant::now(),
        }
    }

    fn known(&mut self, known: &Known) {
        self.record.principal = Some(known.caller.identity.to_string());
        self.record.agent.clone_from(&known.caller.identity.agent);
        self.record.session = known
            .caller
            .session
            .as_ref()
            .map(|session| session.name.clone());
    }

    fn message(&mut self, message: &Message, body: &[u8]) {
        // A method can be as long as the body; the line need not.
        let method = if message.kind == Kind::Response {
            "response"
        } else {
            &message.method
        };
        self.record.method = Some(method.chars().take(256).collect());
        self.record.name = message.name.clone().or_else(|| message.uri.clone());
        self.record.arguments_sha256 = message
            .arguments
            .clone()
            .map(|range| format!("{:x}", Sha256::digest(&body[range])));
    }

    fn decide(&mut self, decision: Decision, reason: Reason) {
        self.decision = decision;
        self.record.decision = decision.as_str();
        self.record.reason = reason;
    }

    fn allowed(&mut self, reason: Reason) {
        self.decide(Decision::Allow, reason);
    }

    fn verdict(&mut self, item: &access::Item<'_>, verdict: &access::Verdict) {
        let decision = match (verdict.allowed, verdict.would_deny) {
            (false, _) => Decision::Deny,
            (true, true) => Decision::WouldDeny,
            (true, false) => Decision::Allow,
        };
        self.decide(decision, verdict.reason);
        self.record.name = Some(item.name().to_owned());
        self.record.grant.clone_from(&verdict.grant);
        self.record.trust = verdict.trust;
    }

    fn refused(&mut self, refusal: Refusal) -> Response<ReplyBody> {
        let answer = refusal.answer;
        // What access allowed stays allowed in the audit line, even if the server then fails.
        let reason = answer.reason;
        if matches!(
            reason,
            Reason::UpstreamUnavailable | Reason::UpstreamInvalid
        ) {
            self.record.reason = reason;
        } else {
            self.decide(Decision::Deny, reason);
        }
        let body = if answer.status == StatusCode::ACCEPTED {
            Vec::new()
        } else {
            answer.body(refusal.id.as_deref())
        };
        let mut response = Response::new(ReplyBody::full(body));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if answer.status == StatusCode::UNAUTHORIZED {
            let value = if reason == Reason::MissingBearerToken {
                r#"Bearer realm="kubectl-mcp""#
            } else {
                r#"Bearer realm="kubectl-mcp", error="invalid_token""#
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        response
    }
}

/// The trace id of a `traceparent` header, if it is one.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let value = headers::single(headers, &HeaderName::from_static("traceparent")).ok()??;
    let id = value.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_ascii_lowercase())
}
