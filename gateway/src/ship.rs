//! A bounded queue of small JSON documents, sent away in batches by a task of its own. Used for audit lines and spans.
//!
//! Whoever hands something in never waits: what finds the queue full is lost and counted. A batch that is not taken is
//! tried again with growing pauses, and meanwhile the queue fills up. A batch may therefore arrive twice; it has the
//! same id then.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::losses::Losses;
use crate::post::{self, Poster};

/// Documents that may wait.
const QUEUE: usize = 8192;
/// Bytes that may wait.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Documents of one batch.
const BATCH: usize = 500;
/// Bytes of one batch, but for its last document.
const BATCH_BYTES: usize = 256 * 1024;
/// How long a document waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// The first pause after a batch was not taken; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the last batches may take when the process ends.
const LAST: Duration = Duration::from_secs(5);
/// The id of a batch, the same for each attempt.
const BATCH_ID: HeaderName = HeaderName::from_static("x-mcp-batch");

/// What goes where, and in which form.
pub struct Parcel {
    /// The URL of the moment; none while there is nothing to send.
    pub url: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// File with the bearer key, read anew for every attempt.
    pub key: Option<PathBuf>,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Before the first document.
    pub before: String,
    /// After each document but the last.
    pub between: &'static str,
    /// After the last document.
    pub after: &'static str,
    /// What was not delivered.
    pub losses: Losses,
    /// Told of every batch, and whether it was taken.
    pub sent: Box<dyn Fn(bool) + Send + Sync>,
}

/// Where documents are handed in. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    losses: Losses,
}

/// The task that sends.
#[derive(Debug)]
pub struct Shipper {
    closing: CancellationToken,
    task: JoinHandle<()>,
}

struct Shipment {
    parcel: Parcel,
    queue: Receiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    closing: CancellationToken,
    poster: Poster,
    /// Tells the batches of this process from those of another.
    process: String,
    number: u64,
    last_url: Option<String>,
    warned: bool,
}

/// Starts the task.
pub fn start(parcel: Parcel) -> (Outbox, Shipper) {
    let (sender, queue) = channel(QUEUE);
    let (waiting, closing) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
    let outbox = Outbox {
        queue: sender,
        waiting: Arc::clone(&waiting),
        losses: parcel.losses.clone(),
    };
    let shipment = Shipment {
        parcel,
        queue,
        waiting,
        closing: closing.clone(),
        poster: Poster::default(),
        process: format!("{:x}", jiff::Timestamp::now().as_nanosecond()),
        number: 0,
        last_url: None,
        warned: false,
    };
    let task = tokio::spawn(shipment.run());
    (outbox, Shipper { closing, task })
}

impl Outbox {
    /// Hands a document in, without waiting.
    pub fn send(&self, document: Vec<u8>) {
        let size = document.len();
        if self.waiting.load(Ordering::Relaxed) + size > QUEUE_BYTES {
            return self.losses.add(1, "the queue is full");
        }
        match self.queue.try_send(document) {
            Ok(()) => drop(self.waiting.fetch_add(size, Ordering::Relaxed)),
            Err(_) => self.losses.add(1, "the queue is full"),
        }
    }
}

impl Shipper {
    /// Sends what waits, for as long as that may take; what is left then is lost and counted.
    pub async fn finish(self) {
        self.closing.cancel();
        if self.task.await.is_err() {
            tracing::error!("the task that sends batches panicked");
        }
    }
}

impl Shipment {
    async fn run(mut self) {
        // The moment from which on nothing is tried again; far away until the process ends.
        let mut until = None;
        while let Some(batch) = self.batch().await {
            let documents = batch.len() as u64;
            let size = batch.iter().map(Vec::len).sum();
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            let taken = self.deliver(&batch, &mut until).await;
            (self.parcel.sent)(taken.is_ok());
            if let Err(why) = taken {
                self.parcel.losses.add(documents, &why);
            }
        }
    }

    /// The next documents; none when the process ends and no more wait.
    async fn batch(&mut self) -> Option<Vec<Vec<u8>>> {
        let first = tokio::select! {
            biased;
            first = self.queue.recv() => first?,
            () = self.closing.cancelled() => self.queue.try_recv().ok()?,
        };
        let mut size = first.len();
        let mut batch = vec![first];
        let linger = tokio::time::sleep(LINGER);
        tokio::pin!(linger);
        while batch.len() < BATCH && size < BATCH_BYTES {
            let next = tokio::select! {
                biased;
                next = self.queue.recv() => next,
                () = &mut linger => None,
                () = self.closing.cancelled() => self.queue.try_recv().ok(),
            };
            let Some(next) = next else { break };
            size += next.len();
            batch.push(next);
        }
        Some(batch)
    }

    /// Tries until the batch is taken, or never will be, or the process has no more time.
    async fn deliver(
        &mut self,
        batch: &[Vec<u8>],
        until: &mut Option<Instant>,
    ) -> Result<(), String> {
        self.number += 1;
        let body = self.body(batch);
        let mut pause = FIRST_PAUSE;
        loop {
            // A URL that was wrong may have been mended since the last attempt.
            if let Some(url) = (self.parcel.url)() {
                self.last_url = Some(url);
            }
            let Some(url) = self.last_url.clone() else {
                return Err("no URL is set".to_owned());
            };
            let headers = self.headers().await;
            let closing = self.closing.clone();
            let attempt = self.poster.post(&url, headers, body.clone());
            let outcome = tokio::select! {
                outcome = attempt => Some(outcome),
                () = over(&closing, until) => None,
            };
            let error = match outcome {
                Some(Ok(())) => {
                    self.warned = false;
                    return Ok(());
                }
                Some(Err(error)) if error.may_pass() => error,
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("the process ends".to_owned()),
            };
            if !std::mem::replace(&mut self.warned, true) {
                tracing::warn!(url = without_query(&url), %error, "a batch is not taken: trying again");
            }
            let wait = match &error {
                post::Error::Refused {
                    retry_after: Some(wait),
                    ..
                } => (*wait).clamp(pause, LONGEST_PAUSE),
                _ => pause,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // What is left to try is tried at once, with short pauses.
                () = closing.cancelled() => tokio::time::sleep(FIRST_PAUSE).await,
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(format!("the process ends: {error}"));
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn body(&self, batch: &[Vec<u8>]) -> Bytes {
        let parcel = &self.parcel;
        let mut body = parcel.before.clone().into_bytes();
        for (index, document) in batch.iter().enumerate() {
            if index > 0 {
                body.extend(parcel.between.as_bytes());
            }
            body.extend(document);
        }
        body.extend(parcel.after.as_bytes());
        Bytes::from(body)
    }

    async fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.parcel.content_type),
        );
        let agent = concat!("kubectl-mcp-gateway/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        if let Ok(id) = HeaderValue::from_str(&format!("{}-{}", self.process, self.number)) {
            headers.insert(BATCH_ID, id);
        }
        if let Some(path) = &self.parcel.key {
            match tokio::fs::read_to_string(path).await {
                Ok(key) => {
                    headers.extend(
                        post::bearer(key.trim()).map(|value| (header::AUTHORIZATION, value)),
                    );
                }
                Err(error) => tracing::debug!(%error, "the key of the sink cannot be read"),
            }
        }
        headers
    }
}

/// Resolves when the process has been ending for [`LAST`].
async fn over(closing: &CancellationToken, until: &mut Option<Instant>) {
    closing.cancelled().await;
    let until = *until.get_or_insert_with(|| Instant::now() + LAST);
    tokio::time::sleep_until(until).await;
}

/// A URL as it may be logged: a query can hold a secret.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
