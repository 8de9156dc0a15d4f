//! HTTPS whose certificate can be replaced while it serves.
//!
//! The certificate comes from whoever owns it: the webhook signs its own in memory, or [`follow_directory`] reads one
//! that cert-manager mounts. Mounted files are polled: the kubelet swaps a symlink, and an inotify watch on the file
//! never sees that.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{Readiness, Shutdown};

/// How often a mounted certificate is read again.
const POLL: Duration = Duration::from_secs(10);
/// An idle connection is kept longer than the 90 s for which Go's HTTP client keeps it in its pool; a server that
/// closes first loses a POST now and then.
const IDLE: Duration = Duration::from_secs(120);

/// Why there is no certificate, or no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read, or holds no PEM of the expected kind.
    #[error("cannot read {path}: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What was wrong with it.
        why: String,
    },
    /// The key does not belong to the certificate, or is of a kind that ring does not know.
    #[error("the key does not fit the certificate: {0}")]
    Mismatch(rustls::Error),
    /// No protocol version is left.
    #[error("cannot configure TLS: {0}")]
    Config(rustls::Error),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// What was given by `--listen`.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server broke.
    #[error("the HTTPS server on {address} ended: {source}")]
    Serve {
        /// Where it listened.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The certificate of a server, replaceable at any time. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Certificate(Arc<ArcSwapOption<CertifiedKey>>);

impl Certificate {
    /// From now on every handshake gets this certificate.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), Error> {
        let provider = rustls::crypto::ring::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(Error::Mismatch)?;
        self.0.store(Some(Arc::new(certified)));
        Ok(())
    }

    /// Whether there is one yet.
    pub fn is_loaded(&self) -> bool {
        self.0.load().is_some()
    }

    /// The leaf in DER, for metrics and tests.
    pub fn leaf(&self) -> Option<CertificateDer<'static>> {
        self.0.load().as_ref().and_then(|c| c.cert.first().cloned())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// How the server speaks TLS: 1.2 and 1.3, whatever certificate is the present one, HTTP/1.1 inside.
///
/// # Errors
/// When no protocol version is left.
pub fn server_config(certificate: Certificate) -> Result<rustls::ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Config)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A socket that listens. From then on clients may connect; they wait until somebody serves.
///
/// # Errors
/// When the address is taken or not ours.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|source| Error::Bind { address, source })
}

/// Serves `router` over TLS 1.2 and 1.3, HTTP/1.1 only, until the process stops; what is under way then gets
/// `grace` to finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    certificate: Certificate,
    shutdown: Shutdown,
    grace: Duration,
) -> Result<(), Error> {
    let address = listener
        .local_addr()
        .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let config = server_config(certificate)?;
    let handle = axum_server::Handle::new();
    let stop = handle.clone();
    tokio::spawn(async move {
        shutdown.stopped.cancelled().await;
        stop.graceful_shutdown(Some(grace));
    });
    let mut server =
        axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(config)))
            .map_err(|source| Error::Bind { address, source })?
            // ALPN offers nothing else, but a client may speak HTTP/2 without asking.
            .http1_only()
            .handle(handle);
    server
        .http_builder()
        .http1()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(IDLE);
    server
        .serve(router.into_make_service())
        .await
        .map_err(|source| Error::Serve { address, source })
}

/// Reads `tls.crt` and `tls.key`.
pub fn read_directory(
    directory: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|e| Error::Read {
            path,
            why: e.to_string(),
        })
    };
    let not_pem = |name: &str, why: String| Error::Read {
        path: directory.join(name),
        why,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read("tls.crt")?)
        .collect::<Result<_, _>>()
        .map_err(|e| not_pem("tls.crt", e.to_string()))?;
    if chain.is_empty() {
        return Err(not_pem("tls.crt", "it holds no PEM certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read("tls.key")?)
        .map_err(|e| not_pem("tls.key", e.to_string()))?;
    Ok((chain, key))
}

/// Keeps `certificate` equal to `tls.crt` and `tls.key` of a directory, forever. A pair that cannot be read or does
/// not fit leaves the old one in place.
pub async fn follow_directory(directory: PathBuf, certificate: Certificate, readiness: Readiness) {
    let mut pending = Some(readiness.register("certificate"));
    let mut last = None;
    loop {
        match read_directory(&directory) {
            Ok((chain, _)) if last.as_ref() == Some(&chain) => {}
            Ok((chain, key)) => match certificate.replace(chain.clone(), key) {
                Ok(()) => {
                    tracing::info!(directory = %directory.display(), "certificate loaded");
                    last = Some(chain);
                    pending = None;
                }
                Err(error) => tracing::error!(%error, "the new certificate is not used"),
            },
            Err(error) => {
                tracing::error!(%error, loaded = pending.is_none(), "cannot read the certificate");
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["a.test".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        (leaf.pem(), key.serialize_pem())
    }

    #[test]
    fn a_key_of_another_certificate_leaves_the_old_one_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        let ((first, key), (second, _)) = (pair(), pair());
        write("tls.crt", &first);
        write("tls.key", &key);
        let certificate = Certificate::default();
        let (chain, private) = read_directory(directory.path()).unwrap();
        certificate.replace(chain, private).unwrap();
        let before = certificate.leaf();

        write("tls.crt", &second);
        let (chain, private) = read_directory(directory.path()).unwrap();
        assert!(matches!(
            certificate.replace(chain, private),
            Err(Error::Mismatch(_))
        ));
        assert_eq!(certificate.leaf(), before);
    }

    #[test]
    fn a_directory_without_a_certificate_is_named_in_the_error() {
        let directory = tempfile::tempdir().unwrap();
        let error = read_directory(directory.path()).unwrap_err().to_string();
        assert!(error.contains("tls.crt"), "{error}");
    }
}
