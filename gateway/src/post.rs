//! HTTP requests that the gateway makes by itself: batches to an audit sink or a collector of traces. TLS by ring and
//! the system's authorities, no redirects, no proxies. Where they go is decided by the bundle and the flags, never by a
//! caller.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// What of an answer is read, so that its connection can be used again.
const ANSWER: usize = 64 * 1024;

type Connector = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a URL.
    #[error("{0:?} must be a URL such as https://audit.example.com/lines")]
    Address(String),
    /// The system has no authorities to check a certificate with.
    #[error("no certificate authorities on this system: {0}")]
    Authorities(std::io::Error),
    /// No answer.
    #[error("no answer: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("no answer within {ATTEMPT:?}")]
    Slow,
    /// An answer that is no success.
    #[error("answered {status}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// When to try again, if it says so.
        retry_after: Option<Duration>,
    },
}

impl Error {
    /// Whether the same batch may be taken later. A key can be renewed, so 401 and 403 do not last; a redirect is not
    /// followed, and does.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Address(_) => false,
            Self::Authorities(_) | Self::Broken(_) | Self::Slow => true,
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::UNAUTHORIZED
                            | StatusCode::FORBIDDEN
                            | StatusCode::REQUEST_TIMEOUT
                            | StatusCode::TOO_MANY_REQUESTS
                    )
            }
        }
    }
}

/// Sends requests. Its connector is made with the first of each scheme: authorities take memory that a server without
/// TLS sinks need not spend.
#[derive(Debug, Default)]
pub struct Poster {
    plain: Option<Connector>,
    secure: Option<Connector>,
}

impl Poster {
    /// Sends one body and waits until it is taken.
    pub async fn post(&mut self, url: &str, headers: HeaderMap, body: Bytes) -> Result<(), Error> {
        let address = || Error::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| address())?;
        let client = match uri.scheme_str() {
            Some("http") => self.plain.get_or_insert_with(plain),
            Some("https") => match &mut self.secure {
                Some(client) => client,
                none => none.insert(secure().map_err(Error::Authorities)?),
            },
            Some(_) | None => return Err(address()),
        };
        let mut request = Request::post(uri)
            .body(Full::new(body))
            .map_err(|_| address())?;
        *request.headers_mut() = headers;
        let sending = async {
            let answer = client
                .request(request)
                .await
                .map_err(|error| Error::Broken(chain(&error)))?;
            let (parts, body) = answer.into_parts();
            // Whether the rest of it comes decides nothing.
            let _ = Limited::new(body, ANSWER).collect().await;
            if parts.status.is_success() {
                return Ok(());
            }
            let wait = parts.headers.get(header::RETRY_AFTER);
            let wait = wait.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Err(Error::Refused {
                status: parts.status,
                retry_after: wait.map(Duration::from_secs),
            })
        };
        tokio::time::timeout(ATTEMPT, sending)
            .await
            .map_err(|_| Error::Slow)?
    }
}

/// The whole story of an error: hyper's own sentence ends at "client error".
fn chain(error: &dyn std::error::Error) -> Box<dyn std::error::Error + Send + Sync> {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.into()
}

/// For `http` only; it knows no authority.
fn plain() -> Connector {
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    client(
        HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build(),
    )
}

fn secure() -> std::io::Result<Connector> {
    let builder = HttpsConnectorBuilder::new().with_native_roots()?;
    Ok(client(builder.https_only().enable_http1().build()))
}

fn client(connector: HttpsConnector<HttpConnector>) -> Connector {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(1)
        .build(connector)
}

/// The header of a bearer key, hidden from logs.
pub fn bearer(key: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
