//! A conversation over streamable HTTP, as a client has it: every message is posted, its answer comes as JSON or as a
//! stream. In the legacy era (2025-03-26 to 2025-11-25) it is a session, and what the server says unasked comes on a
//! stream of its own, if it has one. In the modern era each request stands for itself, repeats itself in its headers,
//! and is cancelled by the end of its connection.
//!
//! A stream that breaks is resumed where the server gives its events ids; a message is never posted twice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::frame::{Events, Frame, is_message, unanswered, whole};
use super::{DEPTH, PATIENCE, REQUESTS};
use crate::bridge::channel::{Connect, Opening, Pipe};
use crate::headers;
use crate::upstream::{Error, Http, UpstreamBody};

/// The shortest and the longest pause before a stream is resumed, where the server does not say.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often a stream with an answer is resumed without bringing anything.
const ATTEMPTS: usize = 5;
/// How long the end of a session may take.
const END: Duration = Duration::from_secs(5);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A server that speaks streamable HTTP.
#[derive(Clone, Debug)]
pub struct HttpSession {
    upstream: Http,
}

impl HttpSession {
    /// The server at the address of `upstream`.
    pub fn new(upstream: Http) -> Self {
        Self { upstream }
    }
}

impl Connect for HttpSession {
    fn open(&self) -> Opening<'_> {
        let (to_server, from_bridge) = mpsc::channel(DEPTH);
        let (to_bridge, from_server) = mpsc::channel(DEPTH);
        tokio::spawn(converse(self.upstream.clone(), from_bridge, to_bridge));
        Box::pin(std::future::ready(Ok(Pipe {
            to_server,
            from_server,
        })))
    }
}

/// Carries one conversation until one of its sides ends it, then ends the session.
async fn converse(
    upstream: Http,
    mut from_bridge: mpsc::Receiver<Bytes>,
    to_bridge: mpsc::Sender<Bytes>,
) {
    let mut session = Arc::new(Session {
        upstream,
        headers: common(),
        to_bridge,
    });
    let mut tasks = JoinSet::new();
    // Modern requests that are under way.
    let mut requests: Vec<(Value, AbortHandle)> = Vec::new();
    loop {
        tokio::select! {
            message = from_bridge.recv(), if tasks.len() < REQUESTS => {
                let Some(message) = message else { break };
                let frame = Frame::read(&message);
                if frame.is("initialize") {
                    session = Arc::new(Arc::unwrap_or_clone(session).initialize(message, &frame).await);
                } else if frame.request().is_some() {
                    let modern = frame.modern_headers();
                    let id = frame.request().and_then(|id| serde_json::from_str(id.get()).ok());
                    let cancellable = modern.is_some();
                    let task = tasks.spawn(session.speaking(modern).ask(message, frame));
                    if let Some(id) = id.filter(|_| cancellable) {
                        requests.retain(|(_, task): &(Value, AbortHandle)| !task.is_finished());
                        requests.push((id, task));
                    }
                } else if let Some(id) = frame.cancels().filter(|id| requests.iter().any(|(own, _)| own == id)) {
                    requests.iter().filter(|(own, _)| *own == id).for_each(|(_, task)| task.abort());
                } else {
                    let ready = frame.is("notifications/initialized");
                    if session.tell(message).await.is_err() {
                        break;
                    }
                    if ready {
                        tasks.spawn(Arc::clone(&session).listen());
                    }
                }
            }
            Some(done) = tasks.join_next() => {
                if matches!(done, Ok(Err(Lost))) {
                    break;
                }
            }
            () = session.to_bridge.closed() => break,
        }
    }
    tasks.shutdown().await;
    session.end().await;
}

/// The headers of every message.
fn common() -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    map.insert(
        header::ACCEPT,
        HeaderValue::from_static("application/json, text/event-stream"),
    );
    map
}

/// The conversation is over: the server has forgotten the session, or nobody listens any more.
#[derive(Debug)]
struct Lost;

/// What an answer to `initialize` agrees to.
#[derive(serde::Deserialize)]
struct Agreed {
    result: Version,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    protocol_version: String,
}

#[derive(Clone)]
struct Session {
    upstream: Http,
    /// With session and version, once they are agreed.
    headers: HeaderMap,
    to_bridge: mpsc::Sender<Bytes>,
}

impl Session {
    /// The same, for one request with headers of its own.
    fn speaking(self: &Arc<Self>, modern: Option<HeaderMap>) -> Arc<Self> {
        let Some(modern) = modern else {
            return Arc::clone(self);
        };
        let mut headers = common();
        headers.extend(modern);
        Arc::new(Self {
            headers,
            ..Self::clone(self)
        })
    }

    /// Asks for a session; it is in force for all that comes after.
    async fn initialize(mut self, message: Bytes, frame: &Frame) -> Self {
        let Some(id) = frame.request() else {
            return self;
        };
        let Some(response) = self.post(message, id).await else {
            return self;
        };
        let given = response.headers().get(headers::SESSION_ID).cloned();
        let answer = self.answer_in(response, id).await;
        let agreed = answer
            .as_deref()
            .and_then(|answer| serde_json::from_slice::<Agreed>(answer).ok())
            .and_then(|agreed| HeaderValue::from_str(&agreed.result.protocol_version).ok());
        if let Some(version) = agreed {
            self.headers.insert(headers::PROTOCOL_VERSION, version);
            if let Some(given) = given {
                self.headers.insert(headers::SESSION_ID, given);
            }
        }
        let answer = answer.unwrap_or_else(|| unanswered(id, "the server did not initialize"));
        // Whoever does not listen any more is noticed by the caller.
        drop(self.to_bridge.send(answer).await);
        self
    }

    fn is_in_session(&self) -> bool {
        self.headers.contains_key(headers::SESSION_ID)
    }

    async fn say(&self, message: Bytes) -> Result<(), Lost> {
        self.to_bridge.send(message).await.map_err(|_| Lost)
    }

    /// Posts a request; if there is no answer at all, says so to the bridge.
    async fn post(&self, message: Bytes, id: &RawValue) -> Option<Response<UpstreamBody>> {
        let sent = self
            .upstream
            .send(Method::POST, self.headers.clone(), message)
            .await;
        match sent {
            Ok(response) => Some(response),
            Err(error) => {
                tracing::warn!(%error, "the server did not take a message");
                let why = match error {
                    Error::Connect(_) => "the server behind the gateway cannot be reached",
                    Error::Timeout => "the server behind the gateway did not answer in time",
                    Error::Broken(_)
                    | Error::Request(_)
                    | Error::Status(_)
                    | Error::Transport(_)
                    | Error::Busy
                    | Error::Start(_) => "the server behind the gateway ended the connection",
                };
                drop(self.say(unanswered(id, why)).await);
                None
            }
        }
    }

    /// The answer to `id` in a response that has just one, whatever carries it.
    async fn answer_in(&self, response: Response<UpstreamBody>, id: &RawValue) -> Option<Bytes> {
        let stream = headers::is_event_stream(response.headers());
        if !stream {
            let body = whole(response.into_body()).await?;
            return Frame::read(&body).answers(id).then_some(body);
        }
        let mut events = Events::new(response.into_body());
        while let Some((_, data)) = events.next().await {
            if Frame::read(&data).answers(id) {
                return Some(data.into());
            }
        }
        None
    }

    /// Posts a request and hands on everything that comes for it.
    async fn ask(self: Arc<Self>, message: Bytes, frame: Frame) -> Result<(), Lost> {
        let Some(id) = frame.request() else {
            return Ok(());
        };
        let Some(response) = self.post(message, id).await else {
            return Ok(());
        };
        let status = response.status();
        if status != StatusCode::OK {
            let answer = self.answer_in(response, id).await;
            // Some servers answer an unknown session with 400, and with an error that has no id.
            let forgotten = answer.is_none()
                && self.is_in_session()
                && matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST);
            let why = format!("the server behind the gateway answered {status}");
            self.say(answer.unwrap_or_else(|| unanswered(id, &why)))
                .await?;
            return if forgotten { Err(Lost) } else { Ok(()) };
        }
        if headers::is_event_stream(response.headers()) {
            return self.follow(Events::new(response.into_body()), id).await;
        }
        let answer = whole(response.into_body()).await;
        let answer = answer.filter(|answer| Frame::read(answer).answers(id));
        self.say(answer.unwrap_or_else(|| {
            unanswered(id, "the answer of the server behind the gateway is none")
        }))
        .await
    }

    /// Hands on a stream until the answer to `id` came in it.
    async fn follow(&self, mut events: Events, id: &RawValue) -> Result<(), Lost> {
        let mut attempts = 0;
        loop {
            while let Some((name, data)) = events.next().await {
                attempts = 0;
                if !is_message(name.as_deref()) {
                    continue;
                }
                let done = Frame::read(&data).answers(id);
                self.say(data.into()).await?;
                if done {
                    return Ok(());
                }
            }
            let (last_id, pause) = (events.last_id.take(), events.retry.unwrap_or(PAUSES.0));
            let Some(last_id) = last_id.filter(|_| attempts < ATTEMPTS) else {
                let why = "the server behind the gateway ended the connection before it answered";
                return self.say(unanswered(id, why)).await;
            };
            attempts += 1;
            tokio::time::sleep(pause.min(PAUSES.1)).await;
            let resumed = match self.stream(Some(&last_id)).await {
                Ok(response) if is_stream(&response) => Some(response.into_body()),
                Ok(response) if self.has_lost(&response) => return Err(Lost),
                Ok(_) | Err(_) => None,
            };
            let retry = events.retry;
            // What cannot be resumed now may be later: the same place, the next attempt.
            let body = resumed.unwrap_or_else(|| UpstreamBody::Bridge(mpsc::channel(1).1));
            events = Events::new(body);
            (events.last_id, events.retry) = (Some(last_id), retry);
        }
    }

    /// Sends what wants no answer.
    async fn tell(&self, message: Bytes) -> Result<(), Lost> {
        let sending = self
            .upstream
            .send(Method::POST, self.headers.clone(), message);
        match tokio::time::timeout(PATIENCE, sending).await {
            Ok(Ok(response)) if self.has_lost(&response) => Err(Lost),
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => {
                tracing::debug!(status = %response.status(), "the server did not take a notification");
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the server did not take a notification");
                Ok(())
            }
            Err(_) => {
                tracing::debug!("the server did not take a notification in time");
                Ok(())
            }
        }
    }

    fn has_lost(&self, response: &Response<UpstreamBody>) -> bool {
        self.is_in_session() && response.status() == StatusCode::NOT_FOUND
    }

    /// Asks for the stream of what the server says unasked, or for the rest of a stream.
    async fn stream(&self, last_id: Option<&str>) -> Result<Response<UpstreamBody>, Error> {
        let mut map = self.headers.clone();
        map.remove(header::CONTENT_TYPE);
        map.insert(
            header::ACCEPT,
            HeaderValue::from_static("text/event-stream"),
        );
        if let Some(last_id) = last_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            map.insert(LAST_EVENT_ID, last_id);
        }
        self.upstream.send(Method::GET, map, Bytes::new()).await
    }

    /// Hands on what the server says unasked, if it has a stream for that.
    async fn listen(self: Arc<Self>) -> Result<(), Lost> {
        let mut last_id: Option<String> = None;
        let mut backoff = PAUSES.0;
        loop {
            let mut pause = backoff;
            match self.stream(last_id.as_deref()).await {
                Ok(response) if is_stream(&response) => {
                    let mut events = Events::new(response.into_body());
                    while let Some((name, data)) = events.next().await {
                        backoff = PAUSES.0;
                        if is_message(name.as_deref()) {
                            self.say(data.into()).await?;
                        }
                    }
                    pause = events.retry.unwrap_or(backoff).min(PAUSES.1);
                    last_id = events.last_id.or(last_id);
                }
                Ok(response) if self.has_lost(&response) => return Err(Lost),
                // Most often 405: there is no such stream.
                Ok(response) if response.status().is_client_error() => return Ok(()),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "no stream from the server"),
            }
            tokio::time::sleep(pause).await;
            backoff = (backoff * 2).min(PAUSES.1);
        }
    }

    /// Ends the session at the server.
    async fn end(&self) {
        if !self.is_in_session() {
            return;
        }
        let ending = self
            .upstream
            .send(Method::DELETE, self.headers.clone(), Bytes::new());
        if !matches!(tokio::time::timeout(END, ending).await, Ok(Ok(_))) {
            tracing::debug!("the session could not be ended at the server");
        }
    }
}

fn is_stream(response: &Response<UpstreamBody>) -> bool {
    response.status() == StatusCode::OK && headers::is_event_stream(response.headers())
}
