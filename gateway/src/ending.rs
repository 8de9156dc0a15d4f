//! Why an exchange ends before the server has ended it: the caller may no longer call, the bundle could not be confirmed
//! for too long, or the process ends. Used by [`pipeline`](crate::pipeline) for streams and for calls that take long.
//!
//! A grant that is taken away ends nothing: what was allowed when it began goes on, and the lists on the stream shrink.

use std::sync::Arc;
use std::time::Duration;

use access::{Reason, authenticate};
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::json;

use crate::answer::Answer;
use crate::body::ReplyBody;
use crate::exchange::{Step, refuse};
use crate::headers;
use crate::identity::{self, Known, NotKnown, jwt};
use crate::message::{Kind, Message};
use crate::pipeline::{Gateway, stale};
use crate::protocol::{Method, Names};

/// An answer that comes sooner is not watched over: that is most of them.
const QUICK: Duration = Duration::from_millis(250);
/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(3600);

/// Why it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The caller's session is revoked, over or gone, or the signed token is over.
    Caller(NotKnown),
    /// The bundle could not be confirmed for too long.
    Stale,
    /// The process ends.
    Shutdown,
}

/// By what the caller is known, and so for how long.
#[derive(Clone, Debug)]
pub(crate) struct Until {
    /// The hash of its session's token.
    session: Option<String>,
    /// The end of its signed token.
    token: Option<Timestamp>,
}

impl Until {
    pub(crate) fn of(known: &Known) -> Self {
        Self {
            session: known.hash.clone(),
            token: known.token.as_ref().map(|token| token.until),
        }
    }
}

/// What a stream is for the caller.
#[derive(Clone, Debug)]
pub enum Stream {
    /// It answers no request.
    Standing,
    /// It answers the request with this id.
    Answer(String),
    /// It is the answer to `subscriptions/listen` with this id, and ends only when it is made to.
    Subscription(String),
}

impl Stream {
    /// The stream that may answer a message.
    pub(crate) fn of(message: &Message, method: Option<&Method>) -> Self {
        match &message.id {
            Some(id) if message.kind == Kind::Request => {
                if method.is_some_and(|method| method.names == Names::Subscriptions) {
                    Self::Subscription(id.clone())
                } else {
                    Self::Answer(id.clone())
                }
            }
            Some(_) | None => Self::Standing,
        }
    }

    /// Whether it may go on while the process waits for its last calls.
    fn is_a_call(&self) -> bool {
        matches!(self, Self::Answer(_))
    }

    /// The last event of the stream, if there is one to send.
    fn last_words(&self, answer: &Answer, end: &End) -> Option<Bytes> {
        let data = match (self, end) {
            (Self::Standing, _) => return None,
            (Self::Subscription(id), End::Shutdown) => {
                let id: serde_json::Value = serde_json::from_str(id).ok()?;
                let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
                let result = json!({ "resultType": "complete", "_meta": meta });
                let message = json!({ "jsonrpc": "2.0", "id": id, "result": result });
                message.to_string().into_bytes()
            }
            (Self::Subscription(id) | Self::Answer(id), _) => answer.body(Some(id)),
        };
        Some([b"data: ".as_slice(), &data, b"\n\n"].concat().into())
    }
}

/// What tells a body when to end, and with which last bytes.
pub type Watch = std::pin::Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

/// An answer that ends when it must, if it is a stream.
pub(crate) fn watched(
    gateway: &Arc<Gateway>,
    until: Until,
    stream: Stream,
    response: Response<ReplyBody>,
) -> Response<ReplyBody> {
    if !headers::is_event_stream(response.headers()) {
        return response;
    }
    let gateway = Arc::clone(gateway);
    let watch: Watch = Box::pin(async move {
        let end = ended(&gateway, &until, stream.is_a_call()).await;
        stream.last_words(&answer(&gateway, &end), &end)
    });
    response.map(|body| body.watched(watch))
}

/// What `work` gives, unless the caller may no longer call before it is done.
pub(crate) async fn while_allowed<T>(
    gateway: &Gateway,
    known: &Known,
    work: impl Future<Output = T>,
) -> Step<T> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = work.as_mut() => return Ok(done),
        () = tokio::time::sleep(QUICK) => {}
    }
    tokio::select! {
        biased;
        done = work => Ok(done),
        end = async { ended(gateway, &Until::of(known), true).await } => refuse(answer(gateway, &end)),
    }
}

/// Resolves when the caller's session or token is no longer good, or the bundle is too old; and when the process ends,
/// but for a call, which has a while longer.
async fn ended(gateway: &Gateway, until: &Until, is_a_call: bool) -> End {
    let store = &gateway.store;
    let mut news = store.changes();
    loop {
        let now = Timestamp::now();
        let Some(view) = store.view() else {
            return End::Stale;
        };
        let Some(mut left) = store.freshness(&view) else {
            return End::Stale;
        };
        if let Some(until) = until.token {
            if until <= now {
                return End::Caller(jwt::Error::Expired.into());
            }
            left = left.min(Duration::try_from(until.duration_since(now)).unwrap_or_default());
        }
        if let Some(hash) = &until.session {
            match authenticate(&view.bundle, hash, now).map(|caller| caller.session) {
                Ok(Some(session)) => {
                    let life = session.expires_at.duration_since(now);
                    left = left.min(Duration::try_from(life).unwrap_or_default());
                }
                Ok(None) => return End::Caller(Reason::InvalidToken.into()),
                Err(reason) => return End::Caller(reason.into()),
            }
        }
        drop(view);
        tokio::select! {
            told = news.changed() => if told.is_err() { return End::Shutdown },
            // A little later, so that it is so by then.
            () = tokio::time::sleep(left.min(LOOK) + Duration::from_millis(2)) => {}
            () = gateway.shutdown.stopped.cancelled(), if !is_a_call => return End::Shutdown,
        }
    }
}

fn answer(gateway: &Gateway, end: &End) -> Answer {
    match (end, gateway.store.view()) {
        (End::Caller(why), Some(view)) => identity::refusal(why, &view),
        (End::Caller(_) | End::Stale, _) => stale(),
        (End::Shutdown, _) => Answer::unavailable(
            Reason::ServerBusy,
            "the gateway is shutting down: connect again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(stream: &Stream, end: &End) -> Option<String> {
        let answer = Answer::unavailable(Reason::SessionRevoked, "it is revoked");
        let bytes = stream.last_words(&answer, end)?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_subscription_ends_with_its_empty_result_and_a_call_with_the_reason() {
        let subscription = Stream::Subscription("\"s\"".to_owned());
        assert_eq!(
            words(&subscription, &End::Shutdown).unwrap(),
            "data: {\"id\":\"s\",\"jsonrpc\":\"2.0\",\"result\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":\"s\"},\"resultType\":\"complete\"}}\n\n"
        );
        let revoked = End::Caller(Reason::SessionRevoked.into());
        for stream in [subscription, Stream::Answer("7".to_owned())] {
            let words = words(&stream, &revoked).unwrap();
            assert!(
                words.starts_with("data: {") && words.ends_with("}\n\n"),
                "{words}"
            );
            assert!(words.contains("session_revoked"), "{words}");
        }
        assert_eq!(words(&Stream::Standing, &revoked), None);
    }
}
