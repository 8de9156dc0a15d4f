//! The bridge as a server of the modern era: natively where the server speaks it, else onto a legacy session that is
//! held for the principal.

use http::{Method as Verb, Response, StatusCode};

use super::answering::{self, Answering};
use super::conversation::Caller;
use super::legacy::refusal;
use super::wire::{self, Message};
use super::{Bridge, Call, translate};
use crate::answer::Answer;
use crate::protocol::{Era, code};
use crate::upstream::{self, UpstreamBody};

const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

impl Bridge {
    pub(super) async fn modern(
        &self,
        call: Call<'_>,
    ) -> Result<Response<UpstreamBody>, upstream::Error> {
        if call.verb != Verb::POST {
            return Ok(answering::empty(StatusCode::METHOD_NOT_ALLOWED));
        }
        let parts = wire::Parts::read(&call.body);
        let (id, method, params) = match parts.as_ref().and_then(wire::Parts::message) {
            Some(Message::Request { id, method, params }) => (id, method, params),
            // Over HTTP, what is cancelled is so by the end of its connection.
            Some(Message::Notification { .. }) => {
                return Ok(answering::empty(StatusCode::ACCEPTED));
            }
            Some(Message::Response { .. }) | None => {
                let mut answer = Answer::bad_request("the body must be a request");
                answer.code = code::INVALID_REQUEST;
                return Ok(answering::refused(&answer, None));
            }
        };
        let conversation = match self.pool.modern(call.principal).await {
            Ok(conversation) => conversation,
            Err(error) => return refusal(error, Some(id)),
        };
        let native = conversation.hello().era == Era::Modern;
        let translated = if native {
            None
        } else {
            match method {
                "server/discover" => {
                    let result = translate::discover(&conversation.hello().result);
                    return Ok(answering::result(id, &result));
                }
                "subscriptions/listen" => {
                    return Ok(super::listening::listen(conversation, id, params).await);
                }
                _ => {}
            }
            conversation.initialized(None).await;
            translate::params_to_legacy(params)
        };
        let caller = Caller {
            id: id.to_owned(),
            session: None,
            logs: native && wire::meta(params, LOG_LEVEL).is_some(),
        };
        let params = translated.as_deref().or(params);
        let inflight = conversation.request(method, params, caller).await?;
        let name = method.to_owned();
        let turn: Option<answering::Turn> = if native {
            None
        } else {
            Some(Box::new(move |outcome| {
                translate::outcome_to_modern(&name, outcome)
            }))
        };
        let answering = Answering {
            inflight,
            id: id.to_owned(),
            era: Era::Modern,
            session: None,
            turn,
        };
        Ok(answering.respond().await)
    }
}
