//! Audit lines on stdout, written by a thread of its own.
//!
//! A line is formatted where it arises, into memory that all lines share, because its parts would cost more to hand over
//! than to write down. It waits a few milliseconds for others, because a thread woken and a write for each would cost as
//! much again.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Record;
use crate::losses::Losses;

/// Bytes that may wait.
const ROOM: usize = 1024 * 1024;
/// How long the first line waits for others.
const LINGER: Duration = Duration::from_millis(5);
/// The thread only writes.
const STACK: usize = 64 * 1024;

/// Where lines are handed in. Clones share the room.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    waiting: Waiting,
    /// Says that the room is no longer empty; its end, that nobody hands in any more.
    begun: SyncSender<()>,
    losses: Losses,
}

/// The thread that writes. It ends when every [`Lines`] is gone.
#[derive(Debug)]
pub(super) struct Writer(JoinHandle<()>);

#[derive(Clone, Debug, Default)]
struct Waiting(Arc<Mutex<Vec<u8>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread.
///
/// # Errors
/// When the system gives none.
pub(super) fn start(losses: Losses) -> std::io::Result<(Lines, Writer)> {
    let waiting = Waiting::default();
    let (begun, wake) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("audit".to_owned())
        .stack_size(STACK);
    let lines = Lines {
        waiting: waiting.clone(),
        begun,
        losses,
    };
    let writer = thread.spawn(move || write(&waiting, &wake))?;
    Ok((lines, Writer(writer)))
}

impl Lines {
    /// Hands a record in, without waiting for whoever reads.
    pub(super) fn send(&self, record: &Record) {
        let mut waiting = self.waiting.lock();
        let before = waiting.len();
        if before >= ROOM {
            return self.losses.add(1, "nobody reads them fast enough");
        }
        if let Err(error) = serde_json::to_writer(&mut *waiting, record) {
            waiting.truncate(before);
            return self.losses.add(1, &error.to_string());
        }
        waiting.push(b'\n');
        drop(waiting);
        // Full means that the thread was told already.
        if before == 0 && matches!(self.begun.try_send(()), Err(TrySendError::Disconnected(()))) {
            self.losses.add(1, "the thread has ended");
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

/// Writes what came, every little while, as long as somebody hands in.
fn write(waiting: &Waiting, wake: &Receiver<()>) {
    let mut lines = Vec::new();
    let mut broken = false;
    while wake.recv().is_ok() {
        std::thread::sleep(LINGER);
        std::mem::swap(&mut *waiting.lock(), &mut lines);
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

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn lines_that_nobody_reads_take_no_more_than_their_room_and_are_counted() {
        let (begun, _wake) = sync_channel(1);
        let counter = Counter::default();
        let lines = Lines {
            waiting: Waiting::default(),
            begun,
            losses: Losses::new("audit lines", counter.clone()),
        };
        let record = Record::example();
        let size = serde_json::to_vec(&record).unwrap().len() + 1;
        for _ in 0..10_000 {
            lines.send(&record);
        }
        let waiting = lines.waiting.lock();
        let taken = ROOM.div_ceil(size);
        assert_eq!(waiting.len(), taken * size);
        assert!(waiting.ends_with(b"}\n"));
        assert_eq!(counter.get(), 10_000 - taken as u64);
    }

    #[test]
    fn the_thread_ends_when_nobody_hands_in_any_more() {
        let (lines, writer) = start(Losses::new("audit lines", Counter::default())).unwrap();
        let other = lines.clone();
        drop(lines);
        other.send(&Record::example());
        drop(other);
        writer.finish();
    }
}
