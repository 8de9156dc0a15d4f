//! What is known of one exchange as it goes on: the refusal that may end it, and the audit line that it becomes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use access::Reason;
use http::header::{self, HeaderValue};
use http::{Method as Verb, Request, Response, StatusCode};
use jiff::Timestamp;

use crate::answer::Answer;
use crate::audit::Record;
use crate::body::ReplyBody;
use crate::identity::Known;
use crate::intake::RequestBody;
use crate::limits::slots::Slot;
use crate::message::{Kind, Message};
use crate::metrics::Decision;
use crate::peers::FromPeer;
use crate::pipeline::Gateway;
use crate::policy::View;
use crate::trace::{Context, Span};

/// The longest method or name in an audit line, in bytes. A caller's text can be as long as the body; a line that long
/// would take the room of everybody's.
const LONGEST: usize = 1024;

/// The beginning of a text, as much of it as an audit line has room for.
fn shortened(text: &str) -> String {
    let end = (0..=text.len().min(LONGEST)).rfind(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or_default()].to_owned()
}

/// The answer of a step that refuses, with the id that it answers.
pub(crate) struct Refusal {
    pub(crate) answer: Answer,
    pub(crate) id: Option<String>,
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Self {
        Self { answer, id: None }
    }
}

/// Boxed, because an answer is large and refusals are rare.
pub(crate) type Step<T> = Result<T, Box<Refusal>>;

pub(crate) fn refuse<T>(answer: Answer) -> Step<T> {
    Err(Box::new(answer.into()))
}

/// What an exchange knows so far, for the audit line.
pub(crate) struct Exchange {
    pub(crate) record: Record,
    pub(crate) decision: Decision,
    pub(crate) view: Option<Arc<View>>,
    /// Held until the answer is over.
    pub(crate) slot: Option<Slot>,
    pub(crate) began: Instant,
    /// Its span, where there is a tracer.
    pub(crate) span: Option<Box<Span>>,
    /// The address that called, if the request came from another gateway of the server.
    pub(crate) from_peer: Option<IpAddr>,
    /// Another gateway of the server answered it, and wrote its audit line.
    pub(crate) passed_on: bool,
}

impl Exchange {
    pub(crate) fn new(gateway: &Gateway, request: &Request<RequestBody>) -> Self {
        let verb = match *request.method() {
            Verb::POST => "POST",
            Verb::GET => "GET",
            Verb::DELETE => "DELETE",
            Verb::OPTIONS => "OPTIONS",
            _ => "other",
        };
        let context = Context::of(request.headers());
        let mut record = Record {
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
            pin: None,
            grant: None,
            session: None,
            trust: None,
            status: 0,
            latency_ms: 0.0,
            bytes_in: 0,
            bytes: 0,
            era: None,
            trace_id: None,
            arguments_sha256: None,
            policy: None,
        };
        record.trace_id = context.as_ref().map(|context| context.trace.clone());
        let tracer = gateway.tracer.as_ref();
        let span = tracer.and_then(|tracer| tracer.begin(context));
        if let Some(span) = &span {
            record.trace_id = Some(span.trace().to_owned());
        }
        Self {
            span,
            record,
            decision: Decision::Deny,
            view: None,
            slot: None,
            began: Instant::now(),
            from_peer: request.extensions().get().map(|FromPeer(peer)| *peer),
            passed_on: false,
        }
    }

    pub(crate) fn known(&mut self, known: &Known) {
        self.record.principal = Some(known.caller.identity.to_string());
        self.record.agent.clone_from(&known.caller.identity.agent);
        self.record.session = known
            .caller
            .session
            .as_ref()
            .map(|session| session.name.clone());
    }

    pub(crate) fn message(&mut self, message: &Message, body: &[u8]) {
        let method = if message.kind == Kind::Response {
            "response"
        } else {
            &message.method
        };
        self.record.method = Some(shortened(method));
        let name = message.name.as_deref().or(message.uri.as_deref());
        self.record.name = name.map(shortened);
        self.record.arguments_sha256 =
            message
                .arguments
                .clone()
                .and_then(|range| match &self.view {
                    Some(view) => view.redaction.hash(&body[range]),
                    None => None,
                });
        if let Some(context) = message.trace.parent.as_deref().and_then(Context::read) {
            self.record.trace_id = Some(context.trace);
        }
        if let Some(span) = &mut self.span {
            span.follow(&message.trace);
        }
    }

    fn decide(&mut self, decision: Decision, reason: Reason) {
        self.decision = decision;
        self.record.decision = decision.as_str();
        self.record.reason = reason;
    }

    pub(crate) fn allowed(&mut self, reason: Reason) {
        self.decide(Decision::Allow, reason);
    }

    pub(crate) fn verdict(&mut self, item: &access::Item<'_>, verdict: &access::Verdict) {
        let decision = match (verdict.allowed, verdict.would_deny) {
            (false, _) => Decision::Deny,
            (true, true) => Decision::WouldDeny,
            (true, false) => Decision::Allow,
        };
        self.decide(decision, verdict.reason);
        self.record.name = Some(shortened(item.name()));
        self.record.grant.clone_from(&verdict.grant);
        self.record.trust = verdict.trust;
    }

    pub(crate) fn refused(&mut self, refusal: Refusal) -> Response<ReplyBody> {
        let answer = refusal.answer;
        // What access allowed stays allowed in the audit line, even if the server then fails.
        let reason = answer.reason;
        if matches!(
            reason,
            Reason::UpstreamUnavailable | Reason::UpstreamInvalid | Reason::RequestTimeout
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
        if let Some(seconds) = answer.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = answer.challenge {
            headers.insert(header::WWW_AUTHENTICATE, *challenge);
        } else if answer.status == StatusCode::UNAUTHORIZED {
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
