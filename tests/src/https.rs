//! A small HTTPS client for servers on loopback: one request, one connection, the certificate checked.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Speaks to `https://127.0.0.1:PORT`, whose certificate must come from one authority.
#[derive(Clone, Debug)]
pub struct Https {
    port: u16,
    config: Arc<ClientConfig>,
}

impl Https {
    /// A client that trusts the certificates of a PEM text and no others.
    ///
    /// # Panics
    /// When the text holds no certificate.
    pub fn trusting(port: u16, authorities: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(authorities) {
            roots
                .add(authority.expect("a PEM certificate"))
                .expect("an authority's certificate");
        }
        assert!(!roots.is_empty(), "no certificate in the PEM text");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            port,
            config: Arc::new(config),
        }
    }

    /// Posts JSON: the status and the body of the answer.
    ///
    /// # Errors
    /// When there is no connection, the certificate is not trusted, or the answer is no HTTP.
    pub fn post(&self, path: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let connection =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(std::io::Error::other)?;
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut stream = StreamOwned::new(connection, socket);
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| std::io::Error::other("the answer is no HTTP"))?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| std::io::Error::other("the answer has no status"))?;
        Ok((status, body.to_owned()))
    }
}
