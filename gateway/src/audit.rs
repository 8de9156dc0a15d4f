//! Audit: one JSON line for each message, on stdout, written by a thread of its own.
//!
//! A request never waits for the line: the queue is bounded, and a line that finds it full is counted and lost.
//! Never in a line: tokens, arguments (only their hash), results.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use api::Trust;
use jiff::Timestamp;
use serde::Serialize;

use crate::metrics::Metrics;

/// Lines that may wait.
const QUEUE: usize = 1024;
/// The thread only formats and writes.
const STACK: usize = 128 * 1024;

/// One line.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When the message came.
    pub time: Timestamp,
    /// Always `audit`, so that lines can be told from others.
    pub kind: &'static str,
    /// Namespace of the server.
    #[serde(serialize_with = "text")]
    pub namespace: Arc<str>,
    /// Name of the server.
    #[serde(serialize_with = "text")]
    pub server: Arc<str>,
    /// Who called, as grants name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The agent, self-declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// HTTP method.
    pub http_method: &'static str,
    /// JSON-RPC method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// What the message named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `allow`, `deny` or `would-deny`.
    pub decision: &'static str,
    /// Why.
    pub reason: access::Reason,
    /// The grant that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The session that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The trust of the caller for this item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Milliseconds until the answer ended.
    pub latency_ms: f64,
    /// Size of the body that came.
    pub bytes_in: u64,
    /// Size of the answer.
    pub bytes: u64,
    /// `legacy` or `modern`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub era: Option<&'static str>,
    /// Trace id of the W3C trace context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// SHA-256 of the source text of `params.arguments`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments_sha256: Option<String>,
    /// Sequence of the bundle that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<u64>,
}

/// Shared text, for which serde asks for a feature that nobody else needs.
fn text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// Where records are handed in. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: SyncSender<Record>,
    metrics: Arc<Metrics>,
}

/// The thread that writes. It ends when every [`Audit`] is gone.
#[derive(Debug)]
pub struct Writer(JoinHandle<()>);

impl Audit {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(metrics: Arc<Metrics>) -> std::io::Result<(Self, Writer)> {
        let (queue, records) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .stack_size(STACK);
        let writer = thread.spawn(move || write(&records))?;
        Ok((Self { queue, metrics }, Writer(writer)))
    }

    /// Hands a record in, without waiting.
    pub fn send(&self, record: Record) {
        match self.queue.try_send(record) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.metrics.audit_dropped();
            }
        }
    }
}

impl Writer {
    /// Waits until everything handed in is written.
    pub fn finish(self) {
        if self.0.join().is_err() {
            tracing::error!("the audit thread panicked");
        }
    }
}

/// Writes records, many at a time when many wait, and lets them out whenever none does.
fn write(records: &Receiver<Record>) {
    let mut lines = Vec::with_capacity(16 * 1024);
    let mut broken = false;
    while let Ok(first) = records.recv() {
        let mut next = Some(first);
        while let Some(record) = next {
            if serde_json::to_writer(&mut lines, &record).is_ok() {
                lines.push(b'\n');
            }
            next = if lines.len() < 12 * 1024 {
                records.try_recv().ok()
            } else {
                None
            };
        }
        let mut out = std::io::stdout().lock();
        let written = out.write_all(&lines).and_then(|()| out.flush());
        if let Err(error) = written
            && !std::mem::replace(&mut broken, true)
        {
            tracing::error!(%error, "audit lines cannot be written");
        }
        lines.clear();
    }
}
