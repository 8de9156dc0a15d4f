//! A corpus of requests that two programs could read differently. For each it is written what must become of it, and a
//! server behind the gateway writes down what it really got: never anything but what was decided.
//!
//! The requests are bytes on a socket, because HTTP clients do not write most of them.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]

mod bodies;
mod framing;
mod headers;
#[path = "../support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use support::{Stand, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// For one answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(45);

/// What must become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server gets the call of `echo`, as these bytes, once.
    Passes,
    /// The server gets nothing; the answer has this status and this reason. HTTP that is none has no reason.
    Refused(u16, &'static str),
}

/// One request.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    head: Vec<u8>,
    /// As it stands on the wire, with its chunks.
    wire: Vec<u8>,
    /// As the server must get it.
    body: Vec<u8>,
    /// The client says that it is done: for what would be waited for.
    ends: bool,
}

pub(crate) const PASSES: Verdict = Verdict::Passes;

pub(crate) fn refused(status: u16, reason: &'static str) -> Verdict {
    Verdict::Refused(status, reason)
}

pub(crate) const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;

const USUAL: [&str; 5] = [
    "POST /mcp HTTP/1.1",
    "Host: 127.0.0.1",
    "Content-Type: application/json",
    "Authorization: Bearer mcps_alice",
    "Connection: close",
];

impl Row {
    /// The usual head, with the body's length.
    pub(crate) fn body(name: &'static str, verdict: Verdict, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::of(name, verdict, &USUAL, &[], &body, body.clone()).measured()
    }

    /// A usual call with these lines more in its head.
    pub(crate) fn head(name: &'static str, verdict: Verdict, lines: &[&str], body: &str) -> Self {
        Self::of(name, verdict, &USUAL, lines, body.as_bytes(), body).measured()
    }

    /// A usual call with these lines in the places of those that begin alike. A request line may be the first.
    pub(crate) fn instead(name: &'static str, verdict: Verdict, lines: &[&str]) -> Self {
        let key = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        let (first, lines) = match lines.split_first() {
            Some((first, rest)) if first.contains(" HTTP/1.") => (*first, rest),
            Some(_) | None => (USUAL[0], lines),
        };
        let keys: Vec<String> = lines.iter().map(|line| key(line)).collect();
        let kept = USUAL[1..].iter().filter(|line| !keys.contains(&key(line)));
        let all: Vec<&str> = std::iter::once(first)
            .chain(kept.copied())
            .chain(lines.iter().copied().filter(|line| !line.ends_with(": ")))
            .collect();
        Self::of(name, verdict, &all, &[], CALL.as_bytes(), CALL).measured()
    }

    /// A usual call whose framing is in these lines and this wire.
    pub(crate) fn framed(
        name: &'static str,
        verdict: Verdict,
        lines: &[&str],
        wire: impl AsRef<[u8]>,
    ) -> Self {
        Self::of(name, verdict, &USUAL, lines, wire.as_ref(), CALL)
    }

    /// These very bytes.
    pub(crate) fn raw(name: &'static str, verdict: Verdict, bytes: &[u8]) -> Self {
        Self {
            name,
            verdict,
            head: bytes.to_vec(),
            wire: Vec::new(),
            body: CALL.into(),
            ends: false,
        }
    }

    fn of(
        name: &'static str,
        verdict: Verdict,
        usual: &[&str],
        more: &[&str],
        wire: &[u8],
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let mut head = Vec::new();
        for line in usual.iter().chain(more) {
            head.extend_from_slice(line.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        Self {
            name,
            verdict,
            head,
            wire: wire.to_vec(),
            body: body.into(),
            ends: false,
        }
    }

    fn measured(mut self) -> Self {
        let length = format!("Content-Length: {}\r\n", self.wire.len());
        self.head.extend_from_slice(length.as_bytes());
        self
    }

    /// The client closes its side after the request.
    pub(crate) fn ending(self) -> Self {
        Self { ends: true, ..self }
    }

    /// The bytes, with the row's name in a header that the gateway passes on.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        if !self.wire.is_empty() || bytes.ends_with(b"\r\n") && !bytes.ends_with(b"\r\n\r\n") {
            bytes.extend_from_slice(format!("X-Row: {}\r\n\r\n", self.name).as_bytes());
        }
        bytes.extend_from_slice(&self.wire);
        bytes
    }
}

/// One request as the server got it.
#[derive(Clone, Debug)]
struct Got {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

type Book = Arc<Mutex<Vec<Got>>>;

async fn write_down(
    State(book): State<Book>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> ([(&'static str, &'static str); 1], &'static str) {
    book.lock().unwrap().push(Got {
        method,
        uri,
        headers,
        body,
    });
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
    ([("content-type", "application/json")], answer)
}

async fn stand() -> (Stand, Book) {
    let book = Book::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = Router::new().fallback(write_down).with_state(book.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let mut world = World::new();
    world.grant("alice", &["echo"]);
    (Stand::in_front_of(world, port).listening().await, book)
}

/// Everything that comes back until the gateway closes the connection.
async fn sent(stand: &Stand, row: &Row) -> String {
    let bytes = row.bytes();
    let exchange = async {
        let stream = TcpStream::connect(stand.address).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        // The gateway may stop reading before the end of what it refuses, so both go on at once.
        let writing = tokio::spawn(async move {
            let _ = write.write_all(&bytes).await;
            write
        });
        if row.ends {
            let _ = writing.await.unwrap().shutdown().await;
        }
        let mut answer = Vec::new();
        // A reset after the answer is no news.
        let _ = read.read_to_end(&mut answer).await;
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await;
    let answer = answer.unwrap_or_else(|_| panic!("{}: no end of the answer", row.name));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status and reason of the first answer in these bytes.
fn outcome(answer: &str) -> (u16, String) {
    let answer = answer.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let mut messages = serde_json::Deserializer::from_str(body).into_iter::<Value>();
    let reason = match messages.next() {
        Some(Ok(message)) => message["error"]["data"]["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        Some(Err(_)) | None => String::new(),
    };
    (status.unwrap_or(0), reason)
}

/// Every member of an object, also those whose key stands twice.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

impl Members {
    fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }

    /// What any parser could take for this member.
    fn all(&self, key: &str) -> Vec<&str> {
        let alike =
            |given: &str| given.to_lowercase() == key || given.trim_end_matches('\0') == key;
        let found = self.0.iter().filter(|(given, _)| alike(given));
        found.map(|(_, value)| value.get()).collect()
    }
}

/// What any server could take these bytes for: the method and what is named.
fn readings(body: &[u8]) -> (Vec<String>, Vec<String>) {
    let message = Members::read(std::str::from_utf8(body).unwrap());
    let text = |raw: &str| serde_json::from_str::<String>(raw).unwrap();
    let methods = message.all("method").into_iter().map(text).collect();
    let params = message.all("params");
    let names = params
        .into_iter()
        .flat_map(|params| {
            let params = Members::read(params);
            params.all("name").into_iter().map(text).collect::<Vec<_>>()
        })
        .collect();
    (methods, names)
}

/// What never goes on to the server, whatever the caller sends.
const NEVER: [&str; 11] = [
    "transfer-encoding",
    "authorization",
    "mcp-session-id",
    "last-event-id",
    "upgrade",
    "http2-settings",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// What the server got otherwise than it must when a row passes.
fn differences(row: &Row, got: &Got) -> Vec<String> {
    let all = |header: &str| -> Vec<&str> {
        let values = got.headers.get_all(header).iter();
        values.map(|value| value.to_str().unwrap()).collect()
    };
    let repeats = |header: &str, expected: &str| {
        let fits = |given: &&str| *given == expected || given.starts_with("=?base64?");
        all(header).iter().all(fits)
    };
    let length = row.body.len().to_string();
    let reading = (vec!["tools/call".to_owned()], vec!["echo".to_owned()]);
    let mut checks = vec![
        ("verb", got.method == Method::POST),
        ("target", got.uri == "/mcp"),
        ("body", got.body == row.body),
        ("reading", readings(&got.body) == reading),
        ("length", all("content-length") == [length]),
        ("type", all("content-type").len() == 1),
        (
            "host",
            all("host")
                .iter()
                .all(|host| host.starts_with("127.0.0.1:")),
        ),
        ("Mcp-Method", repeats("mcp-method", "tools/call")),
        ("Mcp-Name", repeats("mcp-name", "echo")),
        (
            "underscores",
            !got.headers.keys().any(|key| key.as_str().contains('_')),
        ),
    ];
    checks.extend(NEVER.map(|header| (header, all(header).is_empty())));
    checks
        .into_iter()
        .filter(|(_, good)| !good)
        .map(|(what, _)| format!("{}: {what} in {got:?}", row.name))
        .collect()
}

/// Sends a row and holds the gateway to its verdict.
async fn check(stand: &Stand, book: &Book, row: &Row) -> Result<(), String> {
    let answer = sent(stand, row).await;
    let got: Vec<Got> = std::mem::take(&mut *book.lock().unwrap());
    let marked = |got: &&Got| {
        got.headers
            .get("x-row")
            .is_some_and(|value| value == row.name)
    };
    let (own, others): (Vec<&Got>, Vec<&Got>) = got.iter().partition(marked);
    // The gateway asks a few things itself, but never calls.
    for other in others {
        let own = ["server/discover", "initialize", "notifications/initialized"];
        let (methods, names) = readings(&other.body);
        let listing = |method: &String| method.ends_with("/list") || own.contains(&method.as_str());
        if !methods.iter().all(listing) || !names.is_empty() {
            return Err(format!("{}: the server got {other:?}", row.name));
        }
    }
    let (status, reason) = outcome(&answer);
    let expected = match row.verdict {
        Verdict::Passes => (200, "", 1),
        Verdict::Refused(status, reason) => (status, reason, 0),
    };
    if (status, reason.as_str(), own.len()) != expected {
        let start: String = answer.chars().take(600).collect();
        return Err(format!(
            "{}: {status} {reason:?}, {} requests to the server, but it must be {expected:?}: {start}",
            row.name,
            own.len()
        ));
    }
    let wrong: Vec<String> = own.iter().flat_map(|got| differences(row, got)).collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

#[tokio::test]
async fn the_server_gets_nothing_but_what_was_decided() {
    let (stand, book) = stand().await;
    let rows: Vec<Row> = bodies::rows()
        .into_iter()
        .chain(framing::rows())
        .chain(headers::rows())
        .collect();
    let mut wrong = Vec::new();
    for row in &rows {
        if let Err(what) = check(&stand, &book, row).await {
            wrong.push(what);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let passes = rows.iter().filter(|row| row.verdict == PASSES).count();
    println!(
        "{} requests: {passes} pass, {} are refused",
        rows.len(),
        rows.len() - passes
    );
    // What passed is in the audit as what the server got.
    let allowed =
        || stand.audit(|line| line["decision"] == "allow" && line["http_method"] == "POST");
    stand
        .until("every line is there", || async {
            allowed().len() >= passes
        })
        .await;
    let lines = allowed();
    assert_eq!(lines.len(), passes);
    for line in lines {
        assert_eq!(
            (&line["method"], &line["name"]),
            (&"tools/call".into(), &"echo".into()),
            "{line}"
        );
    }
}
