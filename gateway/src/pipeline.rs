//! One request from its arrival to its answer, in the order that must not change:
//!
//! `Host` - `Origin` - path - identity - size and type - strict JSON - era - headers against body - access - limits
//! - forward - filter - audit. A step that refuses ends the exchange; every outcome makes an audit line.
//!
//! One exception: a token that came through the API server's service proxy brings that proxy's `Host`. There, identity
//! is asked in the place of `Host`, before the path: who has neither gets no further.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use access::{Item, Judge, Reason};
use api::AuditSink;
use bytes::Bytes;
use daemon::Shutdown;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method as Verb, Request, Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;

use tokio::sync::Semaphore;

use crate::answer::Answer;
use crate::audit::Audit;
use crate::body::{Finish, ReplyBody};
use crate::bridge::Call;
use crate::discovery::Discovery;
use crate::ending::{self, Stream, Until};
use crate::exchange::{Exchange, Step, refuse};
use crate::filter::{Ask, Filtered};
use crate::headers;
use crate::identity::{self, Known};
use crate::intake::{self, RequestBody};
use crate::limits::timeout::{self, Cancel, Deadline};
use crate::limits::{self, Limits, slots};
use crate::message::{self, Kind, Message};
use crate::metrics::Metrics;
use crate::named;
use crate::news::Wanted;
use crate::peers::{self, Peers};
use crate::policy::{Store, View};
use crate::protocol::{Era, LEGACY, MODERN, Method, Names, code};
use crate::reply::{Asked, allow_origin, no_answer, preflight, public_json, reply};
use crate::seal::{Pod, Sealer};
use crate::sessions::{Sessions, Use};
use crate::tasks::Tasks;
use crate::trace::{self, Tracer};
use crate::upstream::Upstream;

/// Everything that a request needs. One for the process.
#[derive(Debug)]
pub struct Gateway {
    /// The access bundle.
    pub store: Arc<Store>,
    /// The server.
    pub upstream: Upstream,
    /// Session ids.
    pub sealer: Arc<Sealer>,
    /// The sessions behind them.
    pub sessions: Arc<Sessions>,
    /// The server's other gateways.
    pub peers: Peers,
    /// Whether the process ends.
    pub shutdown: Shutdown,
    /// Keys and tokens.
    pub memory: identity::Memory,
    /// Audit lines.
    pub audit: Arc<Audit>,
    /// Spans, if they go anywhere.
    pub tracer: Option<Arc<Tracer>>,
    /// Rate limits, and calls and streams at a time.
    pub limits: Limits,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// What the server has.
    pub discovery: Arc<Discovery>,
    /// Whose a task is.
    pub tasks: Arc<Tasks>,
    /// The largest body that is taken, in bytes.
    pub largest_body: usize,
    /// Room for the bodies that are under way, in KiB.
    pub bodies: Semaphore,
    /// Namespace and name of the server, for audit lines.
    pub namespace: Arc<str>,
    /// See `namespace`.
    pub server: Arc<str>,
}

/// Answers one request from `peer`. Never fails: whatever goes wrong is an answer.
pub async fn handle(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    peer: IpAddr,
) -> Response<ReplyBody> {
    let (request, proof) = if peers::is_for_us(&request) {
        Box::pin(peers::opened(&gateway, request)).await
    } else {
        (request.map(RequestBody::Network), None)
    };
    let mut response = answered(&gateway, request, peer).await;
    peers::prove(&mut response, proof);
    if gateway.shutdown.draining.is_cancelled() {
        // The caller's next connection leads to another pod.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

async fn answered(
    gateway: &Arc<Gateway>,
    request: Request<RequestBody>,
    peer: IpAddr,
) -> Response<ReplyBody> {
    gateway.metrics.begun();
    let mut exchange = Exchange::new(gateway, &request);
    let peer = exchange.from_peer.unwrap_or(peer);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let result = Box::pin(run(gateway, request, peer, &mut exchange)).await;
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
    // The gateway that answered it has written the audit line.
    let sink = if exchange.passed_on {
        AuditSink::Off
    } else {
        sink
    };
    if let Some(view) = &exchange.view {
        view.redaction.apply(&mut exchange.record);
    }
    let finish = Finish {
        record: exchange.record,
        audit: Arc::clone(&gateway.audit),
        sink,
        span: exchange.span,
        metrics: Arc::clone(&gateway.metrics),
        slot: exchange.slot,
        decision: exchange.decision,
        began: exchange.began,
    };
    response.map(|body| body.finishing(finish))
}

async fn run(
    gateway: &Arc<Gateway>,
    request: Request<RequestBody>,
    peer: IpAddr,
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
    let proxied = identity::came_by_proxy(request.headers(), &view);
    if !proxied {
        check_host(&request, &view)?;
    }
    check_origin(request.headers(), &view)?;
    if !proxied && let Some(response) = metadata(&request, &view)? {
        exchange.allowed(Reason::MethodAllowed);
        return Ok(response);
    }
    // A page behind a rebound name can send the proxy's header, but no valid token in it.
    let early = if proxied {
        Some(identified(gateway, request.headers(), peer, &view).await?)
    } else {
        None
    };
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
    let known = match early {
        Some(known) => known,
        None => identified(gateway, request.headers(), peer, &view).await?,
    };
    exchange.known(&known);
    match *request.method() {
        Verb::POST => Box::pin(post(gateway, request, peer, exchange, &view, known)).await,
        Verb::GET | Verb::DELETE => {
            Box::pin(without_body(gateway, request, peer, exchange, &view, known)).await
        }
        _ => refuse(not_allowed("POST, GET and DELETE are")),
    }
}

async fn identified(
    gateway: &Gateway,
    headers: &HeaderMap,
    peer: IpAddr,
    view: &View,
) -> Step<Known> {
    // The server itself runs in this pod, and may call by the pod's address as well as over loopback.
    let own = gateway.sealer.own().is_some_and(|own| own.ip() == peer);
    let peer = if own {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        peer
    };
    identity::identify(&gateway.memory, headers, peer, view, Timestamp::now())
        .await
        .or_else(|error| refuse(identity::refusal(&error, view)))
}

/// The metadata of an OAuth resource, which everybody may read (RFC 9728).
fn metadata(request: &Request<RequestBody>, view: &View) -> Step<Option<Response<ReplyBody>>> {
    let resource = view.trust.oauth.as_ref();
    let Some(document) = resource.and_then(|found| found.metadata.at(request.uri().path())) else {
        return Ok(None);
    };
    match *request.method() {
        Verb::GET | Verb::HEAD => Ok(Some(public_json(document))),
        Verb::OPTIONS => Ok(Some(preflight())),
        _ => refuse(not_allowed("GET is")),
    }
}

fn check_host(request: &Request<RequestBody>, view: &View) -> Step<()> {
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
    request: Request<RequestBody>,
    peer: IpAddr,
    exchange: &mut Exchange,
    view: &Arc<View>,
    known: Known,
) -> Step<Response<ReplyBody>> {
    let (parts, incoming) = request.into_parts();
    intake::check_type(&parts.headers)?;
    let (body, _room) = intake::collect(incoming, gateway, gateway.largest_body).await?;
    exchange.record.bytes_in = body.len() as u64;
    let message = Message::read(&body).or_else(|error| refuse(no_message(&error)))?;
    exchange.message(&message, &body);
    // The id of a response is the server's: the caller must not take a refusal for the answer to a request of its own.
    let id = message.id.clone().filter(|_| message.kind == Kind::Request);
    let step = Box::pin(judged(
        gateway,
        (&parts.headers, peer),
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

pub(crate) fn no_agreement(error: &headers::Error) -> Answer {
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
    (caller_headers, peer): (&HeaderMap, IpAddr),
    mut body: Bytes,
    message: Message,
    exchange: &mut Exchange,
    view: &Arc<View>,
    known: Known,
) -> Step<Response<ReplyBody>> {
    let era =
        headers::era(caller_headers, &message).or_else(|error| refuse(no_agreement(&error)))?;
    exchange.record.era = Some(era.as_str());
    let method = if message.kind == Kind::Response {
        if era == Era::Modern {
            return refuse(no_message(&message::Error::Shape));
        }
        check_stale(gateway, view, StatusCode::SERVICE_UNAVAILABLE)?;
        exchange.allowed(Reason::MethodAllowed);
        None
    } else {
        let Some(method) = Method::find(&message.method, era) else {
            return unknown_method(era, &message);
        };
        check_access(gateway, exchange, view, &known, &message, method, era)?;
        if era == Era::Modern && method.names == Names::Tool {
            let arguments = message.arguments.clone().map(|range| &body[range]);
            named::check_params(gateway, &message, caller_headers, arguments)?;
        }
        if method.names == Names::Subscriptions
            && let Filtered::Changed(narrowed) =
                named::narrowed(gateway, view, &known, &message, &body)
        {
            body = narrowed.into();
        }
        Some(method)
    };
    let mut headers = headers::to_server(caller_headers, era, &view.secret);
    headers::remove_unchecked(&mut headers, &message);
    let session = match era {
        Era::Legacy => open_session(gateway, caller_headers, &known, &mut headers)?,
        Era::Modern => None,
    };
    // Only a session can have asked what a response answers.
    if message.kind == Kind::Response && session.is_none() {
        return refuse(Answer::bad_request(
            "a response must have the header Mcp-Session-Id",
        ));
    }
    let stream = Stream::of(&message, method);
    let until = Until::of(&known);
    let used = match session {
        None => None,
        Some(Found::Here(used)) => Some(used),
        Some(Found::Elsewhere(pod)) => {
            // What is limited is counted there.
            let request = (Verb::POST, view.endpoint(), caller_headers, &body);
            let response = peers::hand_on(gateway, exchange, pod, peer, request).await?;
            return Ok(ending::watched(gateway, until, stream, response));
        }
    };
    if let Some(method) = method {
        exchange.slot = limits::admit(&gateway.limits, view, &known, &message, method)
            .await
            .or_else(refuse)?;
    }
    trace::tell_server(&mut headers, &message.trace, exchange.span.as_deref());
    identity::told_to_server(&known.caller, view, &mut headers);
    let forwarded = Forwarded {
        caller_headers,
        message,
        method,
        era,
        in_session: used.is_some(),
    };
    let asking = ask(gateway, forwarded, headers, body, exchange, view, known);
    let response = Box::pin(asking).await?;
    let response = response.map(|body| body.of_session(used));
    Ok(ending::watched(gateway, until, stream, response))
}

/// What goes on to the server, and by which headers it was asked for.
struct Forwarded<'a> {
    caller_headers: &'a HeaderMap,
    message: Message,
    method: Option<&'static Method>,
    era: Era,
    in_session: bool,
}

/// Asks the server, for as long as a call may take.
async fn ask(
    gateway: &Arc<Gateway>,
    forwarded: Forwarded<'_>,
    headers: HeaderMap,
    body: Bytes,
    exchange: &Exchange,
    view: &Arc<View>,
    known: Known,
) -> Step<Response<ReplyBody>> {
    let Forwarded {
        caller_headers,
        message,
        method,
        era,
        in_session,
    } = forwarded;
    let asked = asked(&message, method, era);
    let principal = known.principal.clone();
    let call = |headers, body| Call {
        verb: Verb::POST,
        headers,
        body,
        era,
        translate: view.bundle.translate,
        principal: &principal,
    };
    // A subscription is over when its caller says so.
    if method.is_some_and(|method| method.names == Names::Subscriptions) {
        let sending = gateway.upstream.send(call(headers, body));
        let sent = ending::while_allowed(gateway, &known, sending).await?;
        let response = sent.or_else(|error| refuse(no_answer(&error)))?;
        return reply(gateway, response, known, asked).await;
    }
    let id = asked.id.clone();
    let limit = view.bundle.limits.timeout();
    let at = tokio::time::Instant::from_std(exchange.began) + limit;
    let late = || timeout::late(limit);
    let cancel = |known: &Known| {
        let id = id
            .as_deref()
            .filter(|_| in_session && message.method != "initialize")?;
        let mut headers = headers::to_server(caller_headers, era, &view.secret);
        open_session(gateway, caller_headers, known, &mut headers).ok()?;
        identity::told_to_server(&known.caller, view, &mut headers);
        Some(Cancel::new(
            Arc::clone(gateway),
            headers,
            id,
            &known.principal,
        ))
    };
    let sending = gateway.upstream.send(call(headers, body));
    let sending = ending::while_allowed(gateway, &known, sending);
    let Ok(sent) = tokio::time::timeout_at(at, sending).await else {
        if let Some(cancel) = cancel(&known) {
            cancel.send();
        }
        return refuse(late());
    };
    let response = sent?.or_else(|error| refuse(no_answer(&error)))?;
    let stream = headers::is_event_stream(response.headers());
    let deadline = Deadline {
        at,
        last: id
            .as_deref()
            .filter(|_| stream)
            .map(|id| timeout::event(&late(), Some(id))),
        cancel: if stream { cancel(&known) } else { None },
    };
    let replying = reply(gateway, response, known, asked);
    match tokio::time::timeout_at(at, replying).await {
        Ok(replied) => Ok(replied?.map(|body| body.within(deadline))),
        Err(_) => refuse(late()),
    }
}

/// What the answer to a message is looked at for.
fn asked(message: &Message, method: Option<&Method>, era: Era) -> Asked {
    let names = method.map(|method| method.names);
    let call = names == Some(Names::Tool) && message.takes_task;
    let listens = names == Some(Names::Subscriptions);
    Asked {
        ask: Ask {
            era,
            list: method.and_then(|method| method.list),
            cacheable: era == Era::Modern && method.is_some_and(Method::is_cacheable),
            task_of: message.name.clone().filter(|_| call),
            standalone: listens || message.kind != Kind::Request,
        },
        id: message.id.clone().filter(|_| message.kind == Kind::Request),
        wanted: listens.then_some(message.listen.lists),
    }
}

/// A method that nobody could say anything about does not pass. A notification wants no answer.
fn unknown_method(era: Era, message: &Message) -> Step<Response<ReplyBody>> {
    let mut answer = Answer::unknown_method(era, &message.method);
    if message.kind == Kind::Notification {
        answer.status = StatusCode::ACCEPTED;
    }
    refuse(answer)
}

/// A bundle that could not be confirmed for too long decides nothing. A refused request is an answer with status 200;
/// a refused response has no answer, so only its status can tell.
fn check_stale(gateway: &Gateway, view: &View, status: StatusCode) -> Step<()> {
    if !gateway.store.is_stale(view) {
        return Ok(());
    }
    refuse(Answer { status, ..stale() })
}

pub(crate) fn stale() -> Answer {
    Answer {
        code: code::DENIED,
        ..Answer::unavailable(
            Reason::PolicyStale,
            "the gateway could not confirm its access bundle for too long: see the operator and the API server",
        )
    }
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
    check_stale(gateway, view, StatusCode::OK)?;
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
    if method.names == Names::Task {
        return named::check_task(gateway, exchange, view, known, message);
    }
    if items.is_empty() {
        return Ok(());
    }
    let judge = view.judge(&known.caller, Timestamp::now());
    for item in &items {
        check_item(exchange, &judge, item)?;
        if let Item::Tool(tool) = item {
            named::check_pin(gateway, exchange, view, tool)?;
        }
    }
    check_scopes(known, &items, view)
}

/// The scopes that the tools among `items` ask for.
pub(crate) fn check_scopes(known: &Known, items: &[Item<'_>], view: &View) -> Step<()> {
    match identity::lacking_scopes(known, items, view) {
        Some(answer) => refuse(answer),
        None => Ok(()),
    }
}

pub(crate) fn check_item(exchange: &mut Exchange, judge: &Judge<'_>, item: &Item<'_>) -> Step<()> {
    let verdict = judge.decide(item);
    exchange.verdict(item, &verdict);
    if verdict.allowed {
        Ok(())
    } else {
        refuse(Answer::denied(&verdict))
    }
}

/// Where a session is.
enum Found {
    /// Here, and in use.
    Here(Use),
    /// In the pod whose gateway is at this address.
    Elsewhere(SocketAddr),
}

/// Puts the server's own session id in place of the sealed one, if this pod has the session.
fn open_session(
    gateway: &Gateway,
    from: &HeaderMap,
    known: &Known,
    to: &mut HeaderMap,
) -> Step<Option<Found>> {
    let Ok(sealed) = headers::single(from, &headers::SESSION_ID) else {
        return refuse(Answer::bad_request(
            "the header Mcp-Session-Id must stand once",
        ));
    };
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let Ok(session) = gateway.sealer.open(sealed, &known.principal) else {
        return refuse(Answer::unknown_session());
    };
    if let Pod::Other(pod) = session.pod {
        return Ok(Some(Found::Elsewhere(pod)));
    }
    let used = gateway.sessions.enter(&session.upstream, &known.principal);
    let (Ok(used), Ok(id)) = (used, HeaderValue::from_str(&session.upstream)) else {
        return refuse(Answer::unknown_session());
    };
    to.insert(headers::SESSION_ID, id);
    Ok(Some(Found::Here(used)))
}

/// The standalone stream of a legacy session, or its end.
async fn without_body(
    gateway: &Arc<Gateway>,
    request: Request<RequestBody>,
    peer: IpAddr,
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
    check_stale(gateway, view, StatusCode::SERVICE_UNAVAILABLE)?;
    let mut headers = headers::to_server(request.headers(), era, &view.secret);
    // A session binds the stream to its principal; without one there is nothing to bind it to.
    let Some(session) = open_session(gateway, request.headers(), &known, &mut headers)? else {
        return refuse(not_allowed("a request with Mcp-Session-Id is"));
    };
    let until = Until::of(&known);
    let verb = request.method().clone();
    let used = match session {
        Found::Here(used) => used,
        Found::Elsewhere(pod) => {
            exchange.allowed(Reason::MethodAllowed);
            let request = (verb, view.endpoint(), request.headers(), &Bytes::new());
            let response = peers::hand_on(gateway, exchange, pod, peer, request).await?;
            return Ok(ending::watched(gateway, until, Stream::Standing, response));
        }
    };
    if request.method() == Verb::GET {
        exchange.slot = Some(
            gateway
                .limits
                .enter(view, &known.principal, slots::Use::Stream)
                .or_else(refuse)?,
        );
    }
    exchange.allowed(Reason::MethodAllowed);
    identity::told_to_server(&known.caller, view, &mut headers);
    let deletes = verb == Verb::DELETE;
    let sending = gateway.upstream.send(Call {
        verb,
        headers,
        body: Bytes::new(),
        era,
        translate: view.bundle.translate,
        principal: &known.principal,
    });
    let response = ending::while_allowed(gateway, &known, sending)
        .await?
        .or_else(|error| refuse(no_answer(&error)))?;
    if deletes && response.status().is_success() {
        used.deleted();
    }
    let ask = Ask {
        era,
        list: None,
        cacheable: false,
        task_of: None,
        standalone: true,
    };
    let all = Wanted {
        tools: true,
        prompts: true,
        resources: true,
    };
    let asked = Asked {
        ask,
        id: None,
        wanted: Some(all),
    };
    let response = reply(gateway, response, known, asked).await?;
    let response = response.map(|body| body.of_session(Some(used)));
    Ok(ending::watched(gateway, until, Stream::Standing, response))
}
