//! How a bridge reaches its server: a two-way pipe of JSON-RPC messages, whatever carries it.
//!
//! A pipe is one conversation with one server process or one server session: a child process behind the stdio socket,
//! an HTTP+SSE connection (2024-11-05), or a legacy session of streamable HTTP. The bridge knows only pipes; who makes
//! them knows nothing of callers.

use std::pin::Pin;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::upstream;

/// A two-way pipe. Each item is one JSON-RPC message, without line breaks in it or around it. Dropping either half
/// ends the conversation: the child is stopped, the session deleted.
#[derive(Debug)]
pub struct Pipe {
    /// To the server.
    pub to_server: mpsc::Sender<Bytes>,
    /// From the server; closed when the server ended the conversation.
    pub from_server: mpsc::Receiver<Bytes>,
}

/// A pipe that is being opened.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Pipe, upstream::Error>> + Send + 'a>>;

/// Opens pipes to one server.
pub trait Connect: std::fmt::Debug + Send + Sync {
    /// A new conversation, in which nothing was said yet.
    fn open(&self) -> Opening<'_>;
}
