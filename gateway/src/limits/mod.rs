//! How much may be called: rate limits, and calls and streams at a time. Asked by [`pipeline`](crate::pipeline) after
//! access, so that a denied call costs nobody a token.

pub mod bucket;
pub mod local;
pub mod shared;
pub mod slots;
pub mod timeout;

use std::sync::Arc;
use std::time::Duration;

use access::{RateEntry, Reason};
use api::{AuthMode, RateLimitScope};
use http::StatusCode;

use crate::answer::Answer;
use crate::identity::Known;
use crate::message::{Kind, Message};
use crate::metrics::Metrics;
use crate::policy::View;
use crate::protocol::{Method, Names, code};
use local::Local;
use shared::Shared;
use slots::{Full, STREAMS, STREAMS_EACH, Slot, Slots, Use};

/// What of a call the rate limits ask for.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// Who calls.
    pub principal: &'c str,
    /// The tool, if it is one that is called.
    pub tool: Option<&'c str>,
}

impl Call<'_> {
    /// Whether a limit counts the call.
    pub fn falls_under(&self, entry: &RateEntry) -> bool {
        match entry.scope {
            RateLimitScope::Server | RateLimitScope::Subject => true,
            RateLimitScope::Tool => entry.tool.is_some() && entry.tool.as_deref() == self.tool,
        }
    }
}

/// All limits. One for the process.
#[derive(Debug)]
pub struct Limits {
    local: Local,
    shared: Option<Arc<Shared>>,
    slots: Arc<Slots>,
}

impl Limits {
    /// Counted here, and in Redis if there is one.
    pub fn new(shared: Option<Arc<Shared>>, metrics: Arc<Metrics>) -> Self {
        Self {
            local: Local::default(),
            shared,
            slots: Slots::new(metrics),
        }
    }

    /// Takes a token of every rate limit that the call falls under, or none.
    ///
    /// # Errors
    /// The answer 429, with the time until there are tokens.
    pub async fn spend(&self, view: &View, call: &Call<'_>) -> Result<(), Answer> {
        if view.rates.is_empty() {
            return Ok(());
        }
        let together = match &self.shared {
            Some(shared) => shared.take(view, call).await,
            None => None,
        };
        let spent = match together {
            Some(Ok(())) => {
                self.local.charge(view, call);
                Ok(())
            }
            Some(refused) => refused,
            None => self.local.take(view, call),
        };
        spent.map_err(used_up)
    }

    /// Takes a slot for a call or a stream.
    ///
    /// # Errors
    /// The answer 429 if it is the caller who has too many, 503 if it is all together.
    pub fn enter(&self, view: &View, principal: &str, purpose: Use) -> Result<Slot, Answer> {
        let calls = view.bundle.limits.concurrent;
        // Nobody takes more than half, so that one caller cannot keep out all others. Anonymous callers are one.
        let each = match (view.bundle.auth, purpose) {
            (AuthMode::None, Use::Call) => calls,
            (AuthMode::None, Use::Stream) => STREAMS,
            (_, Use::Call) => calls.div_ceil(2),
            (_, Use::Stream) => STREAMS_EACH,
        };
        let all = match purpose {
            Use::Call => calls,
            Use::Stream => STREAMS,
        };
        let entered = self.slots.enter(purpose, principal, each, all);
        entered.map_err(|full| no_slot(full, purpose, each, all))
    }
}

/// A slot for as long as the answer takes, and a token of each rate limit for what names something: who has none left
/// can still keep a session alive. Notifications and responses pass, a cancellation above all.
///
/// # Errors
/// The answer to whoever may not call now.
pub(crate) async fn admit(
    limits: &Limits,
    view: &View,
    known: &Known,
    message: &Message,
    method: &Method,
) -> Result<Option<Slot>, Answer> {
    if message.kind != Kind::Request && method.names == Names::Nothing {
        return Ok(None);
    }
    let purpose = match method.names {
        Names::Subscriptions => Use::Stream,
        Names::Nothing
        | Names::Tool
        | Names::Prompt
        | Names::Resource
        | Names::Reference
        | Names::Task => Use::Call,
    };
    let slot = limits.enter(view, &known.principal, purpose)?;
    if method.names != Names::Nothing {
        let tool = message.name.as_deref();
        let call = Call {
            principal: &known.principal,
            tool: tool.filter(|_| method.names == Names::Tool),
        };
        limits.spend(view, &call).await?;
    }
    Ok(Some(slot))
}

fn used_up(wait: Duration) -> Answer {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!("the rate limit of this server is used up: try again in {seconds} s");
    limited(Reason::RateLimited, message, seconds)
}

fn no_slot(full: Full, purpose: Use, each: u32, all: u32) -> Answer {
    match (full, purpose) {
        (Full::Caller, Use::Call) => limited(
            Reason::TooManyCalls,
            format!("{each} of your calls are under way: wait for one of them"),
            1,
        ),
        (Full::Caller, Use::Stream) => limited(
            Reason::TooManyStreams,
            format!("{each} of your streams are open: close one of them"),
            1,
        ),
        (Full::All, Use::Call) => busy(
            Reason::ServerBusy,
            format!("{all} calls are under way on this server: try again"),
        ),
        (Full::All, Use::Stream) => busy(
            Reason::TooManyStreams,
            format!("{all} streams are open on this server: try again"),
        ),
    }
}

fn limited(reason: Reason, message: String, seconds: u64) -> Answer {
    Answer {
        retry_after: Some(seconds),
        ..Answer::new(
            StatusCode::TOO_MANY_REQUESTS,
            code::LIMITED,
            reason,
            message,
        )
    }
}

fn busy(reason: Reason, message: String) -> Answer {
    Answer {
        retry_after: Some(1),
        ..Answer::unavailable(reason, message)
    }
}
