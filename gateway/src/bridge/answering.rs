//! The HTTP answer to one message: JSON when the first thing that comes is the answer itself, else a stream of events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use tokio::sync::mpsc;

use super::conversation::{Inflight, Part};
use super::session::Session;
use super::wire::{self, Message, Outcome};
use crate::answer::Answer;
use crate::protocol::{Era, code};
use crate::upstream::UpstreamBody;
use access::Reason;

/// A comment that keeps a quiet stream from being taken for dead.
pub(super) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
/// How often it is sent.
const QUIET: Duration = Duration::from_secs(15);
/// How long an answer may take before a stream is begun without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pieces that may wait for the connection.
const WAITING: usize = 16;

/// How an outcome becomes the caller's.
pub(super) type Turn = Box<dyn Fn(Outcome<'_>) -> Outcomes + Send>;

/// The source text of a result or an error.
pub(super) type Outcomes = Result<String, String>;

/// One request whose answer is awaited.
pub(super) struct Answering {
    pub(super) inflight: Inflight,
    /// Source text of the caller's id.
    pub(super) id: String,
    pub(super) era: Era,
    /// The session on whose stream the answer may go, in the legacy era.
    pub(super) session: Option<Arc<Session>>,
    /// How the outcome is turned into one of the caller's era, if it is not.
    pub(super) turn: Option<Turn>,
}

impl Answering {
    /// The answer, or the beginning of it.
    pub(super) async fn respond(mut self) -> Response<UpstreamBody> {
        let first = tokio::time::timeout(PATIENCE, self.inflight.next()).await;
        let message = match first {
            Err(_) => None,
            Ok(Some(Part::Message(message))) => Some(message),
            Ok(Some(Part::Cancelled)) => return events(mpsc::channel(1).1),
            Ok(last) => return self.json(last.as_ref()),
        };
        if let Some(session) = self.session.clone() {
            let (stream, receiver) = session.open();
            self.inflight.goes_on(stream);
            tokio::spawn(self.into_session(session, stream, message));
            events(receiver)
        } else {
            let (to, receiver) = mpsc::channel(WAITING);
            tokio::spawn(self.into_stream(to, message));
            events(receiver)
        }
    }

    /// The last message, from the last part; none means that the server is gone.
    fn last(&self, part: Option<&Part>) -> (StatusCode, String) {
        let id = self.id.as_str();
        let outcome = match part {
            Some(Part::Result(result)) => Outcome::Result(result),
            Some(Part::Error(error)) => Outcome::Error(error),
            Some(Part::Message(_) | Part::Cancelled) | None => {
                let message = "the server's process ended before it answered";
                let answer = Answer::upstream(Reason::UpstreamUnavailable, message);
                let text = String::from_utf8_lossy(&answer.body(Some(id))).into_owned();
                return (StatusCode::OK, text);
            }
        };
        let turned = self.turn.as_ref().map(|turn| turn(outcome));
        let outcome = match &turned {
            Some(Ok(result)) => Outcome::Result(result),
            Some(Err(error)) => Outcome::Error(error),
            None => outcome,
        };
        let text = wire::text(&Message::Response { id, outcome });
        (status(self.era, outcome), text)
    }

    fn json(&self, part: Option<&Part>) -> Response<UpstreamBody> {
        let (status, text) = self.last(part);
        json(status, text)
    }

    /// Writes the stream of a modern caller, and gives up the request when he is gone.
    async fn into_stream(mut self, to: mpsc::Sender<Bytes>, first: Option<String>) {
        if let Some(message) = first
            && to.send(event(&message)).await.is_err()
        {
            return;
        }
        loop {
            let bytes = tokio::select! {
                part = self.inflight.next() => match part {
                    Some(Part::Message(message)) => event(&message),
                    Some(Part::Cancelled) => return,
                    last => {
                        // Nobody is left to be told of a failure.
                        let _ = to.send(event(&self.last(last.as_ref()).1)).await;
                        return;
                    }
                },
                () = tokio::time::sleep(QUIET) => Bytes::from_static(KEEP_ALIVE),
                () = to.closed() => return,
            };
            if to.send(bytes).await.is_err() {
                return;
            }
        }
    }

    /// Writes to the stream of a session, which goes on without a connection.
    async fn into_session(mut self, session: Arc<Session>, stream: u64, first: Option<String>) {
        if let Some(message) = first {
            session.deliver(stream, &message);
        }
        loop {
            match tokio::time::timeout(QUIET, self.inflight.next()).await {
                Err(_) => session.keep_alive(stream),
                Ok(Some(Part::Message(message))) => session.deliver(stream, &message),
                Ok(last) => {
                    if !matches!(last, Some(Part::Cancelled)) {
                        session.deliver(stream, &self.last(last.as_ref()).1);
                    }
                    session.close(stream);
                    return;
                }
            }
        }
    }
}

/// The status of an answer that is not a stream: the modern era has one for some errors.
fn status(era: Era, outcome: Outcome<'_>) -> StatusCode {
    let (Era::Modern, Outcome::Error(error)) = (era, outcome) else {
        return StatusCode::OK;
    };
    let number = wire::Object::read(error).and_then(|e| e.get("code")?.parse::<i32>().ok());
    match number {
        Some(code::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        Some(code::HEADER_MISMATCH | code::UNSUPPORTED_VERSION | -32021) => StatusCode::BAD_REQUEST,
        Some(_) | None => StatusCode::OK,
    }
}

/// One event, without an id.
pub(super) fn event(message: &str) -> Bytes {
    Bytes::from(format!("event: message\ndata: {message}\n\n"))
}

/// A whole JSON answer.
pub(super) fn json(status: StatusCode, text: impl Into<Bytes>) -> Response<UpstreamBody> {
    let mut response = with_body(text.into(), "application/json");
    *response.status_mut() = status;
    response
}

/// The result of a request, as JSON.
pub(super) fn result(id: &str, result: &str) -> Response<UpstreamBody> {
    let outcome = Outcome::Result(result);
    json(
        StatusCode::OK,
        wire::bytes(&Message::Response { id, outcome }),
    )
}

/// The error of a request, as JSON.
pub(super) fn error(era: Era, id: &str, error: &str) -> Response<UpstreamBody> {
    let outcome = Outcome::Error(error);
    let text = wire::bytes(&Message::Response { id, outcome });
    json(status(era, outcome), text)
}

/// An answer of the gateway's own.
pub(super) fn refused(answer: &Answer, id: Option<&str>) -> Response<UpstreamBody> {
    json(answer.status, answer.body(id))
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<UpstreamBody> {
    let (_, receiver) = mpsc::channel(1);
    let mut response = Response::new(UpstreamBody::Bridge(receiver));
    *response.status_mut() = status;
    response
}

/// A stream of events.
pub(super) fn events(receiver: mpsc::Receiver<Bytes>) -> Response<UpstreamBody> {
    let mut response = Response::new(UpstreamBody::Bridge(receiver));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    response
}

fn with_body(bytes: Bytes, media_type: &'static str) -> Response<UpstreamBody> {
    let (to, receiver) = mpsc::channel(1);
    to.try_send(bytes)
        .expect("a new channel has room for one piece");
    let mut response = Response::new(UpstreamBody::Bridge(receiver));
    let media_type = HeaderValue::from_static(media_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}
