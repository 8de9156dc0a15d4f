//! What the carriers of a conversation must know of its messages: whether one wants an answer, whether one is it, and
//! what a modern one must repeat in its headers.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::body::LARGEST;
use crate::headers;
use crate::protocol::{META_VERSION, code};
use crate::sse;
use crate::upstream::UpstreamBody;

/// What a carrier reads of a message.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    id: Option<Box<RawValue>>,
    method: Option<String>,
    params: Option<Box<RawValue>>,
}

impl Frame {
    /// Reads it; what is no message is one that wants nothing.
    pub(super) fn read(message: &[u8]) -> Self {
        serde_json::from_slice(message).unwrap_or(Self {
            id: None,
            method: None,
            params: None,
        })
    }

    /// The id of a request, which wants an answer.
    pub(super) fn request(&self) -> Option<&RawValue> {
        self.method.as_ref().and(self.id.as_deref())
    }

    /// Whether it has this method.
    pub(super) fn is(&self, method: &str) -> bool {
        self.method.as_deref() == Some(method)
    }

    fn params(&self) -> Value {
        let params = self.params.as_deref();
        params
            .and_then(|params| serde_json::from_str(params.get()).ok())
            .unwrap_or_default()
    }

    /// The headers of a modern request: its version, its method and what it names. `None` of a legacy one.
    pub(super) fn modern_headers(&self) -> Option<HeaderMap> {
        // The envelope is looked for only where it can be.
        self.params
            .as_deref()
            .filter(|params| params.get().contains(META_VERSION))?;
        let (params, method) = (self.params(), self.method.as_deref()?);
        let version = params.get("_meta")?.get(META_VERSION)?.as_str()?;
        let mut map = HeaderMap::new();
        map.insert(headers::PROTOCOL_VERSION, headers::encode(version));
        map.insert(headers::METHOD, headers::encode(method));
        let key = match method {
            "tools/call" | "prompts/get" => Some("name"),
            "resources/read" => Some("uri"),
            _ => None,
        };
        if let Some(name) = key.and_then(|key| params.get(key)?.as_str()) {
            map.insert(headers::NAME, headers::encode(name));
        }
        Some(map)
    }

    /// The request that it cancels.
    pub(super) fn cancels(&self) -> Option<Value> {
        if !self.is("notifications/cancelled") {
            return None;
        }
        self.params().get("requestId").cloned()
    }

    /// Whether it answers the request with this id.
    pub(super) fn answers(&self, id: &RawValue) -> bool {
        let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
        self.method.is_none()
            && self
                .id
                .as_deref()
                .is_some_and(|own| value(own) == value(id))
    }
}

/// The answer to a request that the server did not answer.
pub(super) fn unanswered(id: &RawValue, why: &str) -> Bytes {
    let error = serde_json::json!({
        "code": code::UPSTREAM, "message": why, "data": { "reason": "upstream_unavailable" },
    });
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into()
}

/// A whole body, if it is not too large.
pub(super) async fn whole(body: UpstreamBody) -> Option<Bytes> {
    let collected = Limited::new(body, LARGEST).collect().await.ok()?;
    Some(collected.to_bytes())
}

/// The events of a stream, and from where on it can be resumed.
pub(super) struct Events {
    body: UpstreamBody,
    parser: sse::Parser,
    ready: VecDeque<sse::Block>,
    /// The id of the last event that had one.
    pub(super) last_id: Option<String>,
    /// How long the server wants to be left alone before the stream is resumed.
    pub(super) retry: Option<Duration>,
}

impl Events {
    pub(super) fn new(body: UpstreamBody) -> Self {
        Self {
            body,
            parser: sse::Parser::new(LARGEST),
            ready: VecDeque::new(),
            last_id: None,
            retry: None,
        }
    }

    /// The next event with data: its name and its data. `None` when the stream is over, or cannot be read on.
    pub(super) async fn next(&mut self) -> Option<(Option<String>, Vec<u8>)> {
        loop {
            while let Some(block) = self.ready.pop_front() {
                if let Some(id) = block.field("id") {
                    self.last_id = Some(id.to_owned());
                }
                if let Some(pause) = block.field("retry").and_then(|ms| ms.trim().parse().ok()) {
                    self.retry = Some(Duration::from_millis(pause));
                }
                let name = block.field("event").map(str::to_owned);
                if let Some(data) = block.data {
                    return Some((name, data));
                }
            }
            let bytes = self.body.frame().await?.ok()?.into_data().ok();
            let ready = &mut self.ready;
            if let Some(bytes) = bytes
                && let Err(error) = self.parser.feed(&bytes, |block| ready.push_back(block))
            {
                tracing::warn!(%error, "a stream of the server is ended");
                return None;
            }
        }
    }
}

/// Whether an event carries a message.
pub(super) fn is_message(name: Option<&str>) -> bool {
    matches!(name, None | Some("message" | ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_its_id_however_it_is_written() {
        let request = Frame::read(br#"{"jsonrpc":"2.0","id":"a\u0062","method":"ping"}"#);
        let id = request.request().unwrap();
        assert!(Frame::read(br#"{"id":"ab","result":{}}"#).answers(id));
        assert!(!Frame::read(br#"{"id":"ab","method":"ping"}"#).answers(id));
        assert!(!Frame::read(br#"{"id":null,"error":{}}"#).answers(id));
        assert!(
            Frame::read(br#"{"method":"notifications/x"}"#)
                .request()
                .is_none()
        );
        let answer = unanswered(id, "gone");
        assert!(Frame::read(&answer).answers(id));
        assert!(Frame::read(b"nonsense").request().is_none());
    }

    #[test]
    fn a_modern_request_is_repeated_in_its_headers() {
        let text = r#"{"id":1,"method":"tools/call","params":{"name":"é","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let map = Frame::read(text.as_bytes()).modern_headers().unwrap();
        assert_eq!(map["mcp-protocol-version"], "2026-07-28");
        assert_eq!(map["mcp-method"], "tools/call");
        assert_eq!(map["mcp-name"], "=?base64?w6k=?=");
        let legacy = r#"{"id":1,"method":"tools/call","params":{"name":"a","arguments":{"io.modelcontextprotocol/protocolVersion":1}}}"#;
        assert!(Frame::read(legacy.as_bytes()).modern_headers().is_none());
        let cancel =
            Frame::read(br#"{"method":"notifications/cancelled","params":{"requestId":7}}"#);
        assert_eq!(cancel.cancels(), Some(serde_json::json!(7)));
    }

    #[tokio::test]
    async fn a_stream_says_from_where_it_can_be_resumed() {
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        let mut events = Events::new(UpstreamBody::Bridge(receiver));
        for piece in [
            "id: 1\ndata:\n\nretry: 250\n\n",
            ": note\n\nid: 2\nevent: mess",
            "age\ndata: {}\n\n",
        ] {
            sender.send(Bytes::from(piece)).await.unwrap();
        }
        drop(sender);
        let (name, data) = events.next().await.unwrap();
        assert_eq!(
            (name.as_deref(), data.as_slice()),
            (Some("message"), &b"{}"[..])
        );
        assert_eq!(events.last_id.as_deref(), Some("2"));
        assert_eq!(events.retry, Some(Duration::from_millis(250)));
        assert!(events.next().await.is_none());
    }
}
