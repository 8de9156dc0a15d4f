//! The gateway under load for a while: 500 messages a second from right and wrong callers, a new bundle every second that
//! revokes, restores and takes away, streams that must end with their sessions, and callers that hang up half-way.
//!
//! No answer may be wrong, no audit line may be missing, and memory may not grow. `KUBECTL_MCP_SOAK_SECONDS` says how
//! long; the default is a sample for the test suite, `cargo xtask soak gateway` runs for half an hour.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use support::*;
use tokio::io::AsyncWriteExt as _;

const SAMPLE: u64 = 20;
const PER_SECOND: u32 = 500;
const WORKERS: u32 = 16;
const PEOPLE: usize = 50;
/// The first of them are those whose access changes.
const CHANGING: usize = 4;
/// Generous, because machines are busy: what must happen must happen at all.
const DEADLINE: Duration = Duration::from_secs(60);
/// What the allocator may keep between two quarters of the time, in MiB.
const GROWTH: f64 = 2.0;

/// What a person may do now, as far as the gateway is known to have heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    Call,
    BeRevoked,
    BeWithoutGrant,
    /// The bundle is on its way.
    Unsettled,
}

struct Person {
    name: String,
    session: String,
    /// With the number of changes so far: equal before and after a call means that nothing changed meanwhile.
    now: Mutex<(May, u64)>,
}

impl Person {
    fn now(&self) -> (May, u64) {
        *self.now.lock().unwrap()
    }

    fn becomes(&self, may: May) {
        let mut now = self.now.lock().unwrap();
        *now = (may, now.1 + 1);
    }
}

/// What the workers share.
struct Soak {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    people: Vec<Person>,
    over: AtomicBool,
    answered: AtomicU64,
    judged: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

/// Says who called what, so that an answer that went astray is noticed.
async fn serve(headers: HeaderMap, Json(message): Json<Value>) -> Response {
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "soak", "version": "1" }
        }),
        "tools/list" => json!({ "tools": [{ "name": "echo" }, { "name": "wipe" }] }),
        "tools/call" => {
            let who = headers["x-mcp-human-id"].to_str().unwrap();
            let params = &message["params"];
            let text = said(who, params["arguments"]["nonce"].as_u64().unwrap());
            json!({ "content": [{ "type": "text", "text": text }] })
        }
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
    ([("mcp-session-id", "one")], Json(answer)).into_response()
}

/// A stream that says one thing and stays open.
async fn listen() -> Response {
    let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b": open\n\n"))]);
    let body = Body::from_stream(first.chain(futures::stream::pending()));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn said(who: &str, nonce: u64) -> String {
    format!("{who} called echo {nonce}")
}

/// Numbers that look random, and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

impl Soak {
    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    async fn send(
        &self,
        method: Method,
        token: &str,
        session: &str,
        body: &Value,
    ) -> Option<http::Response<hyper::body::Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}/mcp", self.address))
            .header("authorization", format!("Bearer {token}"))
            .header("mcp-session-id", session)
            .header("mcp-protocol-version", "2025-11-25")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        match self.client.request(request).await {
            Ok(response) => Some(response),
            Err(error) => {
                self.wrong(format!("no answer: {error:?}"));
                None
            }
        }
    }

    async fn ask(&self, token: &str, session: &str, body: &Value) -> Option<Reply> {
        let response = self.send(Method::POST, token, session, body).await?;
        let reply = whole(response).await;
        self.answered.fetch_add(1, Ordering::Relaxed);
        Some(reply)
    }

    /// One random message, right or wrong.
    async fn message(&self, numbers: &mut Numbers) {
        let person = &self.people[numbers.below(PEOPLE)];
        let other = &self.people[numbers.below(PEOPLE)];
        let nonce = numbers.next() >> 16;
        match numbers.below(100) {
            0..70 => self.call(person, nonce).await,
            70..80 => self.list(person).await,
            80..85 => self.denied(person).await,
            85..90 => self.unknown(person, nonce).await,
            90..95 => self.stolen(person, other).await,
            _ => self.hang_up(person).await,
        }
    }

    async fn call(&self, person: &Person, nonce: u64) {
        let body = calling("echo", nonce);
        self.judge(person, &body, |reply| {
            reply.message()["result"]["content"][0]["text"] == said(&person.name, nonce)
        })
        .await;
    }

    async fn list(&self, person: &Person) {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let before = person.now();
        let Some(reply) = self.ask(&token(person), &person.session, &body).await else {
            return;
        };
        let listed = &reply.message()["result"]["tools"];
        let right = match before.0 {
            May::Call => *listed == json!([{ "name": "echo" }]),
            May::BeWithoutGrant => *listed == json!([]),
            May::BeRevoked => reply.reason() == "session_revoked",
            May::Unsettled => return,
        };
        self.settle(person, before, right, &reply);
    }

    async fn denied(&self, person: &Person) {
        let body = calling("wipe", 0);
        self.judge(person, &body, |reply| reply.reason() == "tool_not_granted")
            .await;
    }

    /// Sends what `person` sends when it may call, and looks at the answer by what it may now.
    async fn judge(&self, person: &Person, body: &Value, right: impl Fn(&Reply) -> bool) {
        let before = person.now();
        let Some(reply) = self.ask(&token(person), &person.session, body).await else {
            return;
        };
        let right = match before.0 {
            May::Call => reply.status == StatusCode::OK && right(&reply),
            May::BeWithoutGrant => reply.reason() == "no_matching_grant",
            May::BeRevoked => {
                reply.status == StatusCode::UNAUTHORIZED && reply.reason() == "session_revoked"
            }
            May::Unsettled => return,
        };
        self.settle(person, before, right, &reply);
    }

    fn settle(&self, person: &Person, before: (May, u64), right: bool, reply: &Reply) {
        if person.now() != before {
            return;
        }
        self.judged.fetch_add(1, Ordering::Relaxed);
        if !right {
            self.wrong(format!("{} with {before:?} got {reply:?}", person.name));
        }
    }

    async fn unknown(&self, person: &Person, nonce: u64) {
        let body = calling("echo", nonce);
        let reply = self.ask("mcps_nobody", &person.session, &body).await;
        self.refused(reply, "invalid_token");
    }

    /// Somebody else's MCP session.
    async fn stolen(&self, person: &Person, other: &Person) {
        if person.name == other.name || person.now().0 != May::Call || other.now().0 != May::Call {
            return;
        }
        let before = (person.now(), other.now());
        let body = calling("echo", 1);
        let reply = self.ask(&token(person), &other.session, &body).await;
        if before == (person.now(), other.now()) {
            self.refused(reply, "mcp_session_not_found");
        }
    }

    fn refused(&self, reply: Option<Reply>, reason: &str) {
        let Some(reply) = reply else { return };
        self.judged.fetch_add(1, Ordering::Relaxed);
        if reply.reason() != reason {
            self.wrong(format!("expected {reason}, got {reply:?}"));
        }
    }

    /// Sends half of a message, and is gone.
    async fn hang_up(&self, person: &Person) {
        let Ok(mut stream) = tokio::net::TcpStream::connect(self.address).await else {
            return self.wrong("no connection".to_owned());
        };
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: 500\r\n\r\n{{\"jsonrpc\":",
            token(person)
        );
        stream.write_all(head.as_bytes()).await.ok();
    }
}

fn token(person: &Person) -> String {
    format!("mcps_{}", person.name)
}

fn calling(tool: &str, nonce: u64) -> Value {
    let params = json!({ "name": tool, "arguments": { "nonce": nonce } });
    json!({ "jsonrpc": "2.0", "id": nonce, "method": "tools/call", "params": params })
}

/// Sends its share of the messages until it is over.
async fn work(soak: Arc<Soak>, seed: u64) {
    let mut numbers = Numbers(seed);
    let mut tick = tokio::time::interval(Duration::from_secs(1) * WORKERS / PER_SECOND);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !soak.over.load(Ordering::Relaxed) {
        tick.tick().await;
        soak.message(&mut numbers).await;
    }
}

/// Changes the access of one person, and waits until the gateway has it: its stream ends if it is revoked.
async fn change(stand: &mut Stand, soak: &Soak, turn: usize) {
    let index = turn / 4 % CHANGING;
    let person = &soak.people[index];
    let may = [May::BeRevoked, May::Call, May::BeWithoutGrant, May::Call][turn % 4];
    let stream = if may == May::BeRevoked {
        soak.send(Method::GET, &token(person), &person.session, &Value::Null)
            .await
    } else {
        None
    };
    person.becomes(May::Unsettled);
    let own = |name: &Option<String>| name.as_deref() == Some(person.name.as_str());
    for session in &mut stand.world.sessions {
        if own(&session.spec.subject.human_id) {
            session.spec.revoked = may == May::BeRevoked;
        }
    }
    for grant in &mut stand.world.grants {
        if own(&grant.spec.subject.human_id) {
            grant.spec.disabled = may == May::BeWithoutGrant;
        }
    }
    let sequence = stand.publish();
    let began = Instant::now();
    let in_force = format!("mcp_gateway_policy_sequence {sequence}\n");
    while !stand.admin("/metrics").await.body.contains(&in_force) {
        if began.elapsed() > DEADLINE {
            return soak.wrong(format!(
                "bundle {sequence} is not in force after {DEADLINE:?}"
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    person.becomes(may);
    if let Some(stream) = stream {
        if stream.status() != StatusCode::OK {
            return soak.wrong(format!("no stream: {stream:?}"));
        }
        let ended = tokio::time::timeout(DEADLINE, stream.into_body().collect()).await;
        if ended.is_err() {
            soak.wrong(format!("the stream of {} goes on", person.name));
        }
        soak.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Memory that is the gateway's own, in MiB.
fn memory(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap();
    kib / 1024.0
}

async fn prepare() -> (Stand, Arc<Soak>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = Router::new().route("/mcp", post(serve).get(listen));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let mut world = World::new();
    let names: Vec<_> = (0..PEOPLE).map(|i| format!("person-{i}")).collect();
    for name in &names {
        world.session(name);
        world.grant(name, &["echo"]);
    }
    let stand = Stand::in_front_of(world, port).listening().await;
    let mut people = Vec::new();
    for name in names {
        let session = stand.initialize(&name).await;
        let now = Mutex::new((May::Call, 0));
        people.push(Person { name, session, now });
    }
    let soak = Soak {
        address: stand.address,
        client: Client::builder(TokioExecutor::new()).build_http(),
        people,
        over: AtomicBool::new(false),
        answered: AtomicU64::new(0),
        judged: AtomicU64::new(0),
        wrong: Mutex::default(),
    };
    (stand, Arc::new(soak))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_wrong_and_memory_does_not_grow() {
    let seconds = std::env::var("KUBECTL_MCP_SOAK_SECONDS");
    let seconds = seconds.map_or(SAMPLE, |text| text.parse().expect("a number of seconds"));
    let (mut stand, soak) = Box::pin(prepare()).await;
    stand.forget_audit();
    let began = Instant::now();
    let workers: Vec<_> = (1..=u64::from(WORKERS))
        .map(|seed| tokio::spawn(work(Arc::clone(&soak), seed * 7919)))
        .collect();

    let mut memories = Vec::new();
    let mut lines = 0;
    let mut turn = 0;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while began.elapsed() < Duration::from_secs(seconds) && soak.wrong.lock().unwrap().is_empty() {
        tick.tick().await;
        change(&mut stand, &soak, turn).await;
        turn += 1;
        lines += stand.forget_audit();
        memories.push(memory(stand.pid()));
    }
    soak.over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    let took = began.elapsed();
    let answered = soak.answered.load(Ordering::Relaxed);
    lines += all_lines(&stand, answered.saturating_sub(lines)).await;

    println!(
        "{} s: {answered} answers, {} of them judged, {lines} audit lines, {turn} bundles; RssAnon in MiB: {}",
        took.as_secs(),
        soak.judged.load(Ordering::Relaxed),
        series(&memories),
    );
    let wrong = soak.wrong.lock().unwrap();
    assert!(
        wrong.is_empty(),
        "{} wrong: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
    assert!(
        lines >= answered,
        "{answered} answers made {lines} audit lines"
    );
    let most = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let quarter = memories.len() / 4;
    let early = most(&memories[quarter..=2 * quarter]);
    let late = most(&memories[3 * quarter..]);
    assert!(
        late < early + GROWTH,
        "from {early:.1} to {late:.1} MiB: {memories:.1?}"
    );
}

/// Waits for the audit lines of the last answers, of which `missing` are still to come; how many came. A line that the
/// gateway counted as lost is not waited for.
async fn all_lines(stand: &Stand, missing: u64) -> u64 {
    let began = Instant::now();
    let mut came = stand.forget_audit();
    while came < missing && began.elapsed() < DEADLINE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        came += stand.forget_audit();
    }
    came + dropped(&stand.admin("/metrics").await.body)
}

fn dropped(metrics: &str) -> u64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("mcp_gateway_audit_dropped_total "));
    line.and_then(|number| number.parse().ok()).unwrap()
}

/// At most a dozen values, evenly spread.
fn series(memories: &[f64]) -> String {
    let step = memories.len().div_ceil(12).max(1);
    let some: Vec<_> = memories
        .iter()
        .step_by(step)
        .map(|mib| format!("{mib:.1}"))
        .collect();
    some.join(" ")
}
