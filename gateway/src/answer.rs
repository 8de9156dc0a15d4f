//! Answers that the gateway gives itself: errors as JSON-RPC, with the HTTP status that each deserves. Pure.
//!
//! A denial of a parsed, authenticated request has status 200, because clients tear their whole session down on a 403
//! and lose the sentence.

use access::Reason;
use http::StatusCode;
use http::header::HeaderValue;
use serde_json::json;

use crate::protocol::{Era, code};

/// One error answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// JSON-RPC code.
    pub code: i32,
    /// Why, for `data.reason` and the audit line.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
    /// The command that would change the answer.
    pub hint: Option<String>,
    /// In how many seconds to try again: the header `Retry-After`, and `data.retryAfter`.
    pub retry_after: Option<u64>,
    /// More members of `data`.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// What `WWW-Authenticate` says, where it is not the plain challenge of a session token. Boxed, because it is rare
    /// and large.
    pub challenge: Option<Box<HeaderValue>>,
}

impl Answer {
    /// An error with no more data than its reason.
    pub fn new(status: StatusCode, code: i32, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            reason,
            message: message.into(),
            hint: None,
            retry_after: None,
            data: serde_json::Map::new(),
            challenge: None,
        }
    }

    /// 400 for what is not a request of MCP.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            code::BAD_REQUEST,
            Reason::BadRequest,
            message,
        )
    }

    /// 503: the gateway cannot decide now.
    pub fn unavailable(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code::UNAVAILABLE,
            reason,
            message,
        )
    }

    /// 200: the caller is known, and may not do this.
    pub fn denied(verdict: &access::Verdict) -> Self {
        Self {
            hint: verdict.hint.clone(),
            ..Self::new(
                StatusCode::OK,
                code::DENIED,
                verdict.reason,
                verdict.message.clone(),
            )
        }
    }

    /// The method is unknown: 404 in the modern era, 200 in the legacy one.
    pub fn unknown_method(era: Era, method: &str) -> Self {
        let status = match era {
            Era::Modern => StatusCode::NOT_FOUND,
            Era::Legacy => StatusCode::OK,
        };
        let message = format!("the method {} is not served", access::hint::shown(method));
        Self::new(
            status,
            code::METHOD_NOT_FOUND,
            Reason::MethodNotFound,
            message,
        )
    }

    /// 404: the client must initialise again.
    pub fn unknown_session() -> Self {
        let message = "the MCP session is unknown: initialize again";
        Self::new(
            StatusCode::NOT_FOUND,
            code::SESSION_NOT_FOUND,
            Reason::McpSessionNotFound,
            message,
        )
    }

    /// 502: the server could not be reached, or its answer cannot be used.
    pub fn upstream(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, code::UPSTREAM, reason, message)
    }

    /// The JSON-RPC error, for the request whose id has this source text.
    pub fn body(&self, id: Option<&str>) -> Vec<u8> {
        let mut data = self.data.clone();
        data.insert("reason".to_owned(), json!(self.reason));
        data.insert("detail".to_owned(), json!(self.message));
        if let Some(seconds) = self.retry_after {
            data.insert("retryAfter".to_owned(), json!(seconds));
        }
        let message = match &self.hint {
            Some(hint) => {
                data.insert("hint".to_owned(), json!(hint));
                format!("{}. To change that: {hint}", self.message)
            }
            None => self.message.clone(),
        };
        let error = json!({ "code": self.code, "message": message, "data": data });
        format!(
            r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#,
            id.unwrap_or("null")
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use api::AuthMode;

    use super::*;

    #[test]
    fn the_id_is_repeated_as_it_was_sent() {
        let (message, hint) =
            access::hint::of_identity(Reason::InvalidToken, AuthMode::Session, "team-a", "weather");
        let answer = Answer {
            hint,
            ..Answer::new(
                StatusCode::UNAUTHORIZED,
                code::UNAUTHENTICATED,
                Reason::InvalidToken,
                message,
            )
        };
        let body: serde_json::Value =
            serde_json::from_slice(&answer.body(Some("\"a\\u0062\""))).unwrap();
        assert_eq!(body["id"], "ab");
        assert_eq!(body["error"]["data"]["reason"], "invalid_token");
        assert_eq!(
            body["error"]["data"]["hint"],
            "kubectl mcp session create --server weather -n team-a"
        );
        assert!(
            body["error"]["message"]
                .as_str()
                .unwrap()
                .contains("kubectl mcp session create")
        );
        assert!(
            answer
                .body(None)
                .starts_with(br#"{"jsonrpc":"2.0","id":null,"#)
        );
    }
}
