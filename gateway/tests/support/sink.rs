//! What takes batches by HTTP: an audit sink, or a collector of traces.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// A batch as it came.
#[derive(Clone, Debug)]
pub struct Batch {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
    /// What it was answered.
    pub status: StatusCode,
}

impl Batch {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// The server.
#[derive(Clone)]
pub struct Sink {
    pub url: String,
    pub batches: Arc<Mutex<Vec<Batch>>>,
    /// What it answers; none is never.
    status: Arc<Mutex<Option<StatusCode>>>,
}

impl Sink {
    /// On plain HTTP.
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// With a certificate for 127.0.0.1, which is written to `ca`.
    pub async fn secure(ca: &Path) -> Self {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(ca, certified.cert.pem()).unwrap();
        let key =
            rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key.into())
            .unwrap();
        Self::serve(Some(tokio_rustls::TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn serve(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let sink = Self {
            url: format!("{scheme}://{}", listener.local_addr().unwrap()),
            batches: Arc::default(),
            status: Arc::new(Mutex::new(Some(StatusCode::NO_CONTENT))),
        };
        let own = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sink, tls) = (own.clone(), tls.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let sink = sink.clone();
                        async move { Ok::<_, Infallible>(sink.answer(request).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    match tls {
                        None => http
                            .serve_connection(TokioIo::new(stream), service)
                            .await
                            .ok(),
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else {
                                return;
                            };
                            http.serve_connection(TokioIo::new(stream), service)
                                .await
                                .ok()
                        }
                    };
                });
            }
        });
        sink
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let status = *self.status.lock().unwrap();
        let Some(status) = status else {
            return std::future::pending().await;
        };
        self.batches.lock().unwrap().push(Batch {
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
            status,
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        if status.is_redirection() {
            response.headers_mut().insert(
                "location",
                format!("{}/elsewhere", self.url).parse().unwrap(),
            );
        }
        response
    }

    /// From now on it answers this, or not at all.
    pub fn answers(&self, status: Option<StatusCode>) {
        *self.status.lock().unwrap() = status;
    }

    pub fn batches(&self) -> Vec<Batch> {
        self.batches.lock().unwrap().clone()
    }

    /// The lines of all batches that it took.
    pub fn lines(&self) -> Vec<Value> {
        let taken = self
            .batches()
            .into_iter()
            .filter(|batch| batch.status.is_success());
        let text: String = taken.map(|batch| batch.body).collect();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits, for as long as a busy machine may need.
    pub async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while !so(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "waited in vain: {what}: {:?}",
            self.batches()
        );
    }
}
