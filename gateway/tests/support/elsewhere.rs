//! A small MCP server of our own that behaves in ways real ones rarely do, with or without TLS, and remembers what came.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum_server::tls_rustls::RustlsConfig;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

/// How the server behaves.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// A server of the legacy era.
    Legacy,
    /// The same, whose stream breaks before the answer to a call, and can be resumed.
    Breaking,
    /// A server of the modern era only.
    Modern,
    /// It takes nobody.
    Unauthorized,
    /// It redirects to this URL.
    Redirect(String),
    /// HTTP with SSE, with this endpoint.
    Sse(String),
}

/// One request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Clone, Debug)]
pub struct Elsewhere {
    behaviour: Behaviour,
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    key: Arc<Mutex<Option<String>>>,
}

/// An authority, and the certificate and key that it made for a name; all PEM.
pub struct Certificates {
    pub authority: String,
    pub certificate: String,
    pub key: String,
}

pub fn certificates(name: &str) -> Certificates {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(params, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Certificates {
        authority: authority.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

impl Elsewhere {
    /// Serves on a port of loopback until the test ends.
    pub async fn start(behaviour: Behaviour, tls: Option<&Certificates>) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self {
            behaviour,
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            key: Arc::default(),
        };
        let router = Router::new().fallback(handle).with_state(server.clone());
        if let Some(tls) = tls {
            drop(rustls::crypto::ring::default_provider().install_default());
            let (certificate, key) = (tls.certificate.clone(), tls.key.clone());
            let config = RustlsConfig::from_pem(certificate.into(), key.into());
            let config = config.await.unwrap();
            let serving = axum_server::from_tcp_rustls(listener, config).unwrap();
            tokio::spawn(serving.serve(router.into_make_service()));
        } else {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
        server
    }

    /// From now on it takes only requests with this value of `X-Api-Key`.
    pub fn take_only(&self, key: &str) {
        *self.key.lock().unwrap() = Some(key.to_owned());
    }

    /// The requests so far whose body has this text.
    pub fn seen(&self, text: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.body.contains(text))
            .cloned()
            .collect()
    }
}

async fn handle(State(server): State<Elsewhere>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(bytes.to_vec()).unwrap();
    server.seen.lock().unwrap().push(Seen {
        method: parts.method.clone(),
        headers: parts.headers.clone(),
        body: body.clone(),
    });
    let key = server.key.lock().unwrap().clone();
    if key.is_some_and(|key| {
        parts
            .headers
            .get("x-api-key")
            .is_none_or(|given| *given != *key)
    }) {
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]).into_response();
    }
    let message: Value = serde_json::from_str(&body).unwrap_or_default();
    match &server.behaviour {
        Behaviour::Unauthorized => (
            StatusCode::UNAUTHORIZED,
            [("www-authenticate", "Bearer realm=\"elsewhere\"")],
        )
            .into_response(),
        Behaviour::Redirect(to) => (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, to.clone())],
        )
            .into_response(),
        Behaviour::Sse(endpoint) => events(format!("event: endpoint\ndata: {endpoint}\n\n")),
        Behaviour::Legacy => legacy(&parts.method, &message),
        Behaviour::Breaking => server.breaking(&parts.method, &parts.headers, &message),
        Behaviour::Modern => modern(&parts.method, &parts.headers, &message),
    }
}

fn events(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], text).into_response()
}

fn result(message: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })
}

fn error(message: &Value, status: StatusCode, code: i32) -> Response {
    let error = json!({ "code": code, "message": "no" });
    let body = json!({ "jsonrpc": "2.0", "id": message["id"], "error": error });
    (status, axum::Json(body)).into_response()
}

/// What tools are and do is the same in both eras.
fn tools(message: &Value) -> Option<Value> {
    match message["method"].as_str()? {
        "tools/list" => {
            let tool = json!({ "name": "echo", "inputSchema": { "type": "object" } });
            Some(json!({ "tools": [tool] }))
        }
        "tools/call" => {
            let text = &message["params"]["arguments"]["message"];
            Some(json!({ "content": [{ "type": "text", "text": text }] }))
        }
        _ => None,
    }
}

fn legacy(method: &Method, message: &Value) -> Response {
    match *method {
        Method::POST => {}
        Method::DELETE => return StatusCode::OK.into_response(),
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
    if message["id"].is_null() {
        return StatusCode::ACCEPTED.into_response();
    }
    if message["method"] == "initialize" {
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {}, "prompts": {} },
            "serverInfo": { "name": "elsewhere", "version": "1" },
        });
        let session = [("mcp-session-id", "elsewhere-1")];
        return (session, axum::Json(result(message, &hello))).into_response();
    }
    match tools(message) {
        Some(found) => axum::Json(result(message, &found)).into_response(),
        None if message["method"] == "prompts/list" => {
            axum::Json(result(message, &json!({ "prompts": [] }))).into_response()
        }
        None => error(message, StatusCode::BAD_REQUEST, -32000),
    }
}

fn modern(method: &Method, headers: &HeaderMap, message: &Value) -> Response {
    if *method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let version = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    if version.is_null() {
        return error(message, StatusCode::NOT_FOUND, -32601);
    }
    let repeated = |name: &str, value: &Value| {
        headers.get(name).and_then(|given| given.to_str().ok()) == value.as_str()
    };
    let named =
        message["method"] != "tools/call" || repeated("mcp-name", &message["params"]["name"]);
    if !repeated("mcp-protocol-version", version)
        || !repeated("mcp-method", &message["method"])
        || !named
    {
        return error(message, StatusCode::BAD_REQUEST, -32020);
    }
    let mut found = match tools(message) {
        Some(found) => found,
        None if message["method"] == "server/discover" => json!({
            "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
        }),
        None => return error(message, StatusCode::NOT_FOUND, -32601),
    };
    found["resultType"] = json!("complete");
    if message["method"] != "tools/call" {
        found["ttlMs"] = json!(0);
        found["cacheScope"] = json!("public");
    }
    axum::Json(result(message, &found)).into_response()
}

impl Elsewhere {
    fn breaking(&self, method: &Method, headers: &HeaderMap, message: &Value) -> Response {
        if *method == Method::GET {
            let resumed = headers
                .get("last-event-id")
                .is_some_and(|id| id == "call-1");
            return match self.seen("tools/call").first() {
                Some(call) if resumed => {
                    let call: Value = serde_json::from_str(&call.body).unwrap();
                    let answer = result(&call, &tools(&call).unwrap());
                    events(format!("id: call-2\ndata: {answer}\n\n"))
                }
                _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
            };
        }
        if message["method"] == "tools/call" {
            return events("id: call-1\nretry: 10\ndata:\n\n".to_owned());
        }
        legacy(method, message)
    }
}
