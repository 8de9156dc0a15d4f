//! The gateway's own conversation with the server: a handshake, which makes the pod ready, and the inventory, taken
//! anew when the server says that a list changed, when somebody saw something unknown, and from time to time. Retried
//! until it succeeds; the server usually starts after the gateway.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use api::PinMode;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method as Verb, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::Serialize;
use serde_json::{Value, json};

use crate::body::LARGEST;
use crate::bridge::Call;
use crate::definitions::Definition;
use crate::discovery::{Discovery, Tool, Tools};
use crate::headers;
use crate::json::{self, Document, Limits};
use crate::policy::Store;
use crate::protocol::{Era, LEGACY, List, META_CAPABILITIES, META_VERSION, MODERN, NEWEST_LEGACY};
use crate::sse;
use crate::upstream::{self, Nature, Upstream, UpstreamBody};

/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Codes of errors that only the modern era has.
const MODERN_ERRORS: std::ops::RangeInclusive<i64> = -32099..=-32020;
/// Most pages of one list.
const PAGES: usize = 64;
/// Most entries of one list that are taken note of. With pins enforced, a tool beyond them is denied.
const ENTRIES: usize = 4096;
/// How often the inventory is taken anew while tools are compared with pins, and while they are not.
const AGAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));
/// The least time between two inventories, whatever is heard meanwhile.
const REST: Duration = Duration::from_millis(500);

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
    /// Its resource templates, by URI template.
    pub resource_templates: Listed,
    /// The definitions of its tools.
    #[serde(skip)]
    pub definitions: Tools,
    /// What of it decides about translation.
    #[serde(skip)]
    pub nature: Nature,
}

/// One list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// How many, at most [`ENTRIES`].
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
    #[error("the server wants credentials")]
    Credentials,
}

/// How the gateway talks to the server.
struct Talk<'a> {
    upstream: &'a Upstream,
    modern: Option<String>,
    version: String,
    session: Option<HeaderValue>,
    only: Option<Era>,
}

/// Tries until a handshake succeeds, calls `ready`, then keeps the inventory current for ever. A server that wants
/// credentials counts as reachable, and has an empty inventory.
pub async fn run(
    upstream: Upstream,
    discovery: Arc<Discovery>,
    store: Arc<Store>,
    ready: impl FnOnce(),
) {
    let mut ready = Some(ready);
    let mut pause = PAUSES.0;
    let mut said = false;
    loop {
        let mut reached = || {
            ready.take().into_iter().for_each(|ready| ready());
            (pause, said) = (PAUSES.0, false);
        };
        let Err(error) = converse(&upstream, &discovery, &store, &mut reached).await;
        if !std::mem::replace(&mut said, true) {
            tracing::info!(%error, "no handshake with the server now");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// One handshake, and inventories until something goes wrong.
async fn converse(
    upstream: &Upstream,
    discovery: &Discovery,
    store: &Store,
    ready: &mut impl FnMut(),
) -> Result<std::convert::Infallible, Error> {
    let mut talk = Talk {
        upstream,
        modern: None,
        version: NEWEST_LEGACY.to_owned(),
        session: None,
        only: None,
    };
    let hello = match talk.discover().await? {
        Some(result) => Some(result),
        None => talk.initialize().await?,
    };
    ready();
    let result = if let Some(hello) = &hello {
        talk.follow(hello, discovery, store).await
    } else {
        tracing::info!("the server wants credentials: reachable, but without an inventory");
        discovery.store(Inventory::default(), None);
        tokio::time::sleep(AGAIN.1).await;
        Err(Error::Credentials)
    };
    talk.end().await;
    result
}

/// Whether tools are compared with pins now.
fn compares(store: &Store) -> bool {
    store
        .view()
        .is_some_and(|view| view.bundle.pins != PinMode::Off)
}

impl Talk<'_> {
    /// Asks the modern way. `None` if the server does not know it, or has no version of ours.
    async fn discover(&mut self) -> Result<Option<Value>, Error> {
        self.modern = Some(MODERN[0].to_owned());
        let response = self.send("server/discover", json!({})).await?;
        let status = response.status();
        let answer: Option<Value> = body(response)
            .await
            .ok()
            .and_then(|body| serde_json::from_slice(&body).ok());
        let era = era_of(status, answer.as_ref());
        let answer = answer.filter(|_| status == StatusCode::OK);
        let versions = answer
            .as_ref()
            .and_then(|a| a.pointer("/result/supportedVersions"))
            .and_then(Value::as_array);
        let modern = versions
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|v| MODERN.contains(v));
        let names_legacy = versions
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|v| LEGACY.contains(&v));
        self.modern = modern.map(str::to_owned);
        self.only = match era {
            Some(Era::Modern) if names_legacy || !self.is_modern_only().await => None,
            other => other,
        };
        Ok(answer
            .filter(|_| self.modern.is_some())
            .and_then(|mut a| a.get_mut("result").map(Value::take)))
    }

    /// Whether a server of the modern era speaks no other, which it need not say.
    async fn is_modern_only(&self) -> bool {
        let mut other = Talk {
            upstream: self.upstream,
            modern: None,
            version: NEWEST_LEGACY.to_owned(),
            session: None,
            only: None,
        };
        let refuses = match other.initialize().await {
            Ok(_) | Err(Error::Upstream(_) | Error::Slow | Error::Credentials) => false,
            Err(Error::Status(status)) => status.is_client_error(),
            Err(Error::NotMcp) => true,
        };
        other.end().await;
        refuses
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
        let mut answer = value(response).await?;
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

    /// Takes inventories until one fails.
    async fn follow(
        &self,
        hello: &Value,
        discovery: &Discovery,
        store: &Store,
    ) -> Result<std::convert::Infallible, Error> {
        let mut ear = None;
        loop {
            let compared = compares(store);
            if compared && ear.is_none() {
                ear = self.listen().await;
            }
            let found = self.inventory(hello).await?;
            if discovery.inventory().is_none() {
                tracing::info!(tools = found.tools.count, versions = ?found.protocol_versions, "handshake with the server");
            }
            self.upstream.learn(found.nature);
            let view = store.view();
            discovery.store(found, view.as_ref().map(|view| &view.bundle));
            tokio::time::sleep(REST).await;
            let again = tokio::time::sleep(if compared { AGAIN.0 } else { AGAIN.1 });
            tokio::select! {
                () = again => {}
                () = discovery.nudged() => {}
                () = heard(&mut ear) => {}
                () = switched(store, compared) => {}
            }
        }
    }

    /// The stream on which the server tells of changes, if it has one.
    async fn listen(&self) -> Option<Ear> {
        let response = if self.modern.is_some() {
            let wanted = json!({ "notifications": { "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true } });
            self.send("subscriptions/listen", wanted).await.ok()?
        } else {
            let mut call = self.call(Verb::GET, "", Bytes::new());
            call.headers.remove(header::CONTENT_TYPE);
            call.headers.insert(
                header::ACCEPT,
                HeaderValue::from_static("text/event-stream"),
            );
            let sent = self.upstream.send(call);
            tokio::time::timeout(PATIENCE, sent).await.ok()?.ok()?
        };
        let open =
            response.status() == StatusCode::OK && headers::is_event_stream(response.headers());
        open.then(|| Ear {
            body: response.into_body(),
            parser: sse::Parser::new(LARGEST),
        })
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
        let mut inventory = Inventory {
            server_info: info.cloned().unwrap_or_default(),
            protocol_versions,
            ..Inventory::default()
        };
        if has("tools") {
            let definitions = &mut inventory.definitions;
            let take = |name: &str, entry: &[u8]| note(definitions, name, entry);
            inventory.tools = self.list("tools/list", List::Tools, take).await?;
        }
        if has("prompts") {
            inventory.prompts = self.list("prompts/list", List::Prompts, |_, _| {}).await?;
        }
        if has("resources") {
            inventory.resources = self
                .list("resources/list", List::Resources, |_, _| {})
                .await?;
            // Servers with resources need not have templates.
            inventory.resource_templates = self
                .list("resources/templates/list", List::Templates, |_, _| {})
                .await
                .unwrap_or_default();
        }
        // Capabilities alone do not tell: some servers name those that they could have.
        inventory.nature = Nature {
            only: self.only,
            only_tools: !has("completions")
                && inventory.prompts.count == 0
                && inventory.resources.count == 0
                && inventory.resource_templates.count == 0,
        };
        Ok(inventory)
    }

    /// Every page of one list. `take` is shown each entry with its name.
    async fn list(
        &self,
        method: &str,
        list: List,
        mut take: impl FnMut(&str, &[u8]),
    ) -> Result<Listed, Error> {
        let mut names = Vec::new();
        let mut params = json!({});
        for _ in 0..PAGES {
            let bytes = answer(self.send(method, params).await?).await?;
            let document = Document::scan(&bytes, Limits::ANSWER).map_err(|_| Error::NotMcp)?;
            let result = document.root().get("result").ok_or(Error::NotMcp)?;
            let entries = result.get(list.member()).ok_or(Error::NotMcp)?;
            for entry in entries.children() {
                let name = entry.get(list.name()).and_then(json::Value::as_str);
                let Some(name) = name.filter(|_| names.len() < ENTRIES) else {
                    continue;
                };
                take(&name, entry.raw());
                names.push(name.into_owned());
            }
            match result.get("nextCursor").and_then(json::Value::as_str) {
                Some(cursor) if names.len() < ENTRIES => params = json!({ "cursor": cursor }),
                Some(_) | None => break,
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
            // It asks what the server itself speaks.
            translate: api::Translate::Never,
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

/// Notes the definition of a tool. One that cannot be read, and each of two with one name, is no definition.
fn note(tools: &mut Tools, name: &str, entry: &[u8]) {
    let definition = Definition::read(entry)
        .map_err(
            |error| tracing::warn!(tool = ?name, %error, "the definition of a tool cannot be read"),
        )
        .ok();
    match tools.entry(name.to_owned()) {
        Entry::Occupied(mut known) => known.get_mut().definition = None,
        Entry::Vacant(new) => {
            new.insert(Tool {
                definition,
                approved: None,
            });
        }
    }
}

/// Where the server is heard.
struct Ear {
    body: UpstreamBody,
    parser: sse::Parser,
}

/// Resolves when the server says that a list changed. Never, if it cannot be heard.
async fn heard(ear: &mut Option<Ear>) {
    while let Some(open) = ear {
        let Some(Ok(frame)) = open.body.frame().await else {
            *ear = None;
            break;
        };
        let mut changed = false;
        let fed = open
            .parser
            .feed(frame.data_ref().map_or(&[], |b| &b[..]), |block| {
                changed |= block.data.is_some_and(|data| is_change(&data));
            });
        if fed.is_err() {
            *ear = None;
            break;
        }
        if changed {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Whether a message tells that a list changed.
fn is_change(message: &[u8]) -> bool {
    serde_json::from_slice::<Value>(message).is_ok_and(|message| {
        let method = message.get("method").and_then(Value::as_str);
        method.is_some_and(|method| method.ends_with("/list_changed"))
    })
}

/// Resolves when tools begin or cease to be compared with pins.
async fn switched(store: &Store, compared: bool) {
    let mut changes = store.changes();
    while compares(store) == compared {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The response to our request, as a tree.
async fn value(response: Response<UpstreamBody>) -> Result<Value, Error> {
    serde_json::from_slice(&answer(response).await?).map_err(|_| Error::NotMcp)
}

/// Which era a server speaks that answers `server/discover` like this. `None` if the answer tells nothing: the server
/// wants credentials, or is out of order.
fn era_of(status: StatusCode, answer: Option<&Value>) -> Option<Era> {
    let code = answer
        .and_then(|a| a.pointer("/error/code"))
        .and_then(Value::as_i64);
    match status {
        StatusCode::OK => {
            let versions = answer.and_then(|a| a.pointer("/result/supportedVersions"));
            let named = versions.and_then(Value::as_array).into_iter().flatten();
            // A server may know the method and still speak legacy versions only.
            let modern = named
                .filter_map(Value::as_str)
                .any(|v| !LEGACY.contains(&v));
            Some(if modern { Era::Modern } else { Era::Legacy })
        }
        // Errors that only the modern era has: the server speaks it, but no version of ours.
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND
            if code.is_some_and(|code| MODERN_ERRORS.contains(&code)) =>
        {
            Some(Era::Modern)
        }
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => None,
        other if other.is_client_error() => Some(Era::Legacy),
        _ => None,
    }
}

/// The response to our request, from JSON or from a stream of events.
async fn answer(response: Response<UpstreamBody>) -> Result<Bytes, Error> {
    if response.status() != StatusCode::OK {
        return Err(Error::Status(response.status()));
    }
    body(response).await
}

/// The same, whatever the status.
async fn body(response: Response<UpstreamBody>) -> Result<Bytes, Error> {
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
        Ok(collected.to_bytes())
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| Error::Slow)?
}

/// The first event that is a response. Notifications may come before it.
async fn from_events(mut body: UpstreamBody) -> Result<Bytes, Error> {
    let mut parser = sse::Parser::new(LARGEST);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|_| Error::NotMcp)?.into_data() else {
            continue;
        };
        let mut found = None;
        let fed = parser.feed(&bytes, |block| {
            let is_response = |data: &Vec<u8>| {
                serde_json::from_slice::<Value>(data)
                    .is_ok_and(|m| m.get("result").is_some() || m.get("error").is_some())
            };
            found = found.take().or(block.data.filter(is_response));
        });
        fed.map_err(|_| Error::NotMcp)?;
        if let Some(found) = found {
            return Ok(found.into());
        }
    }
    Err(Error::NotMcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_taken_for_legacy_only_if_it_said_so() {
        let era = |status: u16, answer: Value| {
            era_of(StatusCode::from_u16(status).unwrap(), Some(&answer))
        };
        let error = |code: i64| json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": code } });
        let versions = |versions: Value| json!({ "result": { "supportedVersions": versions } });
        assert_eq!(
            era(200, versions(json!(["2026-07-28", "2025-11-25"]))),
            Some(Era::Modern)
        );
        assert_eq!(era(200, versions(json!(["2025-11-25"]))), Some(Era::Legacy));
        assert_eq!(era(200, error(-32601)), Some(Era::Legacy));
        assert_eq!(era(400, error(-32022)), Some(Era::Modern));
        for status in [400, 404, 405, 406, 415] {
            assert_eq!(era(status, error(-32000)), Some(Era::Legacy), "{status}");
        }
        for status in [302, 401, 403, 408, 429, 500, 503] {
            assert_eq!(era(status, error(-32000)), None, "{status}");
        }
    }
}
