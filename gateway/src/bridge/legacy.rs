//! The bridge as a server of the legacy era: `initialize`, sessions, their streams and their end.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method as Verb, Response, StatusCode};

use super::answering::{self, Answering};
use super::conversation::{Caller, Conversation};
use super::session::{INITIALIZE, SUBSCRIBED, Session, URI};
use super::wire::{self, Message, Object};
use super::{Bridge, Call, Draft, Error, translate};
use crate::answer::Answer;
use crate::headers;
use crate::protocol::{Era, code};
use crate::seal;
use crate::upstream::{self, UpstreamBody};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

type Answered = Result<Response<UpstreamBody>, upstream::Error>;

impl Bridge {
    pub(super) async fn legacy(&self, call: Call<'_>) -> Answered {
        let id = headers::single(&call.headers, &headers::SESSION_ID)
            .ok()
            .flatten();
        let session = match id {
            Some(id) => self
                .session(id, call.principal)
                .ok_or_else(Answer::unknown_session),
            None => Err(Answer::bad_request(
                "the header Mcp-Session-Id is missing: initialize first",
            )),
        };
        if call.verb == Verb::POST {
            return self.post(&call, session).await;
        }
        match session {
            Err(answer) => Ok(answering::refused(&answer, None)),
            Ok(session) if call.verb == Verb::GET => Ok(stream(&session, &call.headers)),
            Ok(session) if call.verb == Verb::DELETE => {
                self.forget(&session);
                Ok(answering::empty(StatusCode::OK))
            }
            Ok(_) => Ok(answering::empty(StatusCode::METHOD_NOT_ALLOWED)),
        }
    }

    async fn post(&self, call: &Call<'_>, session: Result<Arc<Session>, Answer>) -> Answered {
        let parts = wire::Parts::read(&call.body);
        let Some(message) = parts.as_ref().and_then(wire::Parts::message) else {
            return Ok(answering::refused(
                &Answer::bad_request("the body must be a message"),
                None,
            ));
        };
        let id = match message {
            Message::Request { id, .. } => Some(id),
            Message::Notification { .. } | Message::Response { .. } => None,
        };
        if let Message::Request {
            id,
            method: "initialize",
            params,
        } = message
        {
            return self.begin(call.principal, id, params).await;
        }
        let session = match session {
            Ok(session) => session,
            Err(answer) => return Ok(answering::refused(&answer, id)),
        };
        let conversation = match self.conversation(&session).await {
            Ok(conversation) => conversation,
            Err(error) => return refusal(error, id),
        };
        match message {
            Message::Request { id, method, params } => {
                Box::pin(request(&conversation, &session, id, method, params)).await
            }
            Message::Notification { method, params } => {
                notification(&conversation, &session, method, params).await;
                Ok(answering::empty(StatusCode::ACCEPTED))
            }
            Message::Response { id, outcome } => {
                // What another conversation asked, its end has answered.
                if let Some(asked) = session.answered(id)
                    && asked.conversation == conversation.number
                {
                    conversation.respond(&asked.id, outcome).await;
                }
                Ok(answering::empty(StatusCode::ACCEPTED))
            }
        }
    }

    /// Begins a session.
    async fn begin(&self, principal: &str, id: &str, params: Option<&str>) -> Answered {
        if params.is_some_and(|params| params.len() > INITIALIZE) {
            let why = format!("params must not be longer than {INITIALIZE} bytes");
            let error = wire::error(code::INVALID_PARAMS, &why);
            return Ok(answering::error(Era::Legacy, id, &error));
        }
        let Some(draft) = draft(params) else {
            let why = "params must have protocolVersion, a string, and capabilities, an object";
            let error = wire::error(code::INVALID_PARAMS, why);
            return Ok(answering::error(Era::Legacy, id, &error));
        };
        let Ok(name) = seal::random_id() else {
            return Err(upstream::Error::Start(
                "the system gave no random numbers".to_owned(),
            ));
        };
        let key = self.pool.legacy_key(&name, principal, &draft);
        let session = Arc::new(Session::new(name, principal, key, &draft));
        let conversation = match self.pool.legacy(&session.key, &session.initialize).await {
            Ok(conversation) => conversation,
            Err(error) => return refusal(error, Some(id)),
        };
        conversation.join(&session);
        self.remember(&session);
        let hello = conversation.hello();
        let result = match hello.era {
            Era::Modern => translate::initialized_by_modern(&hello.result, &draft),
            Era::Legacy if conversation.shared => translate::initialized(&hello.result, &draft),
            Era::Legacy => hello.result.clone(),
        };
        let mut response = answering::result(id, &result);
        if let Ok(value) = HeaderValue::from_str(&session.id) {
            response.headers_mut().insert(headers::SESSION_ID, value);
        }
        Ok(response)
    }

    /// The conversation of a session. A new one is told what the session told the one before.
    async fn conversation(&self, session: &Arc<Session>) -> Result<Arc<Conversation>, Error> {
        let conversation = self.pool.legacy(&session.key, &session.initialize).await?;
        if conversation.join(session) && conversation.hello().era == Era::Legacy {
            conversation.initialized(None).await;
            let (uris, level) = session.wishes();
            let told = Arc::clone(&conversation);
            tokio::spawn(async move {
                if let Some(level) = level {
                    let params = format!(r#"{{"level":"{level}"}}"#);
                    if told.ask("logging/setLevel", Some(&params)).await.is_none() {
                        return;
                    }
                }
                for uri in uris {
                    let params = format!(r#"{{"uri":{}}}"#, wire::quoted(&uri));
                    // A server that does not answer would be waited for with each resource.
                    let answered = told.ask("resources/subscribe", Some(&params)).await;
                    if answered.is_none() {
                        return;
                    }
                }
            });
        }
        Ok(conversation)
    }
}

/// A request within a session.
async fn request(
    conversation: &Arc<Conversation>,
    session: &Arc<Session>,
    id: &str,
    method: &str,
    params: Option<&str>,
) -> Answered {
    let caller = Caller {
        id: id.to_owned(),
        session: Some(Arc::clone(session)),
        logs: true,
    };
    let modern = conversation.hello().era == Era::Modern;
    let inflight = if modern {
        match method {
            "ping" => return Ok(answering::result(id, "{}")),
            "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => {
                let error = wire::error(code::METHOD_NOT_FOUND, "the server does not offer this");
                return Ok(answering::error(Era::Legacy, id, &error));
            }
            _ => {}
        }
        let params = translate::params_to_modern(params, &session.initialize);
        conversation.request(method, Some(&params), caller).await?
    } else {
        conversation.initialized(None).await;
        match remembered(conversation, session, method, params) {
            Remembered::Sent => {}
            Remembered::All => return Ok(answering::result(id, "{}")),
            Remembered::TooMuch => {
                let why = format!(
                    "a session may subscribe to {SUBSCRIBED} resources, with URIs of at most {URI} bytes"
                );
                let error = wire::error(code::INVALID_PARAMS, &why);
                return Ok(answering::error(Era::Legacy, id, &error));
            }
        }
        conversation.request(method, params, caller).await?
    };
    let answering = Answering {
        inflight,
        id: id.to_owned(),
        era: Era::Legacy,
        session: Some(Arc::clone(session)),
        turn: modern.then(|| Box::new(translate::outcome_to_legacy) as answering::Turn),
    };
    Ok(answering.respond().await)
}

/// What becomes of a request after what it wishes was remembered.
enum Remembered {
    /// The server gets it.
    Sent,
    /// That is all: a resource that others still want to hear of must not be unsubscribed from.
    All,
    /// It is refused.
    TooMuch,
}

/// Remembers what a session wants to hear of.
fn remembered(
    conversation: &Conversation,
    session: &Session,
    method: &str,
    params: Option<&str>,
) -> Remembered {
    let uri = || Object::of(params).string("uri").unwrap_or_default();
    match method {
        "resources/subscribe" if !session.subscribe(&uri()) => return Remembered::TooMuch,
        "resources/unsubscribe" => {
            let uri = uri();
            session.unsubscribe(&uri);
            if conversation.is_subscribed(&uri) {
                return Remembered::All;
            }
        }
        // Where strangers share a conversation, nobody sets the level for all.
        "logging/setLevel" if conversation.shared => return Remembered::All,
        "logging/setLevel" => {
            let level = Object::of(params).string("level");
            session.set_level(&level.unwrap_or_default());
        }
        _ => {}
    }
    Remembered::Sent
}

/// A notification of a session's client.
async fn notification(
    conversation: &Arc<Conversation>,
    session: &Arc<Session>,
    method: &str,
    params: Option<&str>,
) {
    match method {
        "notifications/cancelled" => {
            let params = Object::of(params);
            if let Some(id) = params.get("requestId") {
                conversation.cancel_of(session, id, params.get("reason"));
            }
        }
        _ if conversation.hello().era == Era::Modern => {}
        "notifications/initialized" => conversation.initialized(params).await,
        _ if conversation.shared => {}
        _ => conversation.notify(method, params).await,
    }
}

/// The standalone stream, or the rest of another.
fn stream(session: &Session, headers: &HeaderMap) -> Response<UpstreamBody> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if !accept.contains("text/event-stream") && !accept.contains("*/*") {
        let answer = Answer {
            status: StatusCode::NOT_ACCEPTABLE,
            ..Answer::bad_request("Accept must have text/event-stream")
        };
        return answering::refused(&answer, None);
    }
    let Ok(last) = headers::single(headers, &LAST_EVENT_ID) else {
        let answer = Answer::bad_request("Last-Event-ID must stand once");
        return answering::refused(&answer, None);
    };
    let receiver = match last {
        None => Some(session.listen()),
        Some(last) => session.resume(last),
    };
    if let Some(receiver) = receiver {
        return answering::events(receiver);
    }
    let answer = Answer::bad_request("Last-Event-ID is none of this session's events");
    answering::refused(&answer, None)
}

/// What a caller is told whose conversation could not be begun.
pub(super) fn refusal(error: Error, id: Option<&str>) -> Answered {
    match (error, id) {
        (Error::Upstream(error), _) => Err(error),
        (Error::Refused(error), Some(id)) => Ok(answering::error(Era::Legacy, id, &error)),
        (Error::Refused(_), None) => Ok(answering::empty(StatusCode::BAD_GATEWAY)),
    }
}

/// What an `initialize` says; `None` if it is none.
fn draft(params: Option<&str>) -> Option<Draft> {
    let params = params?;
    let object = Object::read(params)?;
    let capabilities = object.get("capabilities")?;
    Object::read(capabilities)?;
    Some(Draft {
        params: params.to_owned(),
        version: object.string("protocolVersion")?,
        capabilities: capabilities.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::channel::{Connect, Opening};
    use super::super::{Scope, Settings};
    use super::*;

    #[derive(Debug)]
    struct Nowhere;

    impl Connect for Nowhere {
        fn open(&self) -> Opening<'_> {
            Box::pin(async { Err(upstream::Error::Busy) })
        }
    }

    #[tokio::test]
    async fn a_padded_initialize_is_refused_before_anything_is_kept() {
        let settings = Settings {
            scope: Scope::Principal,
            most: 1,
            idle: Duration::from_secs(1),
        };
        let bridge = Bridge::new(Arc::new(Nowhere), settings);
        let pad = "x".repeat(INITIALIZE);
        let params = format!(
            r#"{{"protocolVersion":"2025-06-18","capabilities":{{"experimental":{{"x":"{pad}"}}}}}}"#
        );
        let answer = bridge.begin("alice", "1", Some(&params)).await.unwrap();
        let UpstreamBody::Bridge(mut body) = answer.into_body() else {
            panic!("it comes from the bridge");
        };
        let text = String::from_utf8(body.recv().await.unwrap().to_vec()).unwrap();
        assert!(text.contains("-32602"), "{text}");
    }
}
