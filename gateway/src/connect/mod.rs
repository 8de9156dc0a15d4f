//! Conversations with servers that do not speak the callers' protocol: each is a [`Pipe`](crate::bridge::channel::Pipe)
//! for the bridge. [`sse`] is HTTP with SSE (2024-11-05), [`http`] a session of legacy streamable HTTP.
//!
//! Nothing here knows a caller or decides anything. A request that cannot be answered is answered with an error, so
//! that nobody waits for it; when the server has forgotten the conversation, the pipe closes.

mod frame;
pub mod http;
pub mod sse;

/// Messages that wait in each direction of a pipe.
const DEPTH: usize = 64;
/// Requests of one conversation that may be under way.
const REQUESTS: usize = 256;
/// How long a server may take to accept what wants no answer, or to begin a stream.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
