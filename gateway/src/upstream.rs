//! The way to the server: one HTTP client with kept connections, one address that no caller can change.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::bridge::{Bridge, Call};

/// Below the 5 s after which Node closes an idle connection, so that no call runs into a closing one.
const IDLE: Duration = Duration::from_secs(4);
/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may think before its answer begins.
const ANSWER: Duration = Duration::from_secs(600);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("the server cannot be reached: {0}")]
    Connect(hyper_util::client::legacy::Error),
    /// The connection broke.
    #[error("the server ended the connection: {0}")]
    Broken(hyper_util::client::legacy::Error),
    /// The answer did not begin in time.
    #[error("the server did not answer within {ANSWER:?}")]
    Timeout,
    /// Every process of a stdio server is taken.
    #[error("the server has no process left for another caller")]
    Busy,
    /// A process of a stdio server could not be started, or spoken to.
    #[error("the server's process cannot be used: {0}")]
    Start(String),
    /// The request could not be made.
    #[error("the request to the server cannot be made: {0}")]
    Request(#[from] http::Error),
}

/// Why an address is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("--upstream {0:?} must be a URL such as http://127.0.0.1:8088/mcp")]
    NotAUrl(String),
    /// Not on this machine.
    #[error(
        "--upstream {0:?} must be http on a loopback address such as http://127.0.0.1:8088/mcp"
    )]
    NotLoopback(String),
}

/// The server behind the gateway.
#[derive(Clone, Debug)]
pub struct Upstream(Way);

/// How the server is reached.
#[derive(Clone, Debug)]
enum Way {
    Http {
        client: Box<Client<HttpConnector, Full<Bytes>>>,
        address: Uri,
    },
    Bridge(Bridge),
}

impl Upstream {
    /// A server behind a bridge.
    pub fn bridged(bridge: Bridge) -> Self {
        Self(Way::Bridge(bridge))
    }

    /// A server at this URL.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        let uri: Uri = address
            .parse()
            .map_err(|_| AddressError::NotAUrl(address.to_owned()))?;
        let host = uri
            .host()
            .ok_or_else(|| AddressError::NotAUrl(address.to_owned()))?;
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = host == "localhost"
            || plain
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        if uri.scheme_str() != Some("http") || !loopback {
            return Err(AddressError::NotLoopback(address.to_owned()));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(128)
            .build(connector);
        Ok(Self(Way::Http {
            client: Box::new(client),
            address: uri,
        }))
    }

    /// Sends one request; its answer may be a stream that goes on.
    pub async fn send(&self, call: Call<'_>) -> Result<Response<UpstreamBody>, Error> {
        let (client, address) = match &self.0 {
            Way::Http { client, address } => (client, address),
            Way::Bridge(bridge) => return bridge.send(call).await,
        };
        let mut request = Request::builder()
            .method(call.verb)
            .uri(address.clone())
            .body(Full::new(call.body))?;
        *request.headers_mut() = call.headers;
        match tokio::time::timeout(ANSWER, client.request(request)).await {
            Err(_) => Err(Error::Timeout),
            Ok(Err(error)) if error.is_connect() => Err(Error::Connect(error)),
            Ok(Err(error)) => Err(Error::Broken(error)),
            Ok(Ok(response)) => Ok(response.map(UpstreamBody::Http)),
        }
    }
}

/// The body of the server's answer, as it comes.
#[derive(Debug)]
pub enum UpstreamBody {
    /// From the network.
    Http(Incoming),
    /// From a bridge: what a task of this process writes, until it drops the sender.
    Bridge(tokio::sync::mpsc::Receiver<Bytes>),
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Http(incoming) => Pin::new(incoming).poll_frame(context),
            Self::Bridge(pieces) => pieces
                .poll_recv(context)
                .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http(incoming) => incoming.is_end_stream(),
            Self::Bridge(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http(incoming) => incoming.size_hint(),
            Self::Bridge(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_taken() {
        for address in [
            "http://127.0.0.1:8088/mcp",
            "http://localhost/mcp",
            "http://[::1]:80/",
        ] {
            assert!(Upstream::new(address).is_ok(), "{address}");
        }
        for address in [
            "http://10.0.0.1/mcp",
            "https://127.0.0.1/mcp",
            "http://example.com",
            "/mcp",
            "x y",
            "ftp://localhost",
        ] {
            assert!(Upstream::new(address).is_err(), "{address}");
        }
    }
}
