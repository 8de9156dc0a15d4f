//! Audit: one JSON line for each message, on stdout or to an HTTP sink.
//!
//! A request never waits for the line: both ways have a bounded queue, and a line that finds it full is counted and
//! lost. Never in a line: tokens, arguments (only their hash), results.

pub mod redact;
mod stdout;

use std::path::PathBuf;
use std::sync::Arc;

use api::{AuditSink, Trust};
use jiff::Timestamp;
use serde::Serialize;

use crate::losses::Losses;
use crate::metrics::{Delivery, Metrics};
use crate::policy::Store;
use crate::ship::{self, Outbox, Parcel, Shipper};
use stdout::{Lines, Writer};

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
    /// How the tool's definition stands against its pins, where it is not an approved one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<&'static str>,
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

/// Where records are handed in. Clones share the queues.
#[derive(Clone, Debug)]
pub struct Audit {
    lines: Lines,
    outbox: Outbox,
}

/// What writes and sends.
#[derive(Debug)]
pub struct Outlets {
    writer: Writer,
    shipper: Shipper,
}

impl Audit {
    /// Starts both ways. `key` is the file with the key of the HTTP sink, whose URL is in the bundle.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        store: Arc<Store>,
        key: Option<PathBuf>,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<(Self, Outlets)> {
        let lost = metrics.audit_dropped();
        let (lines, writer) = stdout::start(Losses::new("audit lines", lost.clone()))?;
        let told = Arc::clone(metrics);
        let (outbox, shipper) = ship::start(Parcel {
            url: Box::new(move || store.view()?.bundle.audit_url.clone()),
            key,
            content_type: "application/x-ndjson",
            before: String::new(),
            between: "\n",
            after: "\n",
            losses: Losses::new("audit lines to the HTTP sink", lost),
            sent: Box::new(move |taken| told.delivered(Delivery::Audit, taken)),
        });
        Ok((Self { lines, outbox }, Outlets { writer, shipper }))
    }

    /// Hands a record in, without waiting.
    pub fn send(&self, record: &Record, sink: AuditSink) {
        match sink {
            AuditSink::Stdout => self.lines.send(record),
            AuditSink::Http => {
                if let Ok(line) = serde_json::to_vec(record) {
                    self.outbox.send(line);
                }
            }
            AuditSink::Off => {}
        }
    }
}

impl Outlets {
    /// Waits until everything handed in is written, and sent if the sink takes it in time.
    pub async fn finish(self) {
        self.shipper.finish().await;
        // It waits for every handle to go, and one that was cut off never does.
        tokio::task::spawn_blocking(move || self.writer.finish());
    }
}

#[cfg(test)]
impl Record {
    /// A line with every field.
    pub(crate) fn example() -> Self {
        Self {
            time: Timestamp::UNIX_EPOCH,
            kind: "audit",
            namespace: "team-a".into(),
            server: "weather".into(),
            principal: Some("alice".to_owned()),
            agent: Some("claude".to_owned()),
            http_method: "POST",
            method: Some("tools/call".to_owned()),
            name: Some("forecast".to_owned()),
            decision: "allow",
            reason: access::Reason::Allowed,
            pin: None,
            grant: Some("alice".to_owned()),
            session: Some("alice".to_owned()),
            trust: None,
            status: 200,
            latency_ms: 1.0,
            bytes_in: 1,
            bytes: 1,
            era: Some("legacy"),
            trace_id: None,
            arguments_sha256: None,
            policy: Some(1),
        }
    }
}
