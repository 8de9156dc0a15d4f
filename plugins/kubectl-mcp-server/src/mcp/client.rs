//! The client itself: sends JSON-RPC through the API server's service proxy or straight to a URL.

use bytes::Bytes;
use common::api_error::api_error;
use common::{Error, Printer, Result};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};

use super::sse::Events;
use super::wire;
use crate::content::printable;

/// The protocol version that this client asks for.
const VERSION: &str = "2025-11-25";
/// The longest answer that is read as a whole, in bytes.
const LONGEST: usize = 64 << 20;

static SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
static PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Where an MCP endpoint is, and as whom to call it.
pub(crate) struct Endpoint {
    /// The server's name and how to find it, for hints: `weather -n team-a`.
    pub(crate) server: String,
    /// Sends to the API server, or to the host of a URL.
    pub(crate) client: kube::Client,
    /// Path and query of the endpoint.
    pub(crate) path: String,
    /// The header with the token, if there is one. Marked sensitive, so that no log shows it.
    pub(crate) token: Option<(HeaderName, HeaderValue)>,
}

/// A session of the MCP protocol.
pub(crate) struct McpClient {
    endpoint: Endpoint,
    session_id: Option<HeaderValue>,
    version: Option<HeaderValue>,
    next_id: u64,
    what: String,
}

impl McpClient {
    /// Shakes hands. `what` begins every error: `cannot call tool 'echo' of server 'weather'`.
    pub(crate) async fn connect(
        endpoint: Endpoint,
        what: String,
        printer: &mut Printer,
    ) -> Result<Self> {
        let mut client = Self {
            endpoint,
            session_id: None,
            version: None,
            next_id: 0,
            what,
        };
        let params = json!({
            "protocolVersion": VERSION, "capabilities": {},
            "clientInfo": {"name": "kubectl-mcp", "version": common::VERSION},
        });
        let result = client.request("initialize", params, printer).await?;
        let version = result
            .get("protocolVersion")
            .and_then(Value::as_str)
            .unwrap_or(VERSION);
        client.version = HeaderValue::from_str(version).ok();
        client
            .post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await?;
        Ok(client)
    }

    /// Sends a request and waits for its answer; what the server says meanwhile goes to standard error.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        params: Value,
        printer: &mut Printer,
    ) -> Result<Value> {
        self.next_id += 1;
        let id = self.next_id;
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let response = self.post(&message).await?;
        if let Some(session) = response.headers().get(&SESSION_ID) {
            self.session_id = Some(session.clone());
        }
        let is_stream = content_type(&response).starts_with("text/event-stream");
        let answer = if is_stream {
            self.answer_of_stream(response.into_body(), id, printer)
                .await?
        } else {
            let body = read(response.into_body(), &self.what).await?;
            serde_json::from_slice(&body)
                .map_err(|error| self.broken(&format!("its answer is no JSON: {error}")))?
        };
        match (answer.get("error"), answer.get("result")) {
            (Some(error), _) => Err(wire::rpc_error(&self.what, error)),
            (None, Some(result)) => Ok(result.clone()),
            (None, None) => Err(self.broken("its answer has neither result nor error")),
        }
    }

    /// All pages of a list.
    pub(crate) async fn list(
        &mut self,
        method: &str,
        member: &str,
        printer: &mut Printer,
    ) -> Result<Vec<Value>> {
        // A server that always names one more page must not keep a person waiting for ever.
        const PAGES: usize = 1000;
        let mut items = Vec::new();
        let mut params = json!({});
        for _ in 0..PAGES {
            let mut page = self.request(method, params, printer).await?;
            if let Some(Value::Array(more)) = page.get_mut(member).map(Value::take) {
                items.extend(more);
            }
            match page.get("nextCursor").and_then(Value::as_str) {
                Some(cursor) => params = json!({"cursor": cursor}),
                None => return Ok(items),
            }
        }
        Err(self.broken("its list does not end"))
    }

    /// Ends the session. Servers may refuse that, which changes nothing.
    pub(crate) async fn close(self) {
        if self.session_id.is_some()
            && let Ok(request) = self.head(Method::DELETE).body(Body::empty())
        {
            let _ = self.endpoint.client.send(request).await;
        }
    }

    /// Sends one message; an answer that is no success is an error.
    async fn post(&self, message: &Value) -> Result<Response<Body>> {
        let request = self
            .head(Method::POST)
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(message.to_string().into_bytes()))
            .map_err(|error| Error::usage(format!("{}: {error}", self.what)))?;
        let response = self
            .endpoint
            .client
            .send(request)
            .await
            .map_err(|error| api_error(self.what.clone(), &error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read(response.into_body(), &self.what)
            .await
            .unwrap_or_default();
        Err(self.refused(status, &body))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        wire::http_error(&self.what, &self.endpoint.server, status, body)
    }

    fn head(&self, method: Method) -> http::request::Builder {
        let mut request = Request::builder()
            .method(method)
            .uri(&self.endpoint.path)
            .header(ACCEPT, "application/json, text/event-stream");
        let token = self
            .endpoint
            .token
            .as_ref()
            .map(|(name, value)| (name, value));
        let session = self.session_id.as_ref().map(|value| (&SESSION_ID, value));
        let version = self
            .version
            .as_ref()
            .map(|value| (&PROTOCOL_VERSION, value));
        for (name, value) in [token, session, version].into_iter().flatten() {
            request = request.header(name, value);
        }
        request
    }

    /// Reads a stream up to the answer to `id`.
    async fn answer_of_stream(
        &self,
        mut body: Body,
        id: u64,
        printer: &mut Printer,
    ) -> Result<Value> {
        let mut events = Events::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| api_error(self.what.clone(), &error))?;
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            for data in events
                .push(&chunk)
                .map_err(|_| self.broken("an event of its answer is too long"))?
            {
                let Ok(message) = serde_json::from_slice::<Value>(&data) else {
                    continue;
                };
                if message.get("method").is_some() {
                    self.hear(&message, printer).await?;
                } else if message.get("id") == Some(&id.into()) {
                    return Ok(message);
                }
            }
        }
        Err(self.broken("its answer ended before it was complete"))
    }

    /// Something that the server says before it answers. What it asks for, this client cannot do.
    async fn hear(&self, message: &Value, printer: &mut Printer) -> Result<()> {
        let method = message
            .get("method")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match (method, message.get("id")) {
            ("ping", Some(id)) => {
                self.post(&json!({"jsonrpc": "2.0", "id": id, "result": {}}))
                    .await?;
            }
            (_, Some(id)) => {
                let error = json!({"code": -32601, "message": format!("this client does not serve {method}")});
                self.post(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
                    .await?;
            }
            ("notifications/message", None) => {
                if let Some(data) = message.pointer("/params/data") {
                    let text = data
                        .as_str()
                        .map_or_else(|| data.to_string(), str::to_owned);
                    printer.note(printable(&text));
                }
            }
            ("notifications/progress", None) => {
                let part = |name: &str| message.pointer(&format!("/params/{name}"));
                let total = part("total")
                    .map(|total| format!(" of {total}"))
                    .unwrap_or_default();
                printer.note(format_args!(
                    "{}{total}",
                    part("progress").unwrap_or(&Value::Null)
                ));
            }
            (_, None) => {}
        }
        Ok(())
    }

    fn broken(&self, why: &str) -> Error {
        Error::failed(format!(
            "{}: the server does not speak MCP as it should: {why}",
            self.what
        ))
    }
}

fn content_type(response: &Response<Body>) -> &str {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// A whole body, bounded.
async fn read(mut body: Body, what: &str) -> Result<Bytes> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| api_error(what.to_owned(), &error))?;
        if let Ok(chunk) = frame.into_data() {
            if whole.len() + chunk.len() > LONGEST {
                return Err(Error::failed(format!(
                    "{what}: the answer is longer than {LONGEST} bytes"
                )));
            }
            whole.extend_from_slice(&chunk);
        }
    }
    Ok(whole.into())
}
