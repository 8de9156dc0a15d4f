//! Calls that take too long: the answer that their caller gets, and the word to a legacy server that nobody waits any
//! more. A modern server is told by the end of the connection.

use std::sync::Arc;
use std::time::Duration;

use access::Reason;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method as Verb, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::bridge::Call;
use crate::pipeline::Gateway;
use crate::protocol::{Era, code};

/// How long the server may take to note that a call is cancelled.
const NOTED: Duration = Duration::from_secs(5);

/// The answer to a call that was not answered in time.
pub(crate) fn late(timeout: Duration) -> Answer {
    let message = format!(
        "the call took longer than {timeout:?} and was given up (spec.config.requestTimeout)"
    );
    Answer::new(
        StatusCode::OK,
        code::TIMEOUT,
        Reason::RequestTimeout,
        message,
    )
}

/// When the answer to a request must be over, and what is done if it is not.
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// The event that tells the caller, on a stream of events.
    pub last: Option<Bytes>,
    /// The word to the server.
    pub cancel: Option<Cancel>,
}

/// `notifications/cancelled`, ready to be sent.
pub struct Cancel {
    gateway: Arc<Gateway>,
    headers: HeaderMap,
    body: Bytes,
    principal: String,
}

impl Cancel {
    /// About the request whose id has this source text; `headers` are those of a message in its session, which is the
    /// principal's.
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        mut headers: HeaderMap,
        id: &str,
        principal: &str,
    ) -> Self {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.remove(header::CONTENT_LENGTH);
        let body = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"timeout"}}}}"#
        );
        Self {
            gateway,
            headers,
            body: Bytes::from(body),
            principal: principal.to_owned(),
        }
    }

    /// Sends it, without waiting for an answer.
    pub(crate) fn send(self) {
        tokio::spawn(async move {
            let view = self.gateway.store.view();
            let sent = self.gateway.upstream.send(Call {
                verb: Verb::POST,
                headers: self.headers,
                body: self.body,
                // Only sessions are told by a message.
                era: Era::Legacy,
                translate: view.map_or_else(Default::default, |view| view.bundle.translate),
                principal: &self.principal,
            });
            // The body is read to its end, so that the connection can be used again.
            let noted = async {
                Ok::<_, crate::upstream::Error>(sent.await?.into_body().collect().await.is_ok())
            };
            match tokio::time::timeout(NOTED, noted).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the server could not be told of a cancelled call");
                }
                Err(_) => tracing::debug!("the server did not note a cancelled call in time"),
            }
        });
    }
}

/// The event that carries an answer.
pub(crate) fn event(answer: &Answer, id: Option<&str>) -> Bytes {
    let mut event = b"data: ".to_vec();
    event.extend(answer.body(id));
    event.extend(b"\n\n");
    Bytes::from(event)
}
