//! A server that answers every request with an empty result, and remembers what it was sent.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

/// What it was sent so far.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<HeaderMap>>>);

impl Recorder {
    /// Starts it on loopback; it ends with the test.
    pub async fn start() -> (Self, u16) {
        let recorder = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = Router::new().fallback(answer).with_state(recorder.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (recorder, port)
    }

    /// The headers of the last request that was no handshake of the gateway's own.
    pub fn last(&self) -> HeaderMap {
        self.0.lock().unwrap().last().cloned().unwrap_or_default()
    }

    /// One header of the last request.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.last().get(name).cloned()?;
        Some(value.to_str().unwrap().to_owned())
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

async fn answer(
    State(recorder): State<Recorder>,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    let message: Value = serde_json::from_str(&body).unwrap_or_default();
    // The gateway's own handshake says nothing of a caller.
    if headers.contains_key("x-test") {
        recorder.0.lock().unwrap().push(headers);
    }
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": {} });
    (
        [(header::CONTENT_TYPE, "application/json")],
        answer.to_string(),
    )
}
