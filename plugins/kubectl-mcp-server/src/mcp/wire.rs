//! What comes back over HTTP, and what it means to a person. Pure.

use common::Error;
use http::StatusCode;
use serde_json::Value;

use crate::content::printable;

/// A JSON-RPC error as a person reads it. The gateway puts its sentence and its command into `data`.
pub(crate) fn rpc_error(what: &str, error: &Value) -> Error {
    let text = |pointer: &str| {
        error
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(printable)
    };
    let message = text("/data/detail")
        .or_else(|| text("/message"))
        .unwrap_or_else(|| "the server gave no reason".to_owned());
    let reason = text("/data/reason")
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    Error::Found {
        message: format!("{what}: {message}{reason}"),
        hint: text("/data/hint"),
    }
}

/// An answer whose status is no success.
pub(crate) fn http_error(what: &str, server: &str, status: StatusCode, body: &[u8]) -> Error {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    if let Some(error) = json
        .as_ref()
        .and_then(|json| json.get("error"))
        .filter(|error| error.is_object())
    {
        let error = rpc_error(what, error);
        // The server or its gateway could not do it: that is not a denial.
        return match error {
            Error::Found { message, hint } if status.is_server_error() => {
                Error::Failed { message, hint }
            }
            error => error,
        };
    }
    if let Some(message) = json.as_ref().and_then(api_message) {
        return api_error(what, server, status, message);
    }
    let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
    let reason = status.canonical_reason().unwrap_or_default();
    Error::Api {
        what: what.to_owned(),
        message: format!("{} {reason}: {}", status.as_u16(), printable(text.trim())),
        code: status.as_u16(),
        hint: None,
    }
}

/// The message of a Kubernetes `Status`.
fn api_message(json: &Value) -> Option<&str> {
    (json.get("kind").and_then(Value::as_str) == Some("Status"))
        .then(|| json.get("message").and_then(Value::as_str))?
}

/// The API server's own refusal: it, and not the gateway, answered.
fn api_error(what: &str, server: &str, status: StatusCode, message: &str) -> Error {
    let hint = match status {
        StatusCode::NOT_FOUND => "kubectl mcp server list".to_owned(),
        StatusCode::FORBIDDEN => {
            "kubectl auth can-i create services/proxy    (the role kubectl-mcp-caller gives it)"
                .to_owned()
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            format!("kubectl mcp server status {server}    (no pod of the server is ready)")
        }
        _ => "kubectl mcp check".to_owned(),
    };
    Error::Api {
        what: what.to_owned(),
        message: printable(message),
        code: status.as_u16(),
        hint: Some(hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::Exit;
    use serde_json::json;

    #[test]
    fn a_denial_says_why_and_what_to_type() {
        let error = rpc_error(
            "cannot call 'echo'",
            &json!({"code": 1, "message": "long", "data": {"reason": "no_matching_grant",
                "detail": "human:alice has no grant", "hint": "kubectl mcp grant create"}}),
        );
        assert_eq!(error.exit(), Exit::Found);
        assert_eq!(
            error.render(),
            "error: cannot call 'echo': human:alice has no grant (no_matching_grant)\nhint: kubectl mcp grant create"
        );
    }

    #[test]
    fn an_unknown_token_is_a_denial_and_a_broken_server_is_not() {
        let body = br#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"the session was revoked"}}"#;
        assert_eq!(
            http_error("x", "w", StatusCode::UNAUTHORIZED, body).exit(),
            Exit::Found
        );
        assert_eq!(
            http_error("x", "w", StatusCode::BAD_GATEWAY, body).exit(),
            Exit::Failed
        );
    }

    #[test]
    fn the_api_servers_own_refusal_is_told_apart() {
        let body = br#"{"kind":"Status","message":"services \"w\" not found","code":404}"#;
        let error = http_error("cannot call 'echo'", "w", StatusCode::NOT_FOUND, body);
        assert_eq!(
            error.render(),
            "error: cannot call 'echo': services \"w\" not found\nhint: kubectl mcp server list"
        );
    }

    #[test]
    fn what_is_no_json_is_quoted_shortly() {
        let error = http_error("x", "w", StatusCode::BAD_GATEWAY, b"<html>\x1b[2J");
        assert_eq!(error.to_string(), "x: 502 Bad Gateway: <html>\\u{1b}[2J");
    }
}
