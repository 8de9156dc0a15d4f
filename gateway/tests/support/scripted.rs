//! A real HTTP server that says what a test tells it: both eras, definitions that change, notifications, tasks.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// What one request was.
#[derive(Clone, Debug)]
pub struct Seen {
    pub verb: Method,
    pub headers: HeaderMap,
    pub body: String,
}

/// The server. Clones are the same one.
#[derive(Clone)]
pub struct Scripted {
    pub port: u16,
    script: Arc<Mutex<Script>>,
    notes: broadcast::Sender<String>,
}

struct Script {
    modern: bool,
    /// Answers nothing at all but 503.
    down: bool,
    /// Results by method; some are there from the beginning.
    results: HashMap<String, Value>,
    seen: Vec<Seen>,
}

/// A tool with this description.
pub fn tool(name: &str, description: &str) -> Value {
    json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
}

impl Scripted {
    pub async fn start(modern: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Script {
            modern,
            down: false,
            results: HashMap::new(),
            seen: Vec::new(),
        };
        let server = Self {
            port,
            script: Arc::new(Mutex::new(script)),
            notes: broadcast::Sender::new(64),
        };
        for (method, result) in [
            ("tools/list", json!({ "tools": [] })),
            ("prompts/list", json!({ "prompts": [] })),
            ("resources/list", json!({ "resources": [] })),
            (
                "resources/templates/list",
                json!({ "resourceTemplates": [] }),
            ),
        ] {
            server.set(method, result);
        }
        let routes = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        server
    }

    /// From now on, `method` is answered with this result.
    pub fn set(&self, method: &str, result: Value) {
        let mut script = self.script.lock().unwrap();
        script.results.insert(method.to_owned(), result);
    }

    /// From now on, these are the tools.
    pub fn tools(&self, tools: &[Value]) {
        self.set("tools/list", json!({ "tools": tools }));
    }

    pub fn down(&self, down: bool) {
        self.script.lock().unwrap().down = down;
    }

    /// Sends a message on every open stream.
    pub fn say(&self, message: &Value) {
        let _nobody_listens = self.notes.send(message.to_string());
    }

    /// How many streams are open.
    pub fn listeners(&self) -> usize {
        self.notes.receiver_count()
    }

    /// The requests so far with this text in the body.
    pub fn seen(&self, text: &str) -> Vec<Seen> {
        let script = self.script.lock().unwrap();
        let all = script.seen.iter();
        all.filter(|seen| seen.body.contains(text))
            .cloned()
            .collect()
    }

    fn events(&self, first: Option<String>) -> Response {
        let notes = self.notes.subscribe();
        let first = first.into_iter().map(|text| format!("data: {text}\n\n"));
        let later = stream::unfold(notes, |mut notes| async move {
            let text = notes.recv().await.ok()?;
            Some((format!("data: {text}\n\n"), notes))
        });
        let events = futures::StreamExt::map(
            futures::StreamExt::chain(stream::iter(first), later),
            Ok::<_, Infallible>,
        );
        (
            [(header::CONTENT_TYPE, "text/event-stream")],
            Body::from_stream(events),
        )
            .into_response()
    }
}

async fn answer(
    State(server): State<Scripted>,
    verb: Method,
    headers: HeaderMap,
    body: String,
) -> Response {
    let (modern, result) = {
        let mut script = server.script.lock().unwrap();
        let (verb, headers, body) = (verb.clone(), headers, body.clone());
        script.seen.push(Seen {
            verb,
            headers,
            body: body.clone(),
        });
        if script.down {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let message: Value = serde_json::from_str(&body).unwrap_or_default();
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        (script.modern, script.results.get(&method).cloned())
    };
    if verb == Method::GET {
        return server.events(None);
    }
    if verb == Method::DELETE {
        return StatusCode::OK.into_response();
    }
    let message: Value = serde_json::from_str(&body).unwrap_or_default();
    let Some(id) = message.get("id") else {
        return StatusCode::ACCEPTED.into_response();
    };
    let capabilities = json!({ "tools": {}, "prompts": {}, "resources": { "subscribe": true } });
    let info = json!({ "name": "scripted", "version": "1" });
    let result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" if modern => result.unwrap_or_else(
            || json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities, "serverInfo": info }),
        ),
        "initialize" if !modern => {
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info });
            let text = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
            let headers = [(header::CONTENT_TYPE.as_str(), "application/json"), ("mcp-session-id", "s")];
            return (headers, text).into_response();
        }
        "subscriptions/listen" if modern => {
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
            let params = json!({ "_meta": meta, "notifications": message["params"]["notifications"] });
            let method = "notifications/subscriptions/acknowledged";
            let ack = json!({ "jsonrpc": "2.0", "method": method, "params": params });
            return server.events(Some(ack.to_string()));
        }
        "server/discover" | "initialize" | "subscriptions/listen" => {
            let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "no" } });
            let headers = [(header::CONTENT_TYPE, "application/json")];
            return (StatusCode::NOT_FOUND, headers, error.to_string()).into_response();
        }
        _ => result.unwrap_or_else(|| json!({ "content": [] })),
    };
    let text = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
