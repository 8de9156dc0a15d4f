//! The closed list of reasons: what `data.reason` of an answer, the audit line and the metrics can say.
//!
//! Words that mcp-runtime's dashboards know are kept where the meaning is the same.

/// Declares the enum, its words and the list of all.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident => $word:literal,)+) => {
        /// Why a message was let through, or was not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])+ $variant,)+ }

        impl Reason {
            /// Every reason, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word as it stands in answers, audit lines and metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

reasons! {
    /// A grant covers the item.
    Allowed => "allowed",
    /// No grant covers it, and the server's `defaultDecision` is allow.
    AllowedByDefault => "allowed_by_default",
    /// The method needs authentication only.
    MethodAllowed => "method_allowed",
    /// No token came.
    MissingBearerToken => "missing_bearer_token",
    /// The token is of no session.
    InvalidToken => "invalid_token",
    /// More than one token came.
    DuplicateToken => "duplicate_token",
    /// The server wants a session, the caller has none.
    MissingSession => "missing_session",
    /// The session was ended before its time.
    SessionRevoked => "session_revoked",
    /// The session is over.
    SessionExpired => "session_expired",
    /// The session token is of somebody else than the caller.
    SessionOfAnother => "session_of_another",
    /// The keys of the token's issuer could not be had, so nobody can tell whether it is genuine.
    IssuerUnavailable => "issuer_unavailable",
    /// The token lacks scopes that the operation needs.
    InsufficientScope => "insufficient_scope",
    /// The request did not come from a proxy that may say who calls.
    UntrustedProxy => "untrusted_proxy",
    /// The trusted proxy did not say who calls, or not clearly.
    MissingIdentity => "missing_identity",
    /// A header with the caller's identity stands twice, or cannot be read.
    DuplicateIdentity => "duplicate_identity",
    /// No live grant speaks of the caller.
    NoMatchingGrant => "no_matching_grant",
    /// A matching grant denies the tool.
    ToolDenied => "tool_denied",
    /// A matching grant denies the prompt.
    PromptDenied => "prompt_denied",
    /// A matching grant denies the resource.
    ResourceDenied => "resource_denied",
    /// Grants speak of the caller, none of the tool.
    ToolNotGranted => "tool_not_granted",
    /// Grants speak of the caller, none of the prompt.
    PromptNotGranted => "prompt_not_granted",
    /// Grants speak of the caller, none of the resource.
    ResourceNotGranted => "resource_not_granted",
    /// The server does not declare the tool, so nobody knows what it does.
    ToolSideEffectUnknown => "tool_side_effect_unknown",
    /// No covering grant allows what the call does to the world.
    SideEffectNotAllowed => "side_effect_not_allowed",
    /// Grant, session or policy do not give the trust that the item needs.
    TrustTooLow => "trust_too_low",
    /// The server's definition of the tool is none of the approved ones.
    ToolDrifted => "tool_drifted",
    /// Nobody approved a definition of the tool.
    ToolNotPinned => "tool_not_pinned",
    /// The gateway has not seen the server's definitions yet.
    InventoryUnavailable => "inventory_unavailable",
    /// The task is unknown, or somebody else's.
    TaskNotFound => "task_not_found",
    /// The gateway has no bundle.
    PolicyUnavailable => "policy_unavailable",
    /// The gateway could not confirm for too long that its bundle is the newest.
    PolicyStale => "policy_stale",
    /// The method is none that the gateway knows.
    MethodNotFound => "method_not_found",
    /// The message is not a message that every parser reads alike.
    RpcInspectionFailed => "rpc_inspection_failed",
    /// Headers and body disagree.
    HeaderMismatch => "header_mismatch",
    /// The protocol version is none that the gateway knows.
    UnsupportedVersion => "unsupported_protocol_version",
    /// The `Host` is none of this server's.
    HostNotAllowed => "host_not_allowed",
    /// The `Origin` is not allowed.
    OriginNotAllowed => "origin_not_allowed",
    /// The HTTP request is not one that MCP knows.
    BadRequest => "bad_request",
    /// The MCP session is unknown, or of somebody else.
    McpSessionNotFound => "mcp_session_not_found",
    /// Too much is under way.
    ServerBusy => "server_busy",
    /// A rate limit is used up.
    RateLimited => "rate_limited",
    /// The caller has too many calls under way.
    TooManyCalls => "too_many_calls",
    /// The caller, or all callers together, have too many streams open.
    TooManyStreams => "too_many_streams",
    /// The call took longer than `config.requestTimeout`.
    RequestTimeout => "request_timeout",
    /// The server could not be reached.
    UpstreamUnavailable => "upstream_unavailable",
    /// The server's answer had to be filtered and is not what MCP says.
    UpstreamInvalid => "upstream_invalid",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_in_the_documentation() {
        let page = include_str!("../../docs/access.md");
        for reason in Reason::ALL {
            let word = format!("`{reason}`");
            assert!(page.contains(&word), "{word} is not in docs/access.md");
        }
    }
}
