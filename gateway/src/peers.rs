//! From one gateway of a server to another: a request whose MCP session another pod has is handed to that pod's gateway,
//! which decides again, by the caller's own token.
//!
//! Where it is sent stands in the sealed session id, so no caller can choose it. By the time it is sent, the address may
//! be another pod's; therefore the whole request is sealed under the server's key, and an answer counts only with a proof
//! that its sender knows that key. A request that came this way is never handed on again.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::body::ReplyBody;
use crate::exchange::{Exchange, Step, refuse};
use crate::headers;
use crate::intake::{self, RequestBody};
use crate::keys::{Keys, Purpose};
use crate::pipeline::Gateway;
use crate::upstream::UpstreamBody;

/// Where a gateway takes what another one hands on.
const PATH: &str = "/.kubectl-mcp/peer";
/// In a request: sealed, for whom it is and when it was made. In an answer: the proof.
const TICKET: HeaderName = HeaderName::from_static("x-kubectl-mcp-peer");
/// How far the clocks of two nodes may be apart.
const CLOCKS: Duration = Duration::from_secs(60);
/// Pods of one cluster answer within milliseconds; an address that nobody has answers never.
const CONNECT: Duration = Duration::from_secs(2);
/// No shorter than the other gateway's own patience with its server.
const ANSWER: Duration = Duration::from_secs(610);
/// A kept connection is closed well before its other end does it.
const IDLE: Duration = Duration::from_secs(4);
/// What sealing and the headers add to a body, at most.
const ENVELOPE: usize = 256 * 1024;

/// Headers that belong to the first connection.
const LEFT_OUT: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
    header::UPGRADE,
    header::DATE,
    TICKET,
];

/// Why the other gateway gave no answer.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it cannot be reached: {0}")]
    Connect(hyper_util::client::legacy::Error),
    #[error("it ended the connection: {0}")]
    Broken(hyper_util::client::legacy::Error),
    #[error("it did not answer within {ANSWER:?}")]
    Timeout,
    #[error("what answers there is no gateway of this server")]
    Stranger,
    #[error("the request cannot be sealed: {0}")]
    Seal(#[from] crate::keys::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
}

/// Marks a request that came from another gateway: the address from which it was called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromPeer(pub(crate) IpAddr);

/// The way to the other gateways.
#[derive(Clone, Debug)]
pub struct Peers(Client<HttpConnector, Full<Bytes>>);

impl Default for Peers {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self(client)
    }
}

/// A request as it is handed on, but for its body.
#[derive(Serialize, Deserialize)]
struct Head {
    peer: IpAddr,
    method: String,
    path: String,
    /// Values byte by byte, each a character.
    headers: Vec<(String, String)>,
}

/// Hands a request of `peer` to the gateway at `to` and gives its answer. A pod that is gone makes the session unknown.
pub(crate) async fn hand_on(
    gateway: &Gateway,
    exchange: &mut Exchange,
    to: SocketAddr,
    peer: IpAddr,
    (method, path, headers, body): (Method, &str, &HeaderMap, &Bytes),
) -> Step<Response<ReplyBody>> {
    if exchange.from_peer.is_some() {
        return refuse(Answer::unknown_session());
    }
    let text = written(peer, &method, path, headers, body);
    match send(gateway, to, &text).await {
        Ok(response) => {
            // The other gateway decides, and writes the audit line.
            exchange.passed_on = true;
            Ok(response)
        }
        Err(error) => {
            tracing::info!(%to, %error, "no answer from the gateway that has the session");
            refuse(match error {
                Error::Connect(_) | Error::Stranger => Answer::unknown_session(),
                Error::Broken(_) | Error::Timeout | Error::Seal(_) | Error::Request(_) => {
                    Answer::upstream(
                        access::Reason::UpstreamUnavailable,
                        "the gateway that has the MCP session did not answer",
                    )
                }
            })
        }
    }
}

async fn send(
    gateway: &Gateway,
    to: SocketAddr,
    text: &[u8],
) -> Result<Response<ReplyBody>, Error> {
    let keys = Arc::clone(&gateway.sealer.keys());
    let ticket = ticket(&keys, to, Timestamp::now())?;
    let sealed = keys.seal(Purpose::Peer, ticket.as_bytes(), text)?;
    let uri = Uri::builder()
        .scheme("http")
        .authority(to.to_string())
        .path_and_query(PATH)
        .build()?;
    let request = Request::post(uri)
        .header(TICKET, &ticket)
        .body(Full::from(sealed))?;
    let response = match tokio::time::timeout(ANSWER, gateway.peers.0.request(request)).await {
        Err(_) => return Err(Error::Timeout),
        Ok(Err(error)) if error.is_connect() => return Err(Error::Connect(error)),
        Ok(Err(error)) => return Err(Error::Broken(error)),
        Ok(Ok(response)) => response,
    };
    let proof = headers::single(response.headers(), &TICKET).ok().flatten();
    let proof = proof.and_then(|proof| URL_SAFE_NO_PAD.decode(proof).ok());
    let proven = proof.and_then(|proof| keys.open(Purpose::Peer, &for_answer(&ticket), &proof));
    if proven.is_none() {
        return Err(Error::Stranger);
    }
    let (mut parts, incoming) = response.into_parts();
    for name in &LEFT_OUT {
        parts.headers.remove(name);
    }
    parts.extensions.clear();
    let body = ReplyBody::relay(UpstreamBody::Http(incoming));
    Ok(Response::from_parts(parts, body))
}

/// Whether a request claims to come from another gateway.
pub(crate) fn is_for_us(request: &Request<Incoming>) -> bool {
    request.uri().path() == PATH && request.method() == Method::POST
}

/// A request that another gateway handed on, with what its answer must carry; else the request as it came.
pub(crate) async fn opened(
    gateway: &Gateway,
    request: Request<Incoming>,
) -> (Request<RequestBody>, Option<HeaderValue>) {
    let keys = Arc::clone(&gateway.sealer.keys());
    let ticket = valid_ticket(gateway, &keys, &request);
    let (parts, incoming) = request.into_parts();
    let Some(ticket) = ticket else {
        let network = RequestBody::Network(incoming);
        return (Request::from_parts(parts, network), None);
    };
    let most = gateway.largest_body + ENVELOPE;
    let sealed = match intake::collect(RequestBody::Network(incoming), gateway, most).await {
        Ok((sealed, _room)) => sealed,
        Err(_) => Bytes::new(),
    };
    let text = keys.open(Purpose::Peer, ticket.as_bytes(), &sealed);
    let request = text.and_then(|text| read(text.into()));
    let proof = keys.seal(Purpose::Peer, &for_answer(&ticket), b"");
    let proof = proof.ok().map(|proof| URL_SAFE_NO_PAD.encode(proof));
    let proof = proof.and_then(|proof| HeaderValue::from_str(&proof).ok());
    // What cannot be read goes the way of any request to a path that is none.
    let unread = || Request::from_parts(parts, RequestBody::Whole(Bytes::new()));
    (request.unwrap_or_else(unread), proof)
}

/// Says to the other gateway that the answer is one of this server's.
pub(crate) fn prove(response: &mut Response<ReplyBody>, proof: Option<HeaderValue>) {
    if let Some(proof) = proof {
        response.headers_mut().insert(TICKET, proof);
    }
}

/// Sealed, so only a gateway of this server can have made it; for one address and one minute, so it is of no use
/// elsewhere or later.
fn ticket(keys: &Keys, to: SocketAddr, now: Timestamp) -> Result<String, crate::keys::Error> {
    let text = now.as_second().to_be_bytes();
    let sealed = keys.seal(Purpose::Peer, &for_request(to), &text)?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// The ticket of a request, if it is from another gateway.
fn valid_ticket(gateway: &Gateway, keys: &Keys, request: &Request<Incoming>) -> Option<String> {
    let ticket = headers::single(request.headers(), &TICKET).ok()??;
    is_valid(keys, ticket, gateway.sealer.own()?, Timestamp::now()).then(|| ticket.to_owned())
}

fn is_valid(keys: &Keys, ticket: &str, own: SocketAddr, now: Timestamp) -> bool {
    let sealed = URL_SAFE_NO_PAD.decode(ticket).ok();
    let made = sealed.and_then(|sealed| keys.open(Purpose::Peer, &for_request(own), &sealed));
    let made = made.and_then(|made| made.try_into().ok());
    made.map(i64::from_be_bytes)
        .is_some_and(|made| now.as_second().abs_diff(made) <= CLOCKS.as_secs())
}

fn for_request(to: SocketAddr) -> Vec<u8> {
    format!("to {to}").into_bytes()
}

fn for_answer(ticket: &str) -> Vec<u8> {
    format!("answer to {ticket}").into_bytes()
}

/// The length of the head in four bytes, the head as JSON, the body.
fn written(
    peer: IpAddr,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Vec<u8> {
    let headers = headers
        .iter()
        .filter(|(name, _)| !LEFT_OUT.contains(name))
        .map(|(name, value)| {
            let value = value.as_bytes().iter().map(|b| char::from(*b)).collect();
            (name.to_string(), value)
        });
    let head = Head {
        peer,
        method: method.to_string(),
        path: path.to_owned(),
        headers: headers.collect(),
    };
    let head = serde_json::to_vec(&head).expect("strings and lists of them are JSON");
    let mut text = BytesMut::with_capacity(4 + head.len() + body.len());
    text.put_u32(u32::try_from(head.len()).unwrap_or(u32::MAX));
    text.put_slice(&head);
    text.put_slice(body);
    text.into()
}

fn read(mut text: Bytes) -> Option<Request<RequestBody>> {
    let (length, _) = text.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if text.len() < 4 + length {
        return None;
    }
    let head: Head = serde_json::from_slice(&text[4..4 + length]).ok()?;
    let body = RequestBody::Whole(text.split_off(4 + length));
    let mut request = Request::builder()
        .method(head.method.as_str())
        .uri(head.path)
        .extension(FromPeer(head.peer))
        .body(body)
        .ok()?;
    for (name, value) in head.headers {
        let value: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(c).ok()).collect();
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(&value?).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written_but_for_its_connection() {
        let mut headers = HeaderMap::new();
        let opaque = HeaderValue::from_bytes(b"caf\xe9").unwrap();
        headers.append("x-twice", HeaderValue::from_static("1"));
        headers.append("x-twice", opaque.clone());
        headers.append(header::CONTENT_LENGTH, HeaderValue::from_static("9"));
        headers.append(TICKET, HeaderValue::from_static("forged"));
        let body = Bytes::from_static(b"\xff body");
        let peer = IpAddr::from([10, 1, 2, 3]);
        let text = written(peer, &Method::POST, "/mcp", &headers, &body);
        let request = read(text.clone().into()).unwrap();
        assert_eq!(request.uri(), "/mcp");
        assert_eq!(request.headers().len(), 2);
        let twice: Vec<_> = request.headers().get_all("x-twice").iter().collect();
        assert_eq!(twice, ["1".parse::<HeaderValue>().unwrap(), opaque]);
        let from = request.extensions().get().map(|FromPeer(from)| *from);
        assert_eq!(from, Some(peer));
        assert!(matches!(request.body(), RequestBody::Whole(whole) if *whole == body));
        for end in 0..8 {
            assert!(read(Bytes::copy_from_slice(&text[..end])).is_none());
        }
    }

    #[test]
    fn a_ticket_is_good_for_one_gateway_one_minute_and_one_key() {
        let keys = Keys::random().unwrap();
        let own = SocketAddr::from(([10, 0, 0, 1], 8091));
        let now = Timestamp::now();
        let ticket = ticket(&keys, own, now).unwrap();
        assert!(is_valid(&keys, &ticket, own, now));
        let later = now + jiff::SignedDuration::from_secs(62);
        assert!(!is_valid(&keys, &ticket, own, later));
        let other = SocketAddr::from(([10, 0, 0, 2], 8091));
        assert!(!is_valid(&keys, &ticket, other, now));
        assert!(!is_valid(&Keys::random().unwrap(), &ticket, own, now));
        assert!(!is_valid(&keys, "", own, now));
    }
}
