//! The MCP sessions that callers have with the server through this gateway: when each was last used, and the end of
//! those that nobody uses any more.
//!
//! A session is in use as long as a request or a stream of it is. One that was not for the server's
//! `session.idleTimeout` is deleted at the server, and its id is unknown from then on. The table is bounded: when it is
//! full, the principal with most sessions loses the one it used last of all. Kept by [`pipeline`](crate::pipeline); who
//! may use a session is not decided here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::bridge::Call;
use crate::headers;
use crate::policy::Store;
use crate::protocol::Era;
use crate::upstream::Upstream;

/// Most sessions that are known at a time, those that are over among them.
const MOST: usize = 10_000;
/// How long an id is remembered as over. Later, the server says that it does not know it.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// How often the table is looked through, at least and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// How long the server may take to delete a session.
const PATIENCE: Duration = Duration::from_secs(5);

/// The session is over, or there is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the MCP session is over: initialize again")]
pub struct Over;

/// The sessions of this gateway, by the server's own ids.
#[derive(Debug)]
pub struct Sessions {
    table: Mutex<HashMap<Arc<str>, Entry>>,
    ended: UnboundedSender<Ended>,
    most: usize,
}

/// A session that the server shall delete.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    id: Arc<str>,
    principal: Arc<str>,
}

#[derive(Debug)]
struct Entry {
    principal: Arc<str>,
    used: Instant,
    uses: usize,
    over: bool,
}

/// A session in use. It is idle from the moment when the last of these is dropped.
#[derive(Debug)]
pub struct Use {
    sessions: Arc<Sessions>,
    id: Arc<str>,
}

impl Use {
    /// Notes that the server has deleted the session.
    pub fn deleted(&self) {
        self.sessions.deleted(&self.id);
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if let Some(entry) = self.sessions.table().get_mut(&self.id) {
            entry.uses = entry.uses.saturating_sub(1);
            entry.used = Instant::now();
        }
    }
}

impl Sessions {
    /// None yet; and where it will be told which of them the server shall delete.
    pub fn new() -> (Arc<Self>, UnboundedReceiver<Ended>) {
        Self::with_room(MOST)
    }

    fn with_room(most: usize) -> (Arc<Self>, UnboundedReceiver<Ended>) {
        let (ended, end) = unbounded_channel();
        let sessions = Self {
            table: Mutex::default(),
            ended,
            most,
        };
        (Arc::new(sessions), end)
    }

    /// Notes that the server gave `principal` this id just now, also if it has given it before.
    pub fn began(&self, id: &str, principal: &str) {
        let mut table = self.table();
        if let Some(entry) = table.get_mut(id) {
            entry.over = false;
            entry.used = Instant::now();
        } else {
            self.add(&mut table, Arc::from(id), principal, 0);
        }
    }

    /// Takes a session into use. One that is not known was begun before this process.
    pub fn enter(self: &Arc<Self>, id: &str, principal: &str) -> Result<Use, Over> {
        let mut table = self.table();
        let id = match table.get_key_value(id) {
            Some((_, entry)) if entry.over => return Err(Over),
            Some((id, _)) => Arc::clone(id),
            None => Arc::from(id),
        };
        match table.get_mut(&id) {
            Some(entry) => {
                entry.uses += 1;
                entry.used = Instant::now();
            }
            None => self.add(&mut table, Arc::clone(&id), principal, 1),
        }
        drop(table);
        Ok(Use {
            sessions: Arc::clone(self),
            id,
        })
    }

    fn deleted(&self, id: &str) {
        if let Some(entry) = self.table().get_mut(id) {
            entry.over = true;
        }
    }

    /// Ends what was not used for `idle`, and forgets what was over long ago.
    fn sweep(&self, idle: Duration, now: Instant) {
        let mut table = self.table();
        table.retain(|_, e| !e.over || now.saturating_duration_since(e.used) < REMEMBERED);
        for (id, entry) in table.iter_mut() {
            let unused = now.saturating_duration_since(entry.used);
            if !entry.over && entry.uses == 0 && unused >= idle {
                entry.over = true;
                entry.used = now;
                self.end(id, &entry.principal);
            }
        }
    }

    fn add(
        &self,
        table: &mut HashMap<Arc<str>, Entry>,
        id: Arc<str>,
        principal: &str,
        uses: usize,
    ) {
        if table.len() >= self.most {
            self.make_room(table);
        }
        let entry = Entry {
            principal: Arc::from(principal),
            used: Instant::now(),
            uses,
            over: false,
        };
        table.insert(id, entry);
    }

    /// Forgets the session that was over first; if none is, ends one of the principal with most.
    fn make_room(&self, table: &mut HashMap<Arc<str>, Entry>) {
        let oldest = |table: &HashMap<Arc<str>, Entry>, fits: &dyn Fn(&Entry) -> bool| {
            let fitting = table.iter().filter(|(_, entry)| fits(entry));
            let oldest = fitting.min_by_key(|(_, entry)| entry.used);
            oldest.map(|(id, _)| Arc::clone(id))
        };
        if let Some(id) = oldest(table, &|entry| entry.over) {
            table.remove(&id);
            return;
        }
        let mut counts: HashMap<&Arc<str>, usize> = HashMap::new();
        for entry in table.values().filter(|entry| entry.uses == 0) {
            *counts.entry(&entry.principal).or_default() += 1;
        }
        let greediest = counts.into_iter().max_by_key(|(_, count)| *count);
        let Some(greediest) = greediest.map(|(principal, _)| Arc::clone(principal)) else {
            return;
        };
        if let Some(id) = oldest(table, &|e| e.uses == 0 && e.principal == greediest) {
            table.remove(&id);
            self.end(&id, &greediest);
        }
    }

    fn end(&self, id: &Arc<str>, principal: &Arc<str>) {
        let (id, principal) = (Arc::clone(id), Arc::clone(principal));
        // Nobody listens any more when the process ends; then the server forgets by itself.
        let _ = self.ended.send(Ended { id, principal });
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends idle sessions for ever.
pub async fn watch(sessions: Arc<Sessions>, store: Arc<Store>) {
    loop {
        let view = store.view();
        let idle = view.map(|view| view.bundle.session_idle());
        let pause = idle.map_or(LOOK.0, |idle| (idle / 4).clamp(LOOK.0, LOOK.1));
        tokio::time::sleep(pause).await;
        if let Some(idle) = idle {
            sessions.sweep(idle, Instant::now());
        }
    }
}

/// Deletes at the server what was ended here, for ever. A server that does not delete sessions keeps them as long as it
/// likes; they cannot be reached.
pub async fn delete(upstream: Upstream, mut ended: UnboundedReceiver<Ended>) {
    while let Some(Ended { id, principal }) = ended.recv().await {
        let Ok(id) = HeaderValue::from_str(&id) else {
            continue;
        };
        let headers = HeaderMap::from_iter([(headers::SESSION_ID, id)]);
        let sent = upstream.send(Call {
            verb: http::Method::DELETE,
            headers,
            body: Bytes::new(),
            era: Era::Legacy,
            // The way that the session itself took; where none was needed this asks for none.
            translate: api::Translate::Auto,
            principal: &principal,
        });
        match tokio::time::timeout(PATIENCE, sent).await {
            Ok(Ok(response)) => tracing::debug!(status = %response.status(), "an idle session"),
            Ok(Err(error)) => tracing::debug!(%error, "an idle session is not deleted"),
            Err(_) => tracing::debug!("an idle session is not deleted within {PATIENCE:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn later(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_session_ends_when_nothing_of_it_is_in_use_for_long_enough() {
        let (sessions, mut ended) = Sessions::new();
        sessions.began("a", "alice");
        let call = sessions.enter("a", "alice").unwrap();
        sessions.sweep(IDLE, later(3600));
        assert!(ended.try_recv().is_err(), "it is in use");
        drop(call);
        sessions.sweep(IDLE, later(50));
        assert!(ended.try_recv().is_err(), "it is not idle for long enough");
        sessions.sweep(IDLE, later(70));
        assert_eq!(&*ended.try_recv().unwrap().id, "a");
        assert_eq!(sessions.enter("a", "alice").unwrap_err(), Over);
        sessions.sweep(IDLE, later(200));
        assert!(ended.try_recv().is_err(), "it ends once");
        sessions.sweep(IDLE, later(2 * 24 * 3600));
        assert!(sessions.enter("a", "alice").is_ok(), "it is forgotten");
    }

    #[test]
    fn a_session_of_an_earlier_process_is_taken_up_and_a_deleted_one_is_not() {
        let (sessions, _ended) = Sessions::new();
        drop(sessions.enter("early", "alice").unwrap());
        sessions.deleted("early");
        assert_eq!(sessions.enter("early", "alice").unwrap_err(), Over);
        sessions.began("early", "alice");
        assert!(sessions.enter("early", "alice").is_ok());
    }

    #[test]
    fn a_full_table_costs_the_principal_with_most_sessions_its_oldest() {
        let (sessions, mut ended) = Sessions::with_room(4);
        sessions.began("bob-1", "bob");
        for id in ["eve-1", "eve-2", "eve-3"] {
            sessions.began(id, "eve");
        }
        let _used = sessions.enter("eve-1", "eve").unwrap();
        sessions.began("eve-4", "eve");
        assert_eq!(&*ended.try_recv().unwrap().id, "eve-2");
        assert_eq!(sessions.table().len(), 4);
        sessions.deleted("eve-3");
        sessions.began("bob-2", "bob");
        assert!(ended.try_recv().is_err(), "one that was over made room");
        assert!(sessions.table().contains_key("bob-1"));
    }
}
