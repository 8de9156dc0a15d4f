//! HTTP with SSE, the transport of 2024-11-05: a stream on which the server first names an endpoint, to which messages
//! are posted, and on which everything else comes. The endpoint must be of the same origin.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::frame::{Events, Frame, is_message, unanswered};
use super::{DEPTH, PATIENCE, REQUESTS};
use crate::bridge::channel::{Connect, Opening, Pipe};
use crate::headers;
use crate::upstream::{Error, Http};

/// A server that speaks HTTP with SSE.
#[derive(Clone, Debug)]
pub struct Sse {
    upstream: Http,
}

impl Sse {
    /// The server whose stream is at the address of `upstream`.
    pub fn new(upstream: Http) -> Self {
        Self { upstream }
    }

    async fn begin(&self) -> Result<Pipe, Error> {
        let mut map = HeaderMap::new();
        map.insert(
            header::ACCEPT,
            HeaderValue::from_static("text/event-stream"),
        );
        let response = self.upstream.send(Method::GET, map, Bytes::new()).await?;
        if response.status() != StatusCode::OK {
            return Err(Error::Status(response.status()));
        }
        if !headers::is_event_stream(response.headers()) {
            return Err(Error::Transport(
                "does not answer GET with a stream of events: is `transport: sse` right?",
            ));
        }
        let mut events = Events::new(response.into_body());
        let (name, data) = events.next().await.ok_or(Error::Transport(
            "ended its stream before it named an endpoint",
        ))?;
        if name.as_deref() != Some("endpoint") {
            return Err(Error::Transport(
                "began its stream with something else than an endpoint",
            ));
        }
        let endpoint = endpoint(&self.upstream.address().uri, &data)?;
        let (to_server, from_bridge) = mpsc::channel(DEPTH);
        let (to_bridge, from_server) = mpsc::channel(DEPTH);
        let posts = Posts {
            upstream: self.upstream.clone(),
            endpoint,
            answers: to_bridge.clone(),
        };
        tokio::spawn(async move {
            tokio::select! {
                () = read(events, &to_bridge) => {}
                () = posts.run(from_bridge) => {}
                () = to_bridge.closed() => {}
            }
        });
        Ok(Pipe {
            to_server,
            from_server,
        })
    }
}

impl Connect for Sse {
    fn open(&self) -> Opening<'_> {
        Box::pin(async move {
            match tokio::time::timeout(PATIENCE, self.begin()).await {
                Ok(begun) => begun,
                Err(_) => Err(Error::Timeout),
            }
        })
    }
}

/// The path of an endpoint on the origin of `base`: a URL, or relative to it.
fn endpoint(base: &Uri, data: &[u8]) -> Result<PathAndQuery, Error> {
    const ELSEWHERE: Error = Error::Transport("named an endpoint of another origin");
    const UNREADABLE: Error = Error::Transport("named an endpoint that is no URL");
    let text = std::str::from_utf8(data).map_err(|_| UNREADABLE)?.trim();
    if text.starts_with("//") || text.starts_with('\\') {
        return Err(ELSEWHERE);
    }
    if text.contains("://") && !text.starts_with(['/', '?']) {
        let uri: Uri = text.parse().map_err(|_| UNREADABLE)?;
        let port = |uri: &Uri| {
            uri.port_u16().or(match uri.scheme_str() {
                Some("http") => Some(80),
                Some("https") => Some(443),
                _ => None,
            })
        };
        let same = uri.scheme() == base.scheme()
            && uri.host().map(str::to_ascii_lowercase) == base.host().map(str::to_ascii_lowercase)
            && port(&uri) == port(base)
            && !uri.authority().is_some_and(|a| a.as_str().contains('@'));
        return match uri.into_parts().path_and_query {
            Some(path) if same => Ok(path),
            Some(_) if !same => Err(ELSEWHERE),
            Some(_) | None => Err(UNREADABLE),
        };
    }
    let path = match text.bytes().next() {
        None => return Err(UNREADABLE),
        Some(b'/') => text.to_owned(),
        Some(b'?') => format!("{}{text}", base.path()),
        Some(_) => {
            let folder = base
                .path()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            format!("{folder}/{text}")
        }
    };
    path.parse().map_err(|_| UNREADABLE)
}

/// Hands on what the server says, until it ends the stream.
async fn read(mut events: Events, to_bridge: &mpsc::Sender<Bytes>) {
    while let Some((name, data)) = events.next().await {
        if is_message(name.as_deref()) && to_bridge.send(data.into()).await.is_err() {
            return;
        }
    }
}

/// The way of messages to the server.
#[derive(Clone)]
struct Posts {
    upstream: Http,
    endpoint: PathAndQuery,
    answers: mpsc::Sender<Bytes>,
}

/// The server has forgotten the conversation.
struct Forgotten;

impl Posts {
    /// Posts one message after the other, but does not wait for requests: some servers answer a post when the work
    /// is done.
    async fn run(self, mut from_bridge: mpsc::Receiver<Bytes>) {
        let mut requests = JoinSet::new();
        loop {
            tokio::select! {
                message = from_bridge.recv(), if requests.len() < REQUESTS => {
                    let Some(message) = message else { return };
                    let frame = Frame::read(&message);
                    if frame.request().is_some() && !frame.is("initialize") {
                        requests.spawn(self.clone().post(message, frame));
                    } else if self.clone().post(message, frame).await.is_err() {
                        return;
                    }
                }
                Some(posted) = requests.join_next() => {
                    if matches!(posted, Ok(Err(Forgotten))) {
                        return;
                    }
                }
            }
        }
    }

    async fn post(self, message: Bytes, frame: Frame) -> Result<(), Forgotten> {
        let mut map = HeaderMap::new();
        map.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let sending = self
            .upstream
            .send_to(self.endpoint.clone(), Method::POST, map, message);
        // What wants no answer must be accepted soon; a request may take the time that it takes.
        let sent = match frame.request() {
            Some(_) => sending.await,
            None => match tokio::time::timeout(PATIENCE, sending).await {
                Ok(sent) => sent,
                Err(_) => Err(Error::Timeout),
            },
        };
        let why = match sent {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) if response.status() == StatusCode::NOT_FOUND => return Err(Forgotten),
            Ok(response) => {
                tracing::warn!(status = %response.status(), "the server did not take a message");
                "the server behind the gateway did not take the message"
            }
            Err(error) => {
                tracing::warn!(%error, "the server did not take a message");
                "the server behind the gateway could not be reached"
            }
        };
        if let Some(id) = frame.request()
            && self.answers.send(unanswered(id, why)).await.is_err()
        {
            return Err(Forgotten);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_stays_on_the_servers_origin() {
        let base: Uri = "http://127.0.0.1:8088/base/sse".parse().unwrap();
        let path = |text: &str| endpoint(&base, text.as_bytes()).map(|path| path.to_string());
        for (text, expected) in [
            ("/message?sessionId=1", "/message?sessionId=1"),
            ("message?sessionId=1", "/base/message?sessionId=1"),
            ("?sessionId=1", "/base/sse?sessionId=1"),
            ("http://127.0.0.1:8088/m?s=1", "/m?s=1"),
            ("/m?next=http://example.com/", "/m?next=http://example.com/"),
        ] {
            assert_eq!(path(text).unwrap(), expected, "{text}");
        }
        for text in [
            "http://127.0.0.1:8089/m",
            "http://example.com/m",
            "https://127.0.0.1:8088/m",
            "http://127.0.0.1:8088@example.com/m",
            "http://me@127.0.0.1:8088/m",
            "//example.com/m",
            "\\\\example.com/m",
            "",
            "/a b",
        ] {
            assert!(matches!(path(text), Err(Error::Transport(_))), "{text}");
        }
        let secure: Uri = "https://example.com/sse".parse().unwrap();
        assert!(endpoint(&secure, b"https://EXAMPLE.com:443/m").is_ok());
        assert!(endpoint(&secure, b"http://example.com/m").is_err());
    }
}
