//! Audit lines on stdout, written by a thread of its own.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::Record;
use crate::losses::Losses;

/// Lines that may wait.
const QUEUE: usize = 1024;
/// The thread only formats and writes.
const STACK: usize = 128 * 1024;

/// Where records are handed in. Clones share the queue.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    queue: SyncSender<Record>,
    losses: Losses,
}

/// The thread that writes. It ends when every [`Lines`] is gone.
#[derive(Debug)]
pub(super) struct Writer(JoinHandle<()>);

/// Starts the thread.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(losses: Losses) -> std::io::Result<(Lines, Writer)> {
    let (queue, records) = sync_channel(QUEUE);
    let thread = std::thread::Builder::new()
        .name("audit".to_owned())
        .stack_size(STACK);
    let writer = thread.spawn(move || write(&records))?;
    Ok((Lines { queue, losses }, Writer(writer)))
}

impl Lines {
    /// Hands a record in, without waiting.
    pub(super) fn send(&self, record: Record) {
        match self.queue.try_send(record) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.losses.add(1, "the queue is full"),
            Err(TrySendError::Disconnected(_)) => self.losses.add(1, "the thread has ended"),
        }
    }
}

impl Writer {
    /// Waits until everything handed in is written.
    pub(super) fn finish(self) {
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
