//! A server that answers as slowly as a test wants, and remembers what it got.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::World;

/// A server whose tools take their time: `echo` answers at once, `wait` when it is released, `tick` never, with an
/// event of progress all the while.
#[derive(Clone)]
pub struct Slow {
    pub port: u16,
    /// Every message that came.
    pub seen: Arc<Mutex<Vec<Value>>>,
    /// The headers of each.
    pub heads: Arc<Mutex<Vec<HeaderMap>>>,
    /// Lets `wait` answer.
    pub release: watch::Sender<bool>,
}

type Body = BoxBody<Bytes, Infallible>;

impl Slow {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let slow = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            heads: Arc::default(),
            release: watch::Sender::new(false),
        };
        let server = slow.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let server = server.clone();
                        async move { Ok::<_, Infallible>(server.answer(request).await) }
                    });
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        slow
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if request.method() == Method::GET {
            return events(futures::stream::pending().boxed());
        }
        let head = request.headers().clone();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let Ok(message) = serde_json::from_slice::<Value>(&body) else {
            return Response::new(Full::default().boxed());
        };
        self.seen.lock().unwrap().push(message.clone());
        self.heads.lock().unwrap().push(head);
        let id = &message["id"];
        if id.is_null() {
            let mut accepted = Response::new(Full::default().boxed());
            *accepted.status_mut() = StatusCode::ACCEPTED;
            return accepted;
        }
        match message["params"]["name"].as_str() {
            Some("wait") => {
                let mut released = self.release.subscribe();
                released.wait_for(|released| *released).await.unwrap();
            }
            Some("tick") => {
                let event = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":1}}\n\n";
                let ticks = tokio::time::interval(Duration::from_millis(20));
                let ticks = futures::stream::unfold(ticks, move |mut ticks| async move {
                    ticks.tick().await;
                    Some((event, ticks))
                });
                return events(ticks.boxed());
            }
            _ => {}
        }
        let result = match message["method"].as_str() {
            Some("initialize") => {
                json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "slow", "version": "1"}})
            }
            Some("tools/list") => json!({"tools": []}),
            _ => json!({"content": []}),
        };
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
        let mut response = Response::new(Full::from(answer).boxed());
        let headers = response.headers_mut();
        headers.insert("content-type", "application/json".parse().unwrap());
        if message["method"] == "initialize" {
            headers.insert("mcp-session-id", "s1".parse().unwrap());
        }
        response
    }

    pub fn count(&self, method: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|message| message["method"] == method)
            .count()
    }

    pub fn calls(&self, tool: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|message| message["params"]["name"] == tool)
            .count()
    }
}

fn events(stream: futures::stream::BoxStream<'static, &'static str>) -> Response<Body> {
    let body =
        StreamBody::new(stream.map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(event)))));
    let body = http_body_util::combinators::UnsyncBoxBody::new(body);
    let mut response = Response::new(sync(body));
    response
        .headers_mut()
        .insert("content-type", "text/event-stream".parse().unwrap());
    response
}

/// A body of one piece after the other, through a channel: what a stream is made of need not be shared by threads.
fn sync(mut body: http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = sender.closed() => return,
            };
            let Some(Ok(frame)) = frame else { return };
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    });
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        let frame = receiver.recv().await?;
        Some((Ok(frame), receiver))
    });
    BoxBody::new(StreamBody::new(frames))
}

/// A world in which alice and bob may call its tools.
pub fn callable() -> World {
    let mut world = World::new();
    let tool = |name: &str| api::Tool {
        name: name.to_owned(),
        side_effect: Some(api::SideEffect::Read),
        ..api::Tool::default()
    };
    world.server.spec.tools = vec![tool("echo"), tool("wait"), tool("tick"), tool("other")];
    for who in ["alice", "bob"] {
        world.grant(who, &["echo", "wait", "tick", "other"]);
    }
    world
}

/// A message that calls a tool.
pub fn call(id: u32, tool: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}}).to_string()
}
