//! Connections to the server: plain or TLS, with a bound on how long they take to be made.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{
    ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::Service;

use super::address::{Address, Reach, Resolver};

/// Below the 5 s after which Node closes an idle connection, so that no call runs into a closing one.
const IDLE: Duration = Duration::from_secs(4);
/// The same for a server elsewhere, which is behind something that waits longer, and far away.
const IDLE_REMOTE: Duration = Duration::from_secs(20);
/// How long it may take to connect, the look-up of the name and TLS included.
const CONNECT: Duration = Duration::from_secs(10);

pub(super) type Client = legacy::Client<Connector, Full<Bytes>>;

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The given authorities.
    #[error("--upstream-ca must be one or more certificates in PEM: {0}")]
    Authorities(String),
    /// The system's authorities.
    #[error("this system has no certificates of authorities, give one by --upstream-ca: {0}")]
    System(std::io::Error),
    /// Of rustls itself.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A client for this address, which trusts the authorities in `ca`, else the system's.
pub(super) fn client(address: &Address, ca: Option<&[u8]>) -> Result<Client, Error> {
    let tls = address.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
    let mut http = HttpConnector::new_with_resolver(Resolver(address.reach));
    http.set_nodelay(true);
    http.enforce_http(false);
    let https = HttpsConnectorBuilder::new().with_tls_config(config(tls, ca)?);
    let https = if tls {
        https.https_only()
    } else {
        https.https_or_http()
    };
    let idle = match address.reach {
        Reach::Loopback | Reach::Service => IDLE,
        Reach::Remote => IDLE_REMOTE,
    };
    Ok(legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(idle)
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(128)
        .build(Connector(https.enable_http1().wrap_connector(http))))
}

fn config(tls: bool, ca: Option<&[u8]>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match ca {
        // The system's certificates take memory, and are read only where they are needed.
        None if tls => builder.with_native_roots().map_err(Error::System)?,
        None => builder.with_root_certificates(RootCertStore::empty()),
        Some(pem) => builder.with_root_certificates(authorities(pem)?),
    };
    Ok(builder.with_no_client_auth())
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| Error::Authorities(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| Error::Authorities(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(Error::Authorities("there is none in it".to_owned()));
    }
    Ok(roots)
}

/// Connects within [`CONNECT`].
#[derive(Clone, Debug)]
pub(super) struct Connector(HttpsConnector<HttpConnector<Resolver>>);

#[derive(Debug, thiserror::Error)]
#[error("no connection within {CONNECT:?}")]
struct Slow;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(Slow.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_certificates() {
        for text in [
            "",
            "no certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(
                matches!(
                    config(true, Some(text.as_bytes())),
                    Err(Error::Authorities(_))
                ),
                "{text}"
            );
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let signed = rcgen::CertificateParams::new(vec!["a.test".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        assert!(config(true, Some(signed.pem().as_bytes())).is_ok());
    }
}
