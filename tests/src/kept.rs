//! An HTTP/1.1 client that keeps its connection, plain or over TLS: what an API server is to a webhook, and what a load
//! is to an API server. One connection, one request at a time.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// How long a server may stay silent.
const SILENCE: Duration = Duration::from_secs(30);

/// A server on 127.0.0.1 and how to speak to it.
#[derive(Clone, Debug)]
pub struct Server {
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

/// An open connection.
pub struct Kept {
    stream: BufReader<Box<dyn Stream>>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Whether the server said that it closes the connection.
    pub closes: bool,
    /// The body as text.
    pub body: String,
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Server {
    /// A server without TLS.
    pub fn plain(port: u16) -> Self {
        Self { port, tls: None }
    }

    /// A server whose certificate comes from one of these authorities (PEM).
    ///
    /// # Panics
    /// When the text holds something that is no authority.
    pub fn trusting(port: u16, authorities: &[u8]) -> Self {
        let config = config(authorities).with_no_client_auth();
        Self {
            port,
            tls: Some(Arc::new(config)),
        }
    }

    /// The API server of a kubeconfig that holds a client certificate.
    ///
    /// # Panics
    /// When it does not.
    pub fn of_kubeconfig(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("the kubeconfig can be read");
        let read: Value = serde_saphyr::from_str(&text).expect("the kubeconfig is YAML");
        let (cluster, user) = (&read["clusters"][0]["cluster"], &read["users"][0]["user"]);
        let data = |value: &Value| {
            let text = value.as_str().expect("the kubeconfig holds what it needs");
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded.expect("it is base64")
        };
        let chain = CertificateDer::pem_slice_iter(&data(&user["client-certificate-data"]))
            .collect::<Result<_, _>>()
            .expect("a client certificate");
        let key = PrivateKeyDer::from_pem_slice(&data(&user["client-key-data"])).expect("its key");
        let config = config(&data(&cluster["certificate-authority-data"]))
            .with_client_auth_cert(chain, key)
            .expect("the key fits");
        let url = cluster["server"]
            .as_str()
            .expect("the kubeconfig names the server");
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        Self {
            port: port.expect("the URL of the server ends with its port"),
            tls: Some(Arc::new(config)),
        }
    }

    /// Opens a connection, with the handshake done.
    ///
    /// # Errors
    /// When nobody listens, or the certificate is not trusted.
    pub fn connect(&self) -> io::Result<Kept> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE))?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(socket),
            Some(config) => {
                let name = ServerName::try_from("127.0.0.1").expect("an address");
                let connection =
                    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(connection, socket);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                Box::new(stream)
            }
        };
        Ok(Kept {
            stream: BufReader::new(stream),
        })
    }
}

fn config(
    authorities: &[u8],
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities) {
        let authority = authority.expect("a PEM certificate");
        roots.add(authority).expect("an authority's certificate");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(roots)
}

impl Kept {
    /// Posts JSON and waits for the answer.
    ///
    /// # Errors
    /// When the connection is gone, which is what a test of connections looks for.
    pub fn post(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Gets a page.
    ///
    /// # Errors
    /// As [`Kept::post`].
    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
    }

    fn send(&mut self, request: &str) -> io::Result<Answer> {
        let stream = self.stream.get_mut();
        stream.write_all(request.as_bytes())?;
        stream.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("the answer has no status"))?;
        let (mut closes, mut length, mut chunked) = (false, 0, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "connection" => closes = value.eq_ignore_ascii_case("close"),
                "content-length" => length = value.parse().map_err(io::Error::other)?,
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                _ => {}
            }
        }
        let body = if chunked {
            self.chunks()?
        } else {
            self.bytes(length)?
        };
        Ok(Answer {
            status,
            closes,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// One line without its end; empty at the end of a head.
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            let gone = "the server closed the connection instead of answering";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, gone));
        }
        Ok(line.trim_end().to_owned())
    }

    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            all.extend(self.bytes(size)?);
            self.line()?;
            if size == 0 {
                return Ok(all);
            }
        }
    }
}
