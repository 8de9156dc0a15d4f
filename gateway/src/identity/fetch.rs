//! Where keys come from: an issuer's metadata and key set over HTTPS (RFC 8414, OIDC discovery), or the API
//! server's own. Called by [`Issuers`](super::issuers::Issuers) alone, with addresses from the access bundle alone.
//!
//! No redirect is followed, no answer is larger than a bound, and nothing is connected to that is the pod itself, the
//! node's own network or a metadata service, whatever a name resolves to.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioExecutor;
use rules::parse::address::place;
use serde::Deserialize;
use tokio::sync::OnceCell;
use tower::Service;

use super::issuers::Source;
use super::jwks::{self, KeySet};
use crate::policy::watch;

/// The largest answer, in bytes.
const LARGEST: usize = 512 * 1024;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a URL that is connected to.
    #[error("{0:?} must be an https URL, and not of the pod or the node itself")]
    Address(String),
    /// The certificate authorities of this system cannot be read.
    #[error("the system's certificate authorities cannot be read: {0}")]
    Roots(io::Error),
    /// No answer.
    #[error("{url} gives no answer: {source}")]
    Request {
        /// Which URL.
        url: String,
        /// Why.
        source: hyper_util::client::legacy::Error,
    },
    /// Another answer than 200.
    #[error("{url} answers with {status}")]
    Status {
        /// Which URL.
        url: String,
        /// The status.
        status: http::StatusCode,
    },
    /// An answer that breaks off or is too large.
    #[error("the answer of {0} breaks off, or is larger than {LARGEST} bytes")]
    Body(String),
    /// Metadata of another form.
    #[error("{url} is no metadata of an issuer: {source}")]
    Metadata {
        /// Which URL.
        url: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Metadata of somebody else (RFC 8414, 3.3).
    #[error("the metadata at {url} is of the issuer {found:?}")]
    OtherIssuer {
        /// Which URL.
        url: String,
        /// Whose metadata it is.
        found: String,
    },
    /// Metadata without keys.
    #[error("the metadata of {0} has no jwks_uri")]
    NoKeys(String),
    /// Not a key set.
    #[error(transparent)]
    Keys(#[from] jwks::Error),
    /// The API server cannot be asked at all.
    #[error("the API server cannot be asked: {0}")]
    Cluster(String),
    /// The API server does not answer.
    #[error("the API server does not give its keys: {0}")]
    Kubernetes(#[from] kube::Error),
    /// It took too long.
    #[error("no keys within {0:?}")]
    Timeout(std::time::Duration),
}

/// What of an issuer's metadata is read.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: Option<String>,
}

type Web = Client<HttpsConnector<HttpConnector<Resolver>>, Empty<Bytes>>;

/// Gets keys. One for the process; its clients are made when they are first needed.
#[derive(Default)]
pub struct Fetcher {
    insecure: bool,
    web: OnceLock<Web>,
    cluster: OnceCell<kube::Client>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// `insecure` lets plain http on loopback through: for tests and development.
    pub fn new(insecure: bool) -> Self {
        Self {
            insecure,
            ..Self::default()
        }
    }

    /// The keys of a source, now.
    pub async fn keys(&self, source: &Source) -> Result<KeySet, Error> {
        match source {
            Source::OAuth {
                issuer,
                keys: Some(url),
            } => Ok(KeySet::read(issuer, &self.get(url).await?)?),
            Source::OAuth { issuer, keys: None } => {
                let url = self.discover(issuer).await?;
                Ok(KeySet::read(issuer, &self.get(&url).await?)?)
            }
            Source::Cluster => self.cluster().await,
        }
    }

    /// Where an issuer says its keys are. The places are asked in the order that MCP gives; the first that answers
    /// counts, and what is said if none does is about the last.
    async fn discover(&self, issuer: &str) -> Result<String, Error> {
        let mut last = Error::NoKeys(issuer.to_owned());
        for url in metadata_urls(issuer) {
            let found = match self.get(&url).await {
                Ok(found) => found,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let metadata: Metadata = match serde_json::from_slice(&found) {
                Ok(metadata) => metadata,
                Err(source) => {
                    last = Error::Metadata { url, source };
                    continue;
                }
            };
            if metadata.issuer != issuer {
                last = Error::OtherIssuer {
                    url,
                    found: metadata.issuer,
                };
                continue;
            }
            match metadata.jwks_uri {
                Some(keys) => return Ok(keys),
                None => last = Error::NoKeys(issuer.to_owned()),
            }
        }
        Err(last)
    }

    async fn get(&self, url: &str) -> Result<Bytes, Error> {
        let uri = self.allowed(url)?;
        let request = Request::get(uri)
            .header("accept", "application/json")
            .body(Empty::new())
            .map_err(|_| Error::Address(url.to_owned()))?;
        let response = self.web()?.request(request).await;
        let response = response.map_err(|source| Error::Request {
            url: url.to_owned(),
            source,
        })?;
        if response.status() != http::StatusCode::OK {
            return Err(Error::Status {
                url: url.to_owned(),
                status: response.status(),
            });
        }
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|_| Error::Body(url.to_owned()))
    }

    /// A URL that may be asked. An address in it never meets the resolver, so it is judged here.
    fn allowed(&self, url: &str) -> Result<Uri, Error> {
        let refused = || Error::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let host = uri.host().ok_or_else(refused)?;
        let address: Option<IpAddr> = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok();
        let loopback = address.is_some_and(|address| address.is_loopback());
        match uri.scheme_str() {
            Some("http") if self.insecure && loopback => Ok(uri),
            Some("https") if address.is_none_or(|address| may_connect(address, self.insecure)) => {
                Ok(uri)
            }
            _ => Err(refused()),
        }
    }

    fn web(&self) -> Result<&Web, Error> {
        if let Some(web) = self.web.get() {
            return Ok(web);
        }
        let mut connector = HttpConnector::new_with_resolver(Resolver {
            inner: GaiResolver::new(),
            insecure: self.insecure,
        });
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(Error::Roots)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        // Minutes lie between two requests, so no connection is kept.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(self.web.get_or_init(|| client))
    }

    /// The keys by which the API server signs tokens of service accounts. Every service account may read them.
    async fn cluster(&self) -> Result<KeySet, Error> {
        let client = self
            .cluster
            .get_or_try_init(|| async {
                watch::client()
                    .await
                    .map_err(|error| Error::Cluster(error.to_string()))
            })
            .await?;
        let get = async |path: &'static str| {
            let request = Request::get(path)
                .body(Vec::new())
                .map_err(|_| Error::Address(path.to_owned()))?;
            Ok::<_, Error>(client.request_text(request).await?)
        };
        let url = "/.well-known/openid-configuration";
        let text = get(url).await?;
        let metadata: Metadata = serde_json::from_str(&text).map_err(|source| Error::Metadata {
            url: url.to_owned(),
            source,
        })?;
        // Its jwks_uri may be an address that only others reach; this path is the API server's own.
        let keys = get("/openid/v1/jwks").await?;
        Ok(KeySet::read(metadata.issuer, keys.as_bytes())?)
    }
}

/// Where the metadata of an issuer may be: RFC 8414, then OIDC discovery in both of its spellings.
fn metadata_urls(issuer: &str) -> Vec<String> {
    let begin = issuer.find("://").map_or(0, |scheme| scheme + 3);
    let end = issuer[begin..]
        .find('/')
        .map_or(issuer.len(), |slash| begin + slash);
    let (origin, path) = (&issuer[..end], issuer[end..].trim_end_matches('/'));
    let mut urls = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        urls.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    urls
}

fn may_connect(address: IpAddr, insecure: bool) -> bool {
    place(address).can_be_allowed() || (insecure && address.is_loopback())
}

/// The system's resolver, without the addresses that are never connected to.
#[derive(Clone, Debug)]
struct Resolver {
    inner: GaiResolver,
    insecure: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let insecure = self.insecure;
        let resolving = self.inner.call(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = resolving
                .await?
                .filter(|found| may_connect(found.ip(), insecure))
                .collect();
            if found.is_empty() {
                return Err(io::Error::other(
                    "the name leads to no address that may be connected to",
                ));
            }
            Ok(found.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_the_specifications_say() {
        assert_eq!(
            metadata_urls("https://a.test/realms/x"),
            [
                "https://a.test/.well-known/oauth-authorization-server/realms/x",
                "https://a.test/.well-known/openid-configuration/realms/x",
                "https://a.test/realms/x/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            metadata_urls("https://a.test/"),
            [
                "https://a.test/.well-known/oauth-authorization-server",
                "https://a.test/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn only_https_outside_of_pod_and_node_is_asked() {
        let strict = Fetcher::new(false);
        for url in [
            "https://a.test/x",
            "https://10.0.0.7:8443/",
            "https://[2606:4700::1]/",
        ] {
            assert!(strict.allowed(url).is_ok(), "{url}");
        }
        for url in [
            "http://a.test/",
            "http://127.0.0.1:9/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/",
            "https://[::ffff:169.254.169.254]/",
            "file:///etc/passwd",
            "/x",
            "",
        ] {
            assert!(strict.allowed(url).is_err(), "{url}");
        }
        let insecure = Fetcher::new(true);
        assert!(insecure.allowed("http://127.0.0.1:9/").is_ok());
        for url in [
            "http://a.test/",
            "http://10.0.0.7/",
            "https://169.254.169.254/",
        ] {
            assert!(insecure.allowed(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_the_pod_itself_is_not_connected_to() {
        let mut resolver = Resolver {
            inner: GaiResolver::new(),
            insecure: false,
        };
        let refused = resolver.call("localhost".parse().unwrap()).await;
        assert!(refused.is_err());
    }
}
