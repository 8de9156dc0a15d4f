//! What the API server said, in words: its own, unchanged, and for the common ones what to type next.

use kube::core::Status;

use crate::error::{Error, Result};

/// Says what was being done when the API server refused.
pub trait During<T> {
    /// `what` is the beginning of the sentence: `cannot get mcpserver 'weather'`.
    fn during(self, what: impl Into<String>) -> Result<T>;
}

impl<T> During<T> for Result<T, kube::Error> {
    fn during(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| api_error(what.into(), &error))
    }
}

/// The error that a person reads.
pub fn api_error(what: String, error: &kube::Error) -> Error {
    let (message, code) = match error {
        kube::Error::Api(status) => (status_message(status), status.code),
        other => (chain(other), 0),
    };
    let hint = hint_for(&message, code);
    Error::Api {
        what,
        message,
        code,
        hint,
    }
}

/// An `Invalid` with causes as kubectl prints it, one line per cause; anything else as it came.
pub fn status_message(status: &Status) -> String {
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice())
        .unwrap_or_default();
    if status.reason != "Invalid" || causes.is_empty() {
        return if status.message.is_empty() {
            format!("the server said {}", status.code)
        } else {
            status.message.clone()
        };
    }
    let (kind, name) = status
        .details
        .as_ref()
        .map(|d| (d.kind.as_str(), d.name.as_str()))
        .unwrap_or_default();
    let line = |cause: &kube::core::response::StatusCause| {
        if cause.field.is_empty() {
            cause.message.clone()
        } else {
            format!("{}: {}", cause.field, cause.message)
        }
    };
    if let [only] = causes {
        return format!("The {kind} \"{name}\" is invalid: {}", line(only));
    }
    let lines: Vec<_> = causes
        .iter()
        .map(|cause| format!("\n* {}", line(cause)))
        .collect();
    format!("The {kind} \"{name}\" is invalid: {}", lines.concat())
}

/// The message of an error and of what caused it, without saying anything twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

/// What to type next, for the errors that people meet most.
fn hint_for(message: &str, code: u16) -> Option<String> {
    let has = |words: &str| message.contains(words);
    let hint = match () {
        () if has("failed calling webhook") && has("x509") => {
            "kubectl mcp check    (the API server does not trust the webhook's certificate: its caBundle is old)"
        }
        () if has("failed calling webhook") && (has("deadline exceeded") || has("timeout")) => {
            "kubectl mcp check    (the webhook did not answer the API server in time)"
        }
        () if has("failed calling webhook") && has("no endpoints available for service") => {
            "kubectl mcp check    (nothing is ready behind the webhook's service; kubectl mcp setup restores it)"
        }
        () if has("no endpoints available for service") => {
            "kubectl mcp check; kubectl get pods -A -l app.kubernetes.io/part-of=kubectl-mcp    (nothing is ready behind that service)"
        }
        () if has("failed calling webhook") => "kubectl mcp check",
        () if code == 404 && has("could not find the requested resource") => {
            "kubectl mcp setup    (the resource definitions are missing or of another version)"
        }
        () if code == 404 && has("page not found") => {
            "kubectl mcp setup    (the resource definitions are missing or of another version)"
        }
        () if has("Connection refused") || has("connection refused") => {
            "kubectl cluster-info    (nothing listens there: is this the right --context?)"
        }
        () if has("UnknownIssuer") || has("certificate signed by unknown authority") => {
            "kubectl config view --minify    (the cluster's certificate is not signed by the kubeconfig's authority)"
        }
        () if code == 401 => "kubectl auth whoami    (the cluster does not know you: log in again)",
        () if code == 403 => {
            "kubectl auth whoami; kubectl auth can-i --list    (ask whoever gives roles on this cluster)"
        }
        () => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::response::{StatusCause, StatusDetails};

    fn invalid(causes: &[(&str, &str)]) -> Status {
        let causes = causes
            .iter()
            .map(|(field, message)| StatusCause {
                reason: String::new(),
                message: (*message).to_owned(),
                field: (*field).to_owned(),
            })
            .collect();
        Status::failure("whole message", "Invalid")
            .with_code(422)
            .with_details(StatusDetails {
                name: "weather".to_owned(),
                group: String::new(),
                kind: "MCPServer".to_owned(),
                uid: String::new(),
                causes,
                retry_after_seconds: 0,
            })
    }

    #[test]
    fn causes_are_printed_like_kubectl_prints_them() {
        let status = invalid(&[
            ("spec.image", "must be allowed"),
            ("spec.port", "must differ"),
        ]);
        assert_eq!(
            status_message(&status),
            "The MCPServer \"weather\" is invalid: \n* spec.image: must be allowed\n* spec.port: must differ"
        );
        let status = invalid(&[("spec.image", "must be allowed")]);
        assert_eq!(
            status_message(&status),
            "The MCPServer \"weather\" is invalid: spec.image: must be allowed"
        );
    }

    #[test]
    fn the_servers_words_are_kept() {
        assert_eq!(
            status_message(&Status::failure("no such thing", "NotFound").with_code(404)),
            "no such thing"
        );
    }

    #[test]
    fn the_common_errors_come_with_a_command() {
        for (message, code, command) in [
            (
                "error trying to connect: tcp connect error: Connection refused (os error 111)",
                0,
                "kubectl cluster-info",
            ),
            (
                "failed calling webhook \"x\": x509: certificate signed by unknown authority",
                500,
                "kubectl mcp check",
            ),
            (
                "failed calling webhook \"x\": context deadline exceeded",
                500,
                "kubectl mcp check",
            ),
            (
                "failed calling webhook \"x\": no endpoints available for service \"mcp-webhook\"",
                500,
                "kubectl mcp check",
            ),
            (
                "no endpoints available for service \"weather\"",
                503,
                "kubectl mcp check",
            ),
            (
                "the server could not find the requested resource",
                404,
                "kubectl mcp setup",
            ),
        ] {
            let hint = hint_for(message, code).unwrap_or_default();
            assert!(hint.starts_with(command), "{message}: {hint}");
        }
        assert_eq!(hint_for("mcpservers \"x\" not found", 404), None);
    }
}
