//! One legacy session of a caller, with the streams on which it listens and a bounded store of what was sent on them,
//! so that a client whose connection broke can go on from `Last-Event-ID`.
//!
//! A session knows nothing of the process behind it: when that one ends, the session lives on with the next.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::pool::Key;
use super::{Draft, held};

/// The stream that answers GET.
pub(super) const STANDALONE: u64 = 0;
/// Most events that are kept for a resumption, over all streams of a session.
const EVENTS: usize = 256;
/// Most bytes of them.
const BYTES: usize = 1024 * 1024;
/// Longest parameters of `initialize` in bytes: each session keeps them, and several times.
pub(super) const INITIALIZE: usize = 16 * 1024;
/// Most resources to which a session may subscribe, as for a modern caller.
pub(super) const SUBSCRIBED: usize = 128;
/// Longest of their URIs in bytes; no real one comes near it.
pub(super) const URI: usize = 4096;
/// Most requests of servers that may wait for the client's answers: a client that answers has a few.
const ASKED: usize = 256;
/// Longest id of such a request in bytes; servers use numbers and UUIDs.
const ASKED_ID: usize = 1024;
/// The levels of log messages.
const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];
/// Pieces that may wait for a connection; more than [`EVENTS`], so that a replay always fits.
pub(super) const WAITING: usize = 1024;

/// A legacy session.
#[derive(Debug)]
pub(super) struct Session {
    /// The id that the pipeline seals for the caller.
    pub(super) id: String,
    /// Whose it is.
    pub(super) principal: String,
    /// Whose process serves it.
    pub(super) key: Key,
    /// The parameters of its `initialize`, to be replayed to another process.
    pub(super) initialize: String,
    /// Whether it is of a version that knows events without data.
    primed: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    streams: HashMap<u64, Stream>,
    next_stream: u64,
    events: VecDeque<Event>,
    bytes: usize,
    asked: HashMap<u64, Asked>,
    next_asked: u64,
    subscribed: HashSet<String>,
    /// One of [`LEVELS`].
    level: Option<&'static str>,
    used: Instant,
}

#[derive(Debug, Default)]
struct Stream {
    /// Number of the last event.
    last: u64,
    /// Number of the last event that was given to a connection.
    given: u64,
    sink: Option<mpsc::Sender<Bytes>>,
    ended: bool,
}

#[derive(Debug)]
struct Event {
    stream: u64,
    number: u64,
    bytes: Bytes,
}

/// A request of the server that waits for the client's answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The conversation in which it was asked.
    pub(super) conversation: u64,
    /// Source text of the server's id.
    pub(super) id: String,
}

impl Session {
    /// A session without streams.
    pub(super) fn new(id: String, principal: &str, key: Key, draft: &Draft) -> Self {
        let state = State {
            streams: HashMap::from([(STANDALONE, Stream::default())]),
            next_stream: STANDALONE + 1,
            events: VecDeque::new(),
            bytes: 0,
            asked: HashMap::new(),
            next_asked: 1,
            subscribed: HashSet::new(),
            level: None,
            used: Instant::now(),
        };
        Self {
            id,
            principal: principal.to_owned(),
            key,
            initialize: draft.params.clone(),
            primed: draft.version.as_str() >= "2025-11-25",
            state: Mutex::new(state),
        }
    }

    /// Notes that the client was heard of.
    pub(super) fn touch(&self) {
        held(&self.state).used = Instant::now();
    }

    /// When the client was last heard of.
    pub(super) fn used(&self) -> Instant {
        held(&self.state).used
    }

    /// Whether a connection listens to one of its streams.
    pub(super) fn is_listening(&self) -> bool {
        let state = held(&self.state);
        let mut sinks = state.streams.values().filter_map(|s| s.sink.as_ref());
        sinks.any(|sink| !sink.is_closed())
    }

    /// Whether a connection listens to this stream.
    pub(super) fn is_connected(&self, stream: u64) -> bool {
        let state = held(&self.state);
        let sink = state.streams.get(&stream).and_then(|s| s.sink.as_ref());
        sink.is_some_and(|sink| !sink.is_closed())
    }

    /// A new stream for the answer to one request, and the connection's end of it.
    pub(super) fn open(&self) -> (u64, mpsc::Receiver<Bytes>) {
        let (sink, receiver) = mpsc::channel(WAITING);
        let mut state = held(&self.state);
        let number = state.next_stream;
        state.next_stream += 1;
        let stream = Stream {
            sink: Some(sink),
            ..Stream::default()
        };
        state.streams.insert(number, stream);
        if self.primed {
            state.put(number, None);
        }
        (number, receiver)
    }

    /// Connects to the standalone stream. What came before anybody listened comes first.
    pub(super) fn listen(&self) -> mpsc::Receiver<Bytes> {
        let mut state = held(&self.state);
        let after = state.streams.get(&STANDALONE).map_or(0, |s| s.given);
        state.connect(STANDALONE, after)
    }

    /// Connects again to the stream of the event `last`, after it. `None` if there is no such stream.
    pub(super) fn resume(&self, last: &str) -> Option<mpsc::Receiver<Bytes>> {
        let (stream, number) = last.split_once('-')?;
        let (stream, number) = (stream.parse().ok()?, number.parse().ok()?);
        let mut state = held(&self.state);
        let known = state.streams.get(&stream).map(|s| s.last)?;
        (number <= known).then(|| state.connect(stream, number))
    }

    /// Sends one message on a stream, and keeps it.
    pub(super) fn deliver(&self, stream: u64, message: &str) {
        held(&self.state).put(stream, Some(message));
    }

    /// Keeps the connection of a stream from being taken for dead.
    pub(super) fn keep_alive(&self, stream: u64) {
        let mut state = held(&self.state);
        if let Some(stream) = state.streams.get_mut(&stream) {
            stream.give(Bytes::from_static(super::answering::KEEP_ALIVE));
        }
    }

    /// Ends a stream: its events can be asked for again until others push them out.
    pub(super) fn close(&self, stream: u64) {
        let mut state = held(&self.state);
        if let Some(stream) = state.streams.get_mut(&stream) {
            stream.ended = true;
            stream.sink = None;
        }
        state.forget_ended();
    }

    /// Remembers a request of the server, and gives the id by which the client knows it. `None` if too much waits for
    /// the client already.
    pub(super) fn ask(&self, conversation: u64, id: &str) -> Option<u64> {
        let mut state = held(&self.state);
        if state.asked.len() >= ASKED {
            // What an ended conversation asked is answered to nobody.
            state.asked.retain(|_, a| a.conversation == conversation);
        }
        if state.asked.len() >= ASKED || id.len() > ASKED_ID {
            return None;
        }
        let number = state.next_asked;
        state.next_asked += 1;
        let id = id.to_owned();
        state.asked.insert(number, Asked { conversation, id });
        Some(number)
    }

    /// The request that the client answers.
    pub(super) fn answered(&self, id: &str) -> Option<Asked> {
        held(&self.state).asked.remove(&id.parse().ok()?)
    }

    /// The client's id of a request that the server takes back.
    pub(super) fn taken_back(&self, conversation: u64, id: &str) -> Option<u64> {
        let mut state = held(&self.state);
        let is_it = |asked: &Asked| asked.conversation == conversation && asked.id == id;
        let number = state
            .asked
            .iter()
            .find(|(_, a)| is_it(a))
            .map(|(n, _)| *n)?;
        state.asked.remove(&number);
        Some(number)
    }

    /// Notes that the client wants to hear of a resource. `false` if that would be too many, or the URI is too long.
    pub(super) fn subscribe(&self, uri: &str) -> bool {
        let mut state = held(&self.state);
        if state.subscribed.contains(uri) {
            return true;
        }
        let fits = uri.len() <= URI && state.subscribed.len() < SUBSCRIBED;
        if fits {
            state.subscribed.insert(uri.to_owned());
        }
        fits
    }

    /// Notes that the client wants to hear of a resource no more.
    pub(super) fn unsubscribe(&self, uri: &str) {
        held(&self.state).subscribed.remove(uri);
    }

    /// Whether the client wants to hear of a resource.
    pub(super) fn is_subscribed(&self, uri: &str) -> bool {
        held(&self.state).subscribed.contains(uri)
    }

    /// Notes the level of `logging/setLevel`, if there is such a level.
    pub(super) fn set_level(&self, level: &str) {
        if let Some(known) = LEVELS.into_iter().find(|known| *known == level) {
            held(&self.state).level = Some(known);
        }
    }

    /// What another process must be told again: subscribed resources, and the level of log messages.
    pub(super) fn wishes(&self) -> (Vec<String>, Option<&'static str>) {
        let state = held(&self.state);
        (state.subscribed.iter().cloned().collect(), state.level)
    }
}

impl State {
    /// Keeps an event, without data if there is none, and gives it to the connection.
    fn put(&mut self, number: u64, message: Option<&str>) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        if message.is_some() {
            stream.last += 1;
        }
        let id = format!("{number}-{}", stream.last);
        let bytes = Bytes::from(match message {
            Some(message) => format!("id: {id}\nevent: message\ndata: {message}\n\n"),
            None => format!("id: {id}\ndata: \n\n"),
        });
        if message.is_some() {
            self.bytes += bytes.len();
            let (stream, number) = (number, stream.last);
            let bytes = bytes.clone();
            let event = Event {
                stream,
                number,
                bytes,
            };
            self.events.push_back(event);
        }
        stream.give(bytes);
        while self.events.len() > EVENTS || self.bytes > BYTES {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes.len();
        }
    }

    /// A new connection to a stream, beginning with the kept events after `after`. The one before it ends.
    fn connect(&mut self, number: u64, after: u64) -> mpsc::Receiver<Bytes> {
        let (sink, receiver) = mpsc::channel(WAITING);
        let Some(stream) = self.streams.get_mut(&number) else {
            return receiver;
        };
        stream.sink = Some(sink);
        let missed = self.events.iter();
        for event in missed.filter(|e| e.stream == number && e.number > after) {
            stream.give(event.bytes.clone());
        }
        if stream.ended {
            stream.sink = None;
        }
        receiver
    }

    /// Forgets ended streams of which no event is left.
    fn forget_ended(&mut self) {
        let kept: HashSet<u64> = self.events.iter().map(|e| e.stream).collect();
        self.streams
            .retain(|number, stream| !stream.ended || kept.contains(number));
    }
}

impl Stream {
    /// Gives bytes to the connection; one that is gone or does not read loses the stream, and may resume.
    fn give(&mut self, bytes: Bytes) {
        let Some(sink) = &self.sink else { return };
        match sink.try_send(bytes) {
            Ok(()) => self.given = self.last,
            Err(_) => self.sink = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::{Key, Owner, Profile};
    use super::*;

    fn session(version: &str) -> Session {
        let key = Key {
            owner: Owner::Everybody,
            profile: Profile::Modern,
        };
        let draft = Draft {
            params: "{}".to_owned(),
            version: version.to_owned(),
            capabilities: "{}".to_owned(),
        };
        Session::new("s".to_owned(), "alice", key, &draft)
    }

    fn read(receiver: &mut mpsc::Receiver<Bytes>) -> String {
        let mut all = Vec::new();
        while let Ok(bytes) = receiver.try_recv() {
            all.extend_from_slice(&bytes);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn what_came_before_anybody_listened_comes_first_and_once() {
        let session = session("2025-06-18");
        session.deliver(STANDALONE, "1");
        let mut first = session.listen();
        session.deliver(STANDALONE, "2");
        assert_eq!(
            read(&mut first),
            "id: 0-1\nevent: message\ndata: 1\n\nid: 0-2\nevent: message\ndata: 2\n\n"
        );
        assert_eq!(read(&mut session.listen()), "");
    }

    #[test]
    fn a_broken_stream_goes_on_after_the_last_event_that_was_seen() {
        let session = session("2025-11-25");
        let (stream, mut receiver) = session.open();
        session.deliver(stream, "1");
        assert_eq!(
            read(&mut receiver),
            "id: 1-0\ndata: \n\nid: 1-1\nevent: message\ndata: 1\n\n"
        );
        drop(receiver);
        session.deliver(stream, "2");
        let mut again = session.resume("1-1").unwrap();
        session.deliver(stream, "3");
        session.close(stream);
        assert_eq!(
            read(&mut again),
            "id: 1-2\nevent: message\ndata: 2\n\nid: 1-3\nevent: message\ndata: 3\n\n"
        );
        assert!(again.is_closed(), "the stream has ended");
        let mut later = session.resume("1-2").unwrap();
        assert!(read(&mut later).starts_with("id: 1-3"));
        for unknown in ["", "x", "1", "9-1", "1-9", "1-1-1", "-1"] {
            assert!(session.resume(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn the_store_is_bounded_and_forgets_ended_streams() {
        let session = session("2025-06-18");
        let (stream, _receiver) = session.open();
        session.deliver(stream, "old");
        session.close(stream);
        for _ in 0..EVENTS {
            session.deliver(STANDALONE, "new");
        }
        let (other, _receiver) = session.open();
        session.close(other);
        assert!(session.resume("1-0").is_none());
        assert_eq!(held(&session.state).events.len(), EVENTS);
        session.deliver(STANDALONE, &"x".repeat(BYTES));
        assert!(held(&session.state).bytes <= BYTES);
    }

    #[test]
    fn a_request_of_the_server_is_answered_once() {
        let session = session("2025-06-18");
        let number = session.ask(4, r#""q""#).unwrap();
        let asked = session.answered(&number.to_string());
        let (conversation, id) = (4, r#""q""#.to_owned());
        assert_eq!(asked, Some(Asked { conversation, id }));
        assert_eq!(session.answered(&number.to_string()), None);
        assert_eq!(session.answered("\"1\""), None);
    }

    #[test]
    fn what_waits_for_the_client_is_bounded() {
        let session = session("2025-06-18");
        assert_eq!(session.ask(4, &"9".repeat(ASKED_ID + 1)), None);
        for id in 0..ASKED {
            assert!(session.ask(4, &id.to_string()).is_some());
        }
        assert_eq!(session.ask(4, "x"), None);
        assert!(session.ask(5, "x").is_some(), "the one before has ended");
    }

    #[test]
    fn what_a_client_wishes_is_bounded() {
        let session = session("2025-06-18");
        assert!(!session.subscribe(&"u".repeat(URI + 1)));
        for number in 0..SUBSCRIBED {
            assert!(session.subscribe(&number.to_string()));
        }
        assert!(!session.subscribe("one more"));
        assert!(session.subscribe("0"), "it is known");
        session.unsubscribe("0");
        assert!(session.subscribe("one more"));
        session.set_level("error");
        session.set_level(&"x".repeat(BYTES));
        assert_eq!(session.wishes().1, Some("error"));
    }
}
