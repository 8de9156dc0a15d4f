//! The body of an answer: given by the gateway, passed through as it comes, or a stream whose lists are filtered.
//!
//! It also ends a stream when the caller's session does, and hands in the audit line when the answer is over.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use access::{Caller, Reason};
use api::AuditSink;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use jiff::Timestamp;

use crate::answer::Answer;
use crate::audit::{Audit, Record};
use crate::ending::Watch;
use crate::filter::{self, Ask, Filtered};
use crate::limits::slots::Slot;
use crate::limits::timeout::Deadline;
use crate::metrics::{Decision, Metrics};
use crate::news::News;
use crate::pipeline::Gateway;
use crate::protocol::Method;
use crate::sessions::Use;
use crate::sse;
use crate::trace::Span;
use crate::upstream::UpstreamBody;
use crate::viewer::Viewer;

/// The largest event or list that is filtered, in bytes.
pub const LARGEST: usize = 8 * 1024 * 1024;
/// The largest answer to a call or a read that is looked at, in bytes.
pub const LARGEST_RESULT: usize = 64 * 1024 * 1024;

/// What stands between two events.
const BETWEEN: [&[u8]; 3] = [b"\n\n", b"\r\n\r\n", b"\r\r"];

/// The body of an answer.
pub struct ReplyBody {
    source: Source,
    watch: Option<Watch>,
    limit: Option<Limit>,
    /// Whether what has passed ends with an event, so that another may follow.
    between_events: bool,
    session: Option<Use>,
    finish: Option<Finish>,
}

/// The time until which the body must be over.
struct Limit {
    deadline: Deadline,
    /// Made when the body first has to be waited for: most never are.
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// Where the bytes come from.
enum Source {
    /// Nothing more comes.
    Done,
    /// One piece.
    Full(Bytes),
    /// The server's bytes as they are.
    Relay(UpstreamBody),
    /// The server's events, filtered.
    Events(Box<Events>),
}

/// A stream of events, filtered one by one.
struct Events {
    incoming: UpstreamBody,
    parser: sse::Parser,
    filter: EventFilter,
    news: Option<News>,
    begun: bool,
    ready: VecDeque<Bytes>,
    ended: bool,
}

type Piece = Result<Frame<Bytes>, hyper::Error>;

/// What filtering an event needs to know.
pub(crate) struct EventFilter {
    /// Its bundle is asked anew for every event.
    pub(crate) gateway: Arc<Gateway>,
    /// Who listens.
    pub(crate) caller: Caller,
    /// What its tasks are bound to.
    pub(crate) principal: String,
    /// What was asked.
    pub(crate) ask: Ask,
    /// The id of the request that the stream answers, if it answers one.
    pub(crate) id: Option<String>,
}

/// What is to be done when the answer is over.
pub struct Finish {
    /// The audit line, but for size and time.
    pub record: Record,
    /// Where it goes.
    pub audit: Arc<Audit>,
    /// See `audit`.
    pub sink: AuditSink,
    /// The span of the request, if there are any.
    pub span: Option<Box<Span>>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Given back when the answer is over.
    pub slot: Option<Slot>,
    /// For the metrics.
    pub decision: Decision,
    /// When the request came.
    pub began: Instant,
}

impl Finish {
    fn done(mut self) {
        let took = self.began.elapsed();
        self.record.latency_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        let method = self.record.method.as_deref().map_or("none", Method::label);
        self.metrics.done(
            method,
            self.decision,
            self.record.reason,
            self.record.status,
            took,
        );
        if let Some(span) = self.span {
            span.end(&self.record, took);
        }
        self.audit.send(&self.record, self.sink);
    }
}

impl ReplyBody {
    /// One piece, which may be empty.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::of(Source::Full(bytes.into()))
    }

    /// The server's bytes as they are.
    pub fn relay(incoming: UpstreamBody) -> Self {
        Self::of(Source::Relay(incoming))
    }

    /// The server's events, filtered.
    pub(crate) fn events(incoming: UpstreamBody, filter: EventFilter, news: Option<News>) -> Self {
        let limit = if filter.ask.is_strict() {
            LARGEST
        } else {
            LARGEST_RESULT
        };
        let parser = sse::Parser::new(limit);
        let begun = filter.id.is_none();
        Self::of(Source::Events(Box::new(Events {
            incoming,
            parser,
            filter,
            news,
            begun,
            ready: VecDeque::new(),
            ended: false,
        })))
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            watch: None,
            limit: None,
            between_events: true,
            session: None,
            finish: None,
        }
    }

    /// Ends the stream when `watch` resolves, with the last event that it gives, if that can follow what was sent.
    #[must_use]
    pub fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Keeps an MCP session in use until the answer is over.
    #[must_use]
    pub fn of_session(mut self, session: Option<Use>) -> Self {
        self.session = session;
        self
    }

    /// Ends the stream when it is not over in time.
    #[must_use]
    pub fn within(mut self, deadline: Deadline) -> Self {
        let waits = match &self.source {
            Source::Done | Source::Full(_) => false,
            Source::Relay(_) | Source::Events(_) => true,
        };
        self.limit = waits.then_some(Limit {
            deadline,
            sleep: None,
        });
        self
    }

    /// Hands in `finish` when the answer is over, however it ends.
    #[must_use]
    pub fn finishing(mut self, finish: Finish) -> Self {
        self.finish = Some(finish);
        self
    }

    /// The next piece as its source gives it.
    fn frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        match &mut self.source {
            Source::Done => Poll::Ready(None),
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Source::Done;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Source::Relay(incoming) => Pin::new(incoming).poll_frame(context),
            Source::Events(events) => events.poll(context),
        }
    }

    /// The same, or the last piece if the time is over. A piece that has come does not make it longer.
    fn in_time(
        &mut self,
        polled: Poll<Option<Piece>>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Piece>> {
        let Some(limit) = &mut self.limit else {
            return polled;
        };
        let over = match &polled {
            Poll::Ready(Some(Ok(_))) => limit.deadline.at <= tokio::time::Instant::now(),
            Poll::Ready(Some(Err(_)) | None) => false,
            Poll::Pending => {
                let at = limit.deadline.at;
                let sleep = limit
                    .sleep
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
                sleep.as_mut().poll(context).is_ready()
            }
        };
        if over {
            return Poll::Ready(self.expire());
        }
        polled
    }

    /// Ends the stream: the server is told, and the caller where a word still has a place.
    fn expire(&mut self) -> Option<Piece> {
        self.source = Source::Done;
        let limit = self.limit.take()?;
        if let Some(finish) = &mut self.finish {
            finish.record.reason = Reason::RequestTimeout;
        }
        if let Some(cancel) = limit.deadline.cancel {
            cancel.send();
        }
        let last = limit.deadline.last?;
        let apart = if self.between_events {
            Bytes::new()
        } else {
            Bytes::from_static(b"\n\n")
        };
        Some(Ok(Frame::data([apart, last].concat().into())))
    }

    fn end(&mut self) {
        self.source = Source::Done;
        self.watch = None;
        self.limit = None;
        self.session = None;
        if let Some(finish) = self.finish.take() {
            finish.done();
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        self.end();
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if let Some(watch) = &mut this.watch
            && let Poll::Ready(last) = watch.as_mut().poll(context)
        {
            this.watch = None;
            this.limit = None;
            let last = last.filter(|_| this.between_events);
            this.source = Source::Full(last.unwrap_or_default());
        }
        let polled = this.frame(context);
        let frame = std::task::ready!(this.in_time(polled, context));
        match &frame {
            Some(Ok(frame)) => {
                let size = frame.data_ref().map_or(0, Bytes::len);
                if (this.watch.is_some() || this.limit.is_some())
                    && let Some(data) = frame.data_ref()
                {
                    this.between_events = BETWEEN.iter().any(|end| data.ends_with(end));
                }
                if let Some(finish) = &mut this.finish {
                    finish.record.bytes += size as u64;
                }
            }
            Some(Err(_)) | None => this.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Done => true,
            Source::Full(bytes) => bytes.is_empty(),
            Source::Relay(incoming) => incoming.is_end_stream(),
            Source::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Done => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Relay(incoming) if self.watch.is_none() => incoming.size_hint(),
            Source::Relay(_) | Source::Events(_) => SizeHint::default(),
        }
    }
}

impl Events {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            // News must not come before the server's own first word on the stream.
            if self.begun
                && let Some(Poll::Ready(events)) = self.news.as_mut().map(|n| n.poll(context))
            {
                self.ready.push_back(events);
                continue;
            }
            match std::task::ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
                None => self.ended = true,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.take(&bytes);
                    }
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let (filter, ready, ended) = (&self.filter, &mut self.ready, &mut self.ended);
        let begun = &mut self.begun;
        let fed = self.parser.feed(bytes, |block| {
            if *ended {
                return;
            }
            *begun |= block.data.is_some();
            match filter.block(block) {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => ready.push_back(bytes),
                Err(last) => {
                    ready.extend(last);
                    *ended = true;
                }
            }
        });
        if let Err(error) = fed {
            self.ready.extend(self.filter.failed(&error.to_string()));
            self.ended = true;
        }
    }
}

impl EventFilter {
    /// The bytes of a block as the caller may see it, or the last ones of the stream.
    fn block(&self, block: sse::Block) -> Result<Bytes, Option<Bytes>> {
        let Some(data) = &block.data else {
            return Ok(Bytes::from(block.raw));
        };
        let gateway = &self.gateway;
        let Some(view) = gateway.store.view() else {
            return Err(None);
        };
        let viewer = Viewer::new(
            &view.bundle,
            view.judge(&self.caller, Timestamp::now()),
            &self.principal,
            &gateway.discovery,
            &gateway.tasks,
        );
        match filter::message(data, &self.ask, &viewer) {
            Ok(Filtered::Same) => Ok(Bytes::from(block.raw)),
            Ok(Filtered::Changed(data)) => Ok(Bytes::from(block.with_data(&data))),
            Ok(Filtered::Dropped) => Ok(Bytes::from(block.without_data())),
            Ok(Filtered::Stray) => {
                gateway.metrics.stray_request();
                tracing::warn!("the server sent a request on a stream where it must send none");
                Ok(Bytes::from(block.without_data()))
            }
            // A result that nothing is taken out of passes as the server wrote it.
            Err(_) if !self.ask.is_strict() => Ok(Bytes::from(block.raw)),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    /// The event that tells the caller why the stream ends; none if it answers no request.
    fn failed(&self, why: &str) -> Option<Bytes> {
        tracing::warn!(why, "a stream of the server is ended");
        let id = self.id.as_deref()?;
        let answer = Answer::upstream(Reason::UpstreamInvalid, why);
        let mut event = b"data: ".to_vec();
        event.extend(answer.body(Some(id)));
        event.extend(b"\n\n");
        Some(Bytes::from(event))
    }
}

impl std::fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplyBody")
    }
}
