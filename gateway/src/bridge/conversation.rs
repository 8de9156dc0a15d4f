//! One conversation with the server, shared by the requests of several callers: it gives every request an id and a
//! progress token of its own, and knows whose they are when an answer comes. What comes in is taken by
//! [`routing`](super::routing).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use super::channel::Pipe;
use super::held;
use super::pool::Place;
use super::session::Session;
use super::wire::{self, Message, Outcome};
use crate::protocol::Era;
use crate::upstream;

/// Messages that may wait for one caller. One that reads more slowly than the server writes loses its answer.
const WAITING: usize = 1024;
/// How long the server may work for a caller that is gone before that keeps its process no more: a client whose
/// connection broke is back by then.
const GONE: Duration = Duration::from_secs(60);
/// After how long a request of a caller that is gone counts as lost: how long any may take by default.
const LOST: Duration = Duration::from_secs(600);
/// Most requests of one principal that may wait without him. Those that he waits for are limited before they come here.
const ABANDONED: usize = 64;
/// How long the server may take to answer the bridge itself: longer than what the pool allows for its first questions.
const ASK: Duration = Duration::from_secs(120);
/// Longest progress token in bytes; clients use numbers and UUIDs. With a longer one, the caller hears of no progress.
const TOKEN: usize = 1024;

/// What the server said when the conversation began.
#[derive(Debug)]
pub(super) struct Hello {
    /// The era that is spoken in it.
    pub(super) era: Era,
    /// Source text of the result of `initialize` or `server/discover`.
    pub(super) result: String,
}

/// One conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    /// Unique in the bridge.
    pub(super) number: u64,
    /// Whether its callers must not see each other's messages.
    pub(super) shared: bool,
    pub(super) state: Mutex<State>,
    hello: OnceLock<Hello>,
    to_server: mpsc::Sender<Bytes>,
    stop: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    next: u64,
    /// By our id, which is also their progress token.
    pub(super) pending: BTreeMap<u64, Pending>,
    /// Modern callers that listen, by a number of their own.
    pub(super) listeners: HashMap<u64, Listener>,
    pub(super) sessions: Vec<Weak<Session>>,
    /// Whether `notifications/initialized` was sent.
    initialized: bool,
    used: Instant,
    over: bool,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    /// Source text of the caller's id.
    pub(super) id: String,
    /// Source text of the caller's progress token.
    pub(super) token: Option<String>,
    /// The legacy session of which it is, if it is of one.
    pub(super) session: Option<Arc<Session>>,
    /// Whether the caller wants log messages.
    pub(super) logs: bool,
    pub(super) to: mpsc::Sender<Part>,
    /// The stream of the session on which the answer goes, once it does.
    stream: Option<u64>,
    since: Instant,
}

impl Pending {
    /// Whether nobody is connected for the answer. The client of a session may still come back for it.
    fn is_abandoned(&self) -> bool {
        let unheard =
            |session: &Arc<Session>| self.stream.is_some_and(|n| !session.is_connected(n));
        self.to.is_closed() || self.session.as_ref().is_some_and(unheard)
    }

    /// Whether nobody is connected for the answer after that time.
    fn is_abandoned_for(&self, time: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= time && self.is_abandoned()
    }
}

/// A modern caller that listens to a legacy server.
#[derive(Debug)]
pub(super) struct Listener {
    /// Methods of the notifications that it wants.
    pub(super) methods: HashSet<&'static str>,
    /// Resources of which it wants to hear.
    pub(super) uris: HashSet<String>,
    pub(super) to: mpsc::Sender<Part>,
}

/// What a caller gets for a request: any number of messages, then the outcome. Without one, the conversation ended.
#[derive(Debug)]
pub(super) enum Part {
    /// A notification or request, with the caller's ids.
    Message(String),
    /// Source text of the result.
    Result(String),
    /// Source text of the error.
    Error(String),
    /// The caller has taken the request back, and expects no outcome.
    Cancelled,
}

/// Who makes a request.
#[derive(Debug, Default)]
pub(super) struct Caller {
    /// Source text of its id.
    pub(super) id: String,
    /// See [`Pending::session`].
    pub(super) session: Option<Arc<Session>>,
    /// See [`Pending::logs`].
    pub(super) logs: bool,
}

/// A request under way. Dropping it cancels the request, unless it is of a legacy session.
#[derive(Debug)]
pub(super) struct Inflight {
    conversation: Arc<Conversation>,
    number: u64,
    cancels: bool,
    parts: mpsc::Receiver<Part>,
}

impl Inflight {
    /// What comes next; `None` if nothing more does.
    pub(super) async fn next(&mut self) -> Option<Part> {
        self.parts.recv().await
    }

    /// Notes that the answer goes on this stream of the caller's session.
    pub(super) fn goes_on(&self, stream: u64) {
        if let Some(pending) = held(&self.conversation.state).pending.get_mut(&self.number) {
            pending.stream = Some(stream);
        }
    }
}

impl Drop for Inflight {
    fn drop(&mut self) {
        if self.cancels {
            self.conversation.cancel(self.number, None);
        }
    }
}

impl Conversation {
    /// Begins to listen to the server. `place` is given back when the conversation is over.
    pub(super) fn start(number: u64, pipe: Pipe, shared: bool, place: Place) -> Arc<Self> {
        let state = State {
            next: 1,
            pending: BTreeMap::new(),
            listeners: HashMap::new(),
            sessions: Vec::new(),
            initialized: false,
            used: Instant::now(),
            over: false,
        };
        let conversation = Arc::new(Self {
            number,
            shared,
            state: Mutex::new(state),
            hello: OnceLock::new(),
            to_server: pipe.to_server,
            stop: Notify::new(),
        });
        let (listening, mut from_server) = (Arc::clone(&conversation), pipe.from_server);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    line = from_server.recv() => match line {
                        Some(line) => listening.take(&line),
                        None => break,
                    },
                    () = listening.stop.notified() => break,
                }
            }
            listening.finish();
            drop((from_server, place));
        });
        conversation
    }

    /// Nothing more comes: whoever waits learns it by the end of his messages.
    fn finish(&self) {
        let mut state = held(&self.state);
        state.over = true;
        let pending = std::mem::take(&mut state.pending);
        let listeners = std::mem::take(&mut state.listeners);
        if !pending.is_empty() {
            tracing::warn!(calls = pending.len(), "the server ended before it answered");
        }
        drop(state);
        drop((pending, listeners));
    }

    /// Ends the conversation.
    pub(super) fn end(&self) {
        held(&self.state).over = true;
        self.stop.notify_one();
    }

    pub(super) fn is_over(&self) -> bool {
        held(&self.state).over
    }

    /// Notes what the server said first.
    pub(super) fn greet(&self, hello: Hello) {
        // The second of two greetings says the same.
        let _ = self.hello.set(hello);
    }

    /// What the server said first. The pool gives away only conversations with a greeting.
    pub(super) fn hello(&self) -> &Hello {
        static NONE: Hello = Hello {
            era: Era::Legacy,
            result: String::new(),
        };
        self.hello.get().unwrap_or(&NONE)
    }

    /// When it was last used.
    pub(super) fn used(&self) -> Instant {
        held(&self.state).used
    }

    /// Whether nobody waits or listens.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_quiet_at(Instant::now())
    }

    fn is_quiet_at(&self, now: Instant) -> bool {
        let state = held(&self.state);
        let mut sessions = state.sessions.iter().filter_map(Weak::upgrade);
        let mut pending = state.pending.values();
        pending.all(|p| p.is_abandoned_for(GONE, now))
            && state.listeners.is_empty()
            && !sessions.any(|session| session.is_listening())
    }

    /// Gives up the requests that count as lost.
    pub(super) fn cancel_lost(&self, now: Instant) {
        let lost: Vec<u64> = {
            let state = held(&self.state);
            let lost = state.pending.iter();
            lost.filter(|(_, p)| p.is_abandoned_for(LOST, now))
                .map(|(number, _)| *number)
                .collect()
        };
        for number in lost {
            tracing::debug!("a request is given up for which nobody waits");
            self.cancel(number, None);
        }
    }

    /// Whether nobody would miss it: it is quiet, and no session's.
    pub(super) fn is_unneeded(&self) -> bool {
        let sessions = held(&self.state)
            .sessions
            .iter()
            .filter_map(Weak::upgrade)
            .count();
        sessions == 0 && self.is_quiet()
    }

    /// Notes that a session uses it; whether that is new.
    pub(super) fn join(&self, session: &Arc<Session>) -> bool {
        let mut state = held(&self.state);
        state.sessions.retain(|s| s.strong_count() > 0);
        let mut known = state.sessions.iter().filter_map(Weak::upgrade);
        if known.any(|s| Arc::ptr_eq(&s, session)) {
            return false;
        }
        state.sessions.push(Arc::downgrade(session));
        true
    }

    /// Sends a request of a caller.
    ///
    /// # Errors
    /// When the caller has left too many requests behind.
    pub(super) async fn request(
        self: &Arc<Self>,
        method: &str,
        params: Option<&str>,
        caller: Caller,
    ) -> Result<Inflight, upstream::Error> {
        let (to, parts) = mpsc::channel(WAITING);
        let token = wire::meta(params, "progressToken").filter(|token| token.len() <= TOKEN);
        let cancels = caller.session.is_none();
        let pending = Pending {
            id: caller.id,
            token,
            session: caller.session,
            logs: caller.logs,
            to,
            stream: None,
            since: Instant::now(),
        };
        let has_token = pending.token.is_some();
        let number = {
            let mut state = held(&self.state);
            if let Some(session) = &pending.session {
                let of = |p: &&Pending| {
                    let whose = p.session.as_ref().map(|s| &s.principal);
                    whose == Some(&session.principal) && p.is_abandoned()
                };
                if state.pending.values().filter(of).count() >= ABANDONED {
                    return Err(upstream::Error::Busy);
                }
            }
            let number = state.next;
            state.next += 1;
            state.used = Instant::now();
            // Nothing is kept of what cannot be sent: the caller sees the end of its messages.
            if !state.over {
                state.pending.insert(number, pending);
            }
            number
        };
        let inflight = Inflight {
            conversation: Arc::clone(self),
            number,
            cancels,
            parts,
        };
        let id = number.to_string();
        let mapped = has_token.then(|| wire::with_meta(params, "progressToken", &id));
        let params = mapped.as_deref().or(params);
        let id = id.as_str();
        self.write(&Message::Request { id, method, params }).await;
        Ok(inflight)
    }

    /// Asks the server in the bridge's own name. `None` if the conversation ended, or there is no answer in time.
    pub(super) async fn ask(
        self: &Arc<Self>,
        method: &str,
        params: Option<&str>,
    ) -> Option<Result<String, String>> {
        let caller = Caller {
            id: "null".to_owned(),
            ..Caller::default()
        };
        let answered = async {
            let mut inflight = self.request(method, params, caller).await.ok()?;
            loop {
                match inflight.next().await? {
                    Part::Message(_) => {}
                    Part::Result(result) => return Some(Ok(result)),
                    Part::Error(error) => return Some(Err(error)),
                    Part::Cancelled => return None,
                }
            }
        };
        tokio::time::timeout(ASK, answered).await.ok().flatten()
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, method: &str, params: Option<&str>) {
        held(&self.state).used = Instant::now();
        self.write(&Message::Notification { method, params }).await;
    }

    /// Sends `notifications/initialized`, once.
    pub(super) async fn initialized(&self, params: Option<&str>) {
        let told = std::mem::replace(&mut held(&self.state).initialized, true);
        if !told {
            self.notify("notifications/initialized", params).await;
        }
    }

    /// Answers a request of the server.
    pub(super) async fn respond(&self, id: &str, outcome: Outcome<'_>) {
        self.write(&Message::Response { id, outcome }).await;
    }

    /// Gives up a request, if it still waits.
    pub(super) fn cancel(&self, number: u64, reason: Option<&str>) {
        let pending = held(&self.state).pending.remove(&number);
        if let Some(pending) = pending {
            // Whoever dropped the request hears nothing of it.
            let _ = pending.to.try_send(Part::Cancelled);
            let reason = reason.map_or_else(String::new, |r| format!(r#","reason":{r}"#));
            let params = format!(r#"{{"requestId":{number}{reason}}}"#);
            self.write_now(&Message::Notification {
                method: "notifications/cancelled",
                params: Some(&params),
            });
        }
    }

    /// Gives up the request that a session knows by this id.
    pub(super) fn cancel_of(&self, session: &Arc<Session>, id: &str, reason: Option<&str>) {
        let is_it = |p: &Pending| {
            p.session.as_ref().is_some_and(|s| Arc::ptr_eq(s, session)) && wire::same_id(&p.id, id)
        };
        let number = {
            let state = held(&self.state);
            let mut pending = state.pending.iter();
            pending.find(|(_, p)| is_it(p)).map(|(number, _)| *number)
        };
        if let Some(number) = number {
            self.cancel(number, reason);
        }
    }

    /// Adds a listener; gives its number.
    pub(super) fn listen(&self, listener: Listener) -> u64 {
        let mut state = held(&self.state);
        let number = state.next;
        state.next += 1;
        state.used = Instant::now();
        if !state.over {
            state.listeners.insert(number, listener);
        }
        number
    }

    /// Removes a listener, and gives the resources of which nobody wants to hear any more.
    pub(super) fn unlisten(&self, number: u64) -> Vec<String> {
        let removed = held(&self.state).listeners.remove(&number);
        let uris = removed.map(|listener| listener.uris).unwrap_or_default();
        uris.into_iter()
            .filter(|uri| !self.is_subscribed(uri))
            .collect()
    }

    /// Whether a session or a listener wants to hear of a resource.
    pub(super) fn is_subscribed(&self, uri: &str) -> bool {
        let state = held(&self.state);
        let mut sessions = state.sessions.iter().filter_map(Weak::upgrade);
        let mut listeners = state.listeners.values();
        sessions.any(|s| s.is_subscribed(uri)) || listeners.any(|l| l.uris.contains(uri))
    }

    async fn write(&self, message: &Message<'_>) {
        // A server that is gone ends the conversation, and with it whatever waits for an answer.
        if self.to_server.send(wire::bytes(message)).await.is_err() {
            tracing::debug!("the server takes no more messages");
        }
    }

    /// Writes where nothing may wait. A server that reads nothing misses it.
    pub(super) fn write_now(&self, message: &Message<'_>) {
        if self.to_server.try_send(wire::bytes(message)).is_err() {
            tracing::debug!("the server does not take a message");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::Semaphore;

    use super::super::Draft;
    use super::super::channel::Pipe;
    use super::super::pool::{Key, Owner, Profile};
    use super::*;

    /// A conversation with a server that never answers, what it is told, and the end that keeps it from being over.
    fn silent() -> (
        Arc<Conversation>,
        mpsc::Receiver<Bytes>,
        mpsc::Sender<Bytes>,
    ) {
        let (to_server, told) = mpsc::channel(1024);
        let (says, from_server) = mpsc::channel(1);
        let pipe = Pipe {
            to_server,
            from_server,
        };
        let place = Place::new(&Arc::new(Semaphore::new(1)), Arc::new(AtomicUsize::new(0)));
        (Conversation::start(0, pipe, false, place), told, says)
    }

    fn caller(principal: &str) -> Caller {
        let key = Key {
            owner: Owner::Principal(principal.to_owned()),
            profile: Profile::Modern,
        };
        let draft = Draft {
            params: "{}".to_owned(),
            version: "2025-06-18".to_owned(),
            capabilities: "{}".to_owned(),
        };
        Caller {
            id: "1".to_owned(),
            session: Some(Arc::new(Session::new(
                principal.to_owned(),
                principal,
                key,
                &draft,
            ))),
            logs: true,
        }
    }

    #[tokio::test]
    async fn a_request_whose_caller_is_gone_is_given_up() {
        let (conversation, mut told, _says) = silent();
        let alice = caller("alice");
        let session = alice.session.clone().unwrap();
        let inflight = conversation.request("x", None, alice).await.unwrap();
        let (later, late) = (Instant::now() + GONE, Instant::now() + LOST);
        assert!(!conversation.is_quiet_at(later), "the caller waits");
        let (stream, receiver) = session.open();
        inflight.goes_on(stream);
        conversation.cancel_lost(late);
        assert!(!conversation.is_quiet_at(late), "the caller listens");
        drop(receiver);
        assert!(!conversation.is_quiet());
        assert!(conversation.is_quiet_at(Instant::now() + GONE));
        assert!(told.try_recv().is_ok());
        conversation.cancel_lost(Instant::now() + GONE);
        assert!(told.try_recv().is_err(), "the client may come back");
        conversation.cancel_lost(Instant::now() + LOST);
        let cancelled = told.try_recv().unwrap();
        let wanted =
            br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
        assert_eq!(&cancelled[..], wanted);
        assert!(held(&conversation.state).pending.is_empty());
    }

    #[tokio::test]
    async fn who_leaves_too_many_requests_behind_is_refused() {
        let (conversation, _told, _says) = silent();
        for _ in 0..ABANDONED {
            let left = conversation.request("x", None, caller("alice")).await;
            drop(left.unwrap());
        }
        let refused = conversation.request("x", None, caller("alice")).await;
        assert!(matches!(refused, Err(upstream::Error::Busy)));
        let bobs = conversation.request("x", None, caller("bob")).await;
        assert!(bobs.is_ok());
    }
}
