//! A small server of both eras whose calls take as long as a test wants.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::{SideEffect, Tool};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::{Reply, Stand, World, whole};

/// A server of both eras. `hold` answers once the test lets it, `stream` begins a stream and does not end it.
pub struct Fixture {
    sessions: Mutex<HashSet<String>>,
    /// What was deleted, in order.
    deleted: Mutex<Vec<String>>,
    /// Answers that the test has let go.
    pub released: Semaphore,
    /// Calls of `hold` that have begun.
    pub held: Semaphore,
}

pub type Shared = Arc<Fixture>;

async fn answer(
    State(fixture): State<Shared>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let session = headers.get("mcp-session-id");
    let session = session.map(|id| id.to_str().unwrap().to_owned());
    if let Some(id) = &session {
        let mut sessions = fixture.sessions.lock().unwrap();
        let known = match method {
            Method::DELETE => sessions.remove(id),
            _ => sessions.contains(id),
        };
        if !known {
            return StatusCode::NOT_FOUND.into_response();
        }
    }
    match method {
        Method::DELETE => {
            fixture.deleted.lock().unwrap().extend(session);
            StatusCode::OK.into_response()
        }
        Method::GET => events(": open\n\n".to_owned()),
        _ => message(&fixture, serde_json::from_slice(&body).unwrap()).await,
    }
}

async fn message(fixture: &Fixture, message: Value) -> Response {
    let id = &message["id"];
    let result = |result: Value| {
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
        (
            [(header::CONTENT_TYPE, "application/json")],
            answer.to_string(),
        )
            .into_response()
    };
    let params = &message["params"];
    match (message["method"].as_str().unwrap(), params["name"].as_str()) {
        ("initialize", _) => {
            let mut sessions = fixture.sessions.lock().unwrap();
            let ended = fixture.deleted.lock().unwrap().len();
            let client = params["clientInfo"]["name"].as_str().unwrap();
            let new = format!("{client}-{}", sessions.len() + ended);
            sessions.insert(new.clone());
            let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                                "serverInfo": { "name": "fixture", "version": "1" } });
            let mut response = result(hello);
            let new = new.parse().unwrap();
            response.headers_mut().insert("mcp-session-id", new);
            response
        }
        ("tools/list", _) => result(json!({ "tools": [{ "name": "echo" }, { "name": "hold" }] })),
        ("tools/call", Some("hold")) => {
            fixture.held.add_permits(1);
            fixture.released.acquire().await.unwrap().forget();
            result(json!({ "content": [] }))
        }
        ("tools/call", Some("stream")) => {
            let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                                   "params": { "progressToken": "p", "progress": 1 } });
            events(format!("data: {progress}\n\n"))
        }
        ("tools/call", _) => result(params["arguments"].clone()),
        ("subscriptions/listen", _) => {
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
            let first = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                                "params": { "notifications": {}, "_meta": meta } });
            events(format!("data: {first}\n\n"))
        }
        ("server/discover", _) => StatusCode::NOT_FOUND.into_response(),
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

/// A stream that begins so and goes on for ever.
fn events(first: String) -> Response {
    let first = futures::stream::iter([Ok::<_, Infallible>(first)]);
    let body = Body::from_stream(first.chain(futures::stream::pending()));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Starts it, on a port of loopback.
pub async fn fixture() -> (Shared, u16) {
    let fixture = Arc::new(Fixture {
        sessions: Mutex::default(),
        deleted: Mutex::default(),
        released: Semaphore::new(0),
        held: Semaphore::new(0),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&fixture));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (fixture, port)
}

/// Long enough for any machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Alice may call what is there.
pub fn world() -> World {
    let mut world = World::new();
    world
        .server
        .spec
        .tools
        .extend(["hold", "stream"].map(|name| Tool {
            name: name.to_owned(),
            side_effect: Some(SideEffect::Read),
            ..Tool::default()
        }));
    world.grant("alice", &["echo", "hold", "stream"]);
    world
}

/// Alice's gateway, and the server behind it.
pub async fn stand(world: World) -> (Stand, Shared) {
    let (fixture, port) = fixture().await;
    let stand = Stand::in_front_of(world, port);
    stand
        .until("the gateway is ready", || async {
            stand.admin("/readyz").await.status == StatusCode::OK
        })
        .await;
    (stand, fixture)
}

/// Alice's request of the modern era.
pub async fn modern(stand: &Stand, method: &str, params: Value) -> http::Response<Incoming> {
    let mut params = params;
    params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                              "io.modelcontextprotocol/clientCapabilities": {} });
    let body = json!({ "jsonrpc": "2.0", "id": "m", "method": method, "params": params });
    let mut headers = vec![
        ("authorization", "Bearer mcps_alice"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
    ];
    let name = params["name"].as_str().unwrap_or_default();
    if !name.is_empty() {
        headers.push(("mcp-name", name));
    }
    stand.send(Method::POST, &headers, &body.to_string()).await
}

pub async fn call(stand: &Stand, tool: &str) -> http::Response<Incoming> {
    modern(
        stand,
        "tools/call",
        json!({ "name": tool, "arguments": {} }),
    )
    .await
}

/// Alice's stream of a legacy session.
pub async fn listening(stand: &Stand, session: &str) -> http::Response<Incoming> {
    let headers = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session),
        ("accept", "text/event-stream"),
    ];
    stand.send(Method::GET, &headers, "").await
}

/// The rest of a stream, once it ends.
pub async fn rest(response: http::Response<Incoming>) -> String {
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect());
    let body = body.await.expect("the stream ends").expect("it ends well");
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// Waits until a call of `hold` has begun.
pub async fn until_held(fixture: &Fixture) {
    let held = tokio::time::timeout(PATIENCE, fixture.held.acquire());
    held.await.expect("the call begins").unwrap().forget();
}

/// How many sessions of callers, not of the gateway itself, were deleted.
pub fn deleted(fixture: &Fixture) -> usize {
    let deleted = fixture.deleted.lock().unwrap();
    deleted.iter().filter(|id| id.starts_with("test-")).count()
}

/// Revokes every session.
pub fn revoke(stand: &mut Stand) {
    for session in &mut stand.world.sessions {
        session.spec.revoked = true;
    }
    stand.publish();
}

/// Alice's message.
pub fn alices(to: SocketAddr, headers: &[(&str, &str)], body: String) -> Request<Full<Bytes>> {
    let mut request = Request::post(format!("http://{to}/mcp"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("authorization", "Bearer mcps_alice");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::from(body))).unwrap()
}

/// Sends it without waiting for the answer.
pub fn background(stand: &Stand, headers: &[(&str, &str)], body: String) -> JoinHandle<Reply> {
    let answer = stand.client.request(alices(stand.address, headers, body));
    tokio::spawn(async move { whole(answer.await.unwrap()).await })
}

/// Alice's legacy call of a tool.
pub fn legacy_call(id: u64, tool: &str) -> String {
    let params = json!({ "name": tool, "arguments": { "number": id } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

/// Waits until the gateway has ended.
pub async fn until_ended(stand: &mut Stand) -> std::process::ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = stand.ended() {
            return status;
        }
        assert!(began.elapsed() < PATIENCE, "the process goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the gateway says that it drains.
pub async fn until_draining(stand: &Stand) {
    stand
        .until("the gateway is not ready", || async {
            stand.admin("/readyz").await.body.contains("draining")
        })
        .await;
}
