//! Serves both protocol eras over HTTP in front of a server that speaks another transport, or an older era.
//!
//! [`Bridge`] answers what [`upstream`](crate::upstream) would send to a streamable HTTP server, as such a server would
//! answer, so that everything above it filters, seals and audits alike. It reaches its server by [`channel`], over
//! which several callers share one conversation: ids, progress tokens and subscriptions are mapped, and nothing that
//! belongs to one principal is ever given to another. It decides about no access.

mod answering;
pub mod channel;
mod conversation;
mod legacy;
mod listening;
mod modern;
mod pool;
mod routing;
mod session;
pub mod stdio;
mod translate;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method as Verb, Response};

use crate::protocol::Era;
use crate::upstream::{self, UpstreamBody};
use channel::Connect;
use pool::Pool;
use session::Session;

/// Most legacy sessions at a time, and of one principal.
const SESSIONS: (usize, usize) = (1024, 64);
/// After how long a legacy session is forgotten that nobody uses.
const FORGET: Duration = Duration::from_secs(3600);

/// Who shares a conversation with the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// All sessions of one principal.
    #[default]
    Principal,
    /// Nobody: each legacy session has its own. Modern callers, who have no session, share by principal.
    Session,
    /// Everybody. The server cannot ask a client for anything, and its log messages are shown to nobody.
    Shared,
}

/// What a bridge is told about its conversations.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Who shares one.
    pub scope: Scope,
    /// Most at a time; at least 1.
    pub most: usize,
    /// After how long an idle one ends.
    pub idle: Duration,
}

/// One request as the pipeline sends it on: already authenticated, read strictly and allowed.
#[derive(Debug)]
pub struct Call<'a> {
    /// POST, GET or DELETE.
    pub verb: Verb,
    /// The headers for the server, with the server's own session id if there is one.
    pub headers: HeaderMap,
    /// The message; empty without one.
    pub body: Bytes,
    /// Its era.
    pub era: Era,
    /// Whether it may go over a bridge to a server that speaks the other one, where there is a choice.
    pub translate: api::Translate,
    /// Whose it is. The gateway's own requests have the empty one, which no caller has.
    pub principal: &'a str,
}

/// Why a bridge has no conversation for a caller.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The server cannot be reached.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// The server refused `initialize` with this JSON-RPC error.
    #[error("the server refused to initialize: {0}")]
    Refused(String),
}

/// A bridge to one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bridge {
    pool: Arc<Pool>,
    sessions: Arc<Mutex<HashMap<String, Arc<Session>>>>,
}

/// A caller's `initialize`: its parameters, and what of them tells conversations apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Draft {
    params: String,
    version: String,
    capabilities: String,
}

impl Bridge {
    /// A bridge to what `connect` reaches. Must be called in the runtime, where it keeps a task that ends what is idle.
    pub fn new(connect: Arc<dyn Connect>, settings: Settings) -> Self {
        let bridge = Self {
            pool: Arc::new(Pool::new(connect, settings)),
            sessions: Arc::default(),
        };
        let (pool, sessions) = (
            Arc::downgrade(&bridge.pool),
            Arc::downgrade(&bridge.sessions),
        );
        let every = (settings.idle / 4).clamp(Duration::from_millis(10), Duration::from_secs(15));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let (Some(pool), Some(sessions)) = (pool.upgrade(), sessions.upgrade()) else {
                    return;
                };
                pool.end_idle();
                let mut sessions = held(&sessions);
                sessions.retain(|_, s| s.is_listening() || s.used().elapsed() < FORGET);
            }
        });
        bridge
    }

    /// Answers one request.
    ///
    /// # Errors
    /// When the server cannot be reached, or has no room for another conversation.
    pub async fn send(&self, call: Call<'_>) -> Result<Response<UpstreamBody>, upstream::Error> {
        match call.era {
            Era::Legacy => Box::pin(self.legacy(call)).await,
            Era::Modern => Box::pin(self.modern(call)).await,
        }
    }

    /// The session of that id, if it is the principal's.
    fn session(&self, id: &str, principal: &str) -> Option<Arc<Session>> {
        let session = held(&self.sessions).get(id).map(Arc::clone)?;
        (session.principal == principal).then(|| {
            session.touch();
            session
        })
    }

    /// Remembers a session; the longest unused makes room for it.
    fn remember(&self, session: &Arc<Session>) {
        let mut sessions = held(&self.sessions);
        let of_principal = |s: &&Arc<Session>| s.principal == session.principal;
        let oldest = |all: &mut dyn Iterator<Item = &Arc<Session>>| {
            let oldest = all.min_by_key(|s| (s.is_listening(), s.used()));
            oldest.map(|s| s.id.clone())
        };
        let forgotten = if sessions.values().filter(of_principal).count() >= SESSIONS.1 {
            oldest(&mut sessions.values().filter(of_principal))
        } else if sessions.len() >= SESSIONS.0 {
            oldest(&mut sessions.values())
        } else {
            None
        };
        if let Some(forgotten) = forgotten {
            sessions.remove(&forgotten);
        }
        sessions.insert(session.id.clone(), Arc::clone(session));
    }

    /// Forgets a session, and ends the conversation that nobody else can use.
    fn forget(&self, session: &Session) {
        held(&self.sessions).remove(&session.id);
        if matches!(session.key.owner, pool::Owner::Session(_)) {
            self.pool.end(&session.key);
        }
    }
}

/// The value behind a lock. A panic while it was held left it whole: nothing here panics halfway through a change.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
