//! The gateway's own conversation with the server: a handshake, which makes the pod ready, and an inventory for the
//! operator. Retried until it succeeds; the server usually starts after the gateway.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method as Verb, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::Serialize;
use serde_json::{Value, json};

use crate::body::LARGEST;
use crate::bridge::Call;
use crate::headers;
use crate::protocol::{Era, List, META_CAPABILITIES, META_VERSION, MODERN, NEWEST_LEGACY};
use crate::sse;
use crate::upstream::{self, Upstream, UpstreamBody};

/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most pages of one list.
const PAGES: usize = 64;

/// What the server says of itself, and what it lists. Without any caller's rights: nothing of it is shown to callers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// Name and version, as the server says.
    pub server_info: Value,
    /// The protocol versions it speaks: all it names, or the one that was negotiated.
    pub protocol_versions: Vec<String>,
    /// Its tools.
    pub tools: Listed,
    /// Its prompts.
    pub prompts: Listed,
    /// Its resources, by URI.
    pub resources: Listed,
}

/// One list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// How many.
    pub count: usize,
    /// Their names, in the server's order.
    pub names: Vec<String>,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    #[error("the server did not finish its answer within {PATIENCE:?}")]
    Slow,
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("the server's answer is not what MCP says")]
    NotMcp,
}

/// How the gateway talks to the server.
struct Talk<'a> {
    upstream: &'a Upstream,
    modern: Option<String>,
    version: String,
    session: Option<HeaderValue>,
}

/// Tries until a handshake succeeds, calls `ready`, then takes the inventory. A server that wants credentials counts
/// as reachable, and has no inventory.
pub async fn run(
    upstream: Upstream,
    inventory: Arc<ArcSwapOption<Inventory>>,
    ready: impl FnOnce(),
) {
    let mut ready = Some(ready);
    let mut pause = PAUSES.0;
    let mut said = false;
    loop {
        match attempt(&upstream, || {
            ready.take().into_iter().for_each(|ready| ready());
        })
        .await
        {
            Ok(found) => {
                inventory.store(Some(Arc::new(found)));
                return;
            }
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::info!(%error, "no handshake with the server yet");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

async fn attempt(upstream: &Upstream, ready: impl FnOnce()) -> Result<Inventory, Error> {
    let mut talk = Talk {
        upstream,
        modern: None,
        version: NEWEST_LEGACY.to_owned(),
        session: None,
    };
    let hello = match talk.discover().await? {
        Some(result) => Some(result),
        None => talk.initialize().await?,
    };
    ready();
    let Some(hello) = hello else {
        tracing::info!("the server wants credentials: reachable, but without an inventory");
        return Ok(Inventory::default());
    };
    let listed = talk.inventory(&hello).await;
    talk.end().await;
    if let Ok(found) = &listed {
        tracing::info!(tools = found.tools.count, versions = ?found.protocol_versions, "handshake with the server");
    }
    listed
}

impl Talk<'_> {
    /// Asks the modern way. `None` if the server does not know it.
    async fn discover(&mut self) -> Result<Option<Value>, Error> {
        self.modern = Some(MODERN[0].to_owned());
        let response = self.send("server/discover", json!({})).await?;
        let known = response.status() == StatusCode::OK;
        let answer = if known {
            answer(response).await.ok()
        } else {
            None
        };
        let versions = answer
            .as_ref()
            .and_then(|a| a.pointer("/result/supportedVersions"))
            .and_then(Value::as_array);
        let modern = versions
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|v| MODERN.contains(v));
        self.modern = modern.map(str::to_owned);
        Ok(answer
            .filter(|_| self.modern.is_some())
            .and_then(|mut a| a.get_mut("result").map(Value::take)))
    }

    /// Asks the legacy way. `None` if the server wants credentials.
    async fn initialize(&mut self) -> Result<Option<Value>, Error> {
        let params = json!({
            "protocolVersion": NEWEST_LEGACY, "capabilities": {},
            "clientInfo": { "name": "mcp-gateway", "version": env!("CARGO_PKG_VERSION") },
        });
        let response = self.send("initialize", params).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(None),
            other => return Err(Error::Status(other)),
        }
        self.session = response.headers().get(headers::SESSION_ID).cloned();
        let mut answer = answer(response).await?;
        let result = answer
            .get_mut("result")
            .map(Value::take)
            .ok_or(Error::NotMcp)?;
        let version = result
            .get("protocolVersion")
            .and_then(Value::as_str)
            .ok_or(Error::NotMcp)?;
        version.clone_into(&mut self.version);
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let response = self.post("notifications/initialized", &note).await?;
        drop(response);
        Ok(Some(result))
    }

    async fn inventory(&self, hello: &Value) -> Result<Inventory, Error> {
        let has = |name: &str| hello.pointer(&format!("/capabilities/{name}")).is_some();
        let versions = hello.get("supportedVersions").and_then(Value::as_array);
        let protocol_versions = match versions {
            Some(all) => all
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            None => vec![self.version.clone()],
        };
        let info = hello
            .get("serverInfo")
            .or_else(|| hello.pointer("/_meta/io.modelcontextprotocol~1serverInfo"));
        Ok(Inventory {
            server_info: info.cloned().unwrap_or_default(),
            protocol_versions,
            tools: if has("tools") {
                self.list("tools/list", List::Tools).await?
            } else {
                Listed::default()
            },
            prompts: if has("prompts") {
                self.list("prompts/list", List::Prompts).await?
            } else {
                Listed::default()
            },
            resources: if has("resources") {
                self.list("resources/list", List::Resources).await?
            } else {
                Listed::default()
            },
        })
    }

    /// Every page of one list.
    async fn list(&self, method: &str, list: List) -> Result<Listed, Error> {
        let mut names = Vec::new();
        let mut params = json!({});
        for _ in 0..PAGES {
            let response = self.send(method, params).await?;
            let answer = answer(response).await?;
            let entries = answer
                .pointer(&format!("/result/{}", list.member()))
                .and_then(Value::as_array);
            for entry in entries.ok_or(Error::NotMcp)? {
                names.extend(
                    entry
                        .get(list.name())
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
            }
            match answer.pointer("/result/nextCursor").and_then(Value::as_str) {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => break,
            }
        }
        Ok(Listed {
            count: names.len(),
            names,
        })
    }

    /// Ends the legacy session that the handshake opened.
    async fn end(&self) {
        if self.session.is_none() {
            return;
        }
        if let Err(error) = self
            .upstream
            .send(self.call(Verb::DELETE, "", Bytes::new()))
            .await
        {
            tracing::debug!(%error, "the session of the handshake could not be ended");
        }
    }

    async fn send(&self, method: &str, mut params: Value) -> Result<Response<UpstreamBody>, Error> {
        if let Some(version) = &self.modern {
            params["_meta"] = json!({
                META_VERSION: version, META_CAPABILITIES: {},
                "io.modelcontextprotocol/clientInfo": { "name": "mcp-gateway", "version": env!("CARGO_PKG_VERSION") },
            });
        }
        self.post(
            method,
            &json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }),
        )
        .await
    }

    async fn post(&self, method: &str, message: &Value) -> Result<Response<UpstreamBody>, Error> {
        let body = Bytes::from(message.to_string());
        let sent = tokio::time::timeout(
            PATIENCE,
            self.upstream.send(self.call(Verb::POST, method, body)),
        )
        .await;
        Ok(sent.map_err(|_| Error::Slow)??)
    }

    fn call(&self, verb: Verb, method: &str, body: Bytes) -> Call<'static> {
        let era = match &self.modern {
            Some(_) => Era::Modern,
            None => Era::Legacy,
        };
        Call {
            verb,
            headers: self.headers(method),
            body,
            era,
            principal: "",
        }
    }

    fn headers(&self, method: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        map.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        let version = self.modern.as_ref().unwrap_or(&self.version);
        if (self.modern.is_some() || method != "initialize")
            && let Ok(version) = HeaderValue::from_str(version)
        {
            map.insert(headers::PROTOCOL_VERSION, version);
        }
        if let (Some(_), Ok(method)) = (&self.modern, HeaderValue::from_str(method)) {
            map.insert(headers::METHOD, method);
        }
        if let Some(session) = &self.session {
            map.insert(headers::SESSION_ID, session.clone());
        }
        map
    }
}

/// The response to our request, from JSON or from a stream of events.
async fn answer(response: Response<UpstreamBody>) -> Result<Value, Error> {
    if response.status() != StatusCode::OK {
        return Err(Error::Status(response.status()));
    }
    let stream = headers::is_event_stream(response.headers());
    let body = response.into_body();
    let read = async {
        if stream {
            return from_events(body).await;
        }
        let collected = Limited::new(body, LARGEST)
            .collect()
            .await
            .map_err(|_| Error::NotMcp)?;
        serde_json::from_slice(&collected.to_bytes()).map_err(|_| Error::NotMcp)
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| Error::Slow)?
}

/// The first event that is a response. Notifications may come before it.
async fn from_events(mut body: UpstreamBody) -> Result<Value, Error> {
    let mut parser = sse::Parser::new(LARGEST);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|_| Error::NotMcp)?.into_data() else {
            continue;
        };
        let mut found = None;
        let fed = parser.feed(&bytes, |block| {
            let message: Option<Value> = block
                .data
                .and_then(|data| serde_json::from_slice(&data).ok());
            let is_response = |m: &Value| m.get("result").is_some() || m.get("error").is_some();
            found = found.take().or(message.filter(is_response));
        });
        fed.map_err(|_| Error::NotMcp)?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Err(Error::NotMcp)
}
