//! The way to the server: straight over HTTP, or over a bridge where the server speaks another transport, or another era
//! than the caller.

mod address;
mod connector;
mod files;
mod http;
mod nature;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{Response, StatusCode};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::bridge::{self, Bridge, Call, Scope};
use crate::connect::http::HttpSession;
use crate::connect::sse::Sse;

pub use address::{Address, Error as AddressError, Reach};
pub use connector::Error as TlsError;
pub use files::{Error as FileError, Files, HeaderError, HeaderFile};
pub use http::Http;
pub use nature::Nature;

/// How long a server may think before its answer begins.
const ANSWER: Duration = Duration::from_secs(600);
/// Conversations that a bridge holds with a server over HTTP. They are cheap: most are idle, and end then.
const CONVERSATIONS: bridge::Settings = bridge::Settings {
    scope: Scope::Session,
    most: 1024,
    idle: Duration::from_secs(300),
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("the server cannot be reached: {}", causes(.0))]
    Connect(hyper_util::client::legacy::Error),
    /// The connection broke.
    #[error("the server ended the connection: {}", causes(.0))]
    Broken(hyper_util::client::legacy::Error),
    /// The answer did not begin in time.
    #[error("the server did not answer within {ANSWER:?}")]
    Timeout,
    /// The request could not be made.
    #[error("the request to the server cannot be made: {0}")]
    Request(#[from] ::http::Error),
    /// Every process of a stdio server is taken.
    #[error("the server has no process left for another caller")]
    Busy,
    /// A process of a stdio server could not be started, or spoken to.
    #[error("the server's process cannot be used: {0}")]
    Start(String),
    /// A conversation could not begin, because the server did not agree to it.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// A conversation could not begin, because the server does not keep to its transport.
    #[error("the server {0}")]
    Transport(&'static str),
}

/// An error with what caused it, which for TLS says what is wrong with the certificate.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Why there is no way to the server.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A mounted file.
    #[error(transparent)]
    File(#[from] FileError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The server behind the gateway.
#[derive(Clone, Debug)]
pub struct Upstream(Way);

/// How the server is reached.
#[derive(Clone, Debug)]
enum Way {
    /// Straight, but for callers of an era that the server does not speak.
    Http {
        http: Http,
        translator: Bridge,
        nature: Arc<ArcSwapOption<Nature>>,
    },
    /// Over a bridge, whoever calls.
    Bridge(Bridge),
}

impl Upstream {
    /// A server behind a bridge.
    pub fn bridged(bridge: Bridge) -> Self {
        Self(Way::Bridge(bridge))
    }

    /// A server at this address. Must be called in the runtime.
    ///
    /// # Errors
    /// When a file cannot be read or used, or the system has no certificates of authorities.
    pub async fn new(address: Address, files: Files) -> Result<Self, SetupError> {
        let sse = address.sse;
        let http = Http::new(address, files).await?;
        if sse {
            let bridge = Bridge::new(Arc::new(Sse::new(http)), CONVERSATIONS);
            return Ok(Self::bridged(bridge));
        }
        let sessions = Arc::new(HttpSession::new(http.clone()));
        Ok(Self(Way::Http {
            http,
            translator: Bridge::new(sessions, CONVERSATIONS),
            nature: Arc::default(),
        }))
    }

    /// Takes note of what the handshake found out.
    pub fn learn(&self, found: Nature) {
        if let Way::Http { nature, .. } = &self.0 {
            nature.store(Some(Arc::new(found)));
        }
    }

    /// Sends one request; its answer may be a stream that goes on.
    pub async fn send(&self, call: Call<'_>) -> Result<Response<UpstreamBody>, Error> {
        match &self.0 {
            Way::Bridge(bridge) => bridge.send(call).await,
            Way::Http {
                http,
                translator,
                nature,
            } => {
                let nature = nature.load();
                if nature
                    .as_ref()
                    .is_some_and(|nature| nature.needs_translation(call.era, call.translate))
                {
                    return translator.send(call).await;
                }
                http.send(call.verb, call.headers, call.body).await
            }
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
