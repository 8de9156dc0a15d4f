//! Issuers of tokens: a real authorization server from npm, and a key set of our own for what no real one does.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use access::{IssuerEntry, OAuthEntry};
use api::AuthMode;
use axum::Router;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::{Process, World, free_port};

/// The server's name as an OAuth resource.
pub const RESOURCE: &str = "https://mcp.example.com/everything/mcp";

/// A world whose server takes tokens of this issuer.
pub fn trusting(issuer: &str) -> World {
    let mut world = World::new();
    world.flags = vec!["--insecure-issuers"];
    world.settings.auth = AuthMode::OAuth;
    world.settings.paths.push("/everything/mcp".to_owned());
    world.settings.oauth = Some(OAuthEntry {
        resource: RESOURCE.to_owned(),
        required_scopes: vec!["mcp:use".to_owned()],
        issuers: vec![IssuerEntry {
            url: issuer.to_owned(),
            audiences: vec![RESOURCE.to_owned()],
            keys: None,
            human: "sub".to_owned(),
            agent: Some("bot".to_owned()),
            team: Some("team".to_owned()),
            scopes: "scope".to_owned(),
        }],
    });
    world
}

/// npm's oidc-provider as a process.
pub struct OidcProvider {
    pub url: String,
    port: u16,
    modules: PathBuf,
    process: Option<Process>,
}

impl OidcProvider {
    /// Starts it, or `None` where it is not installed.
    pub async fn start() -> Option<Self> {
        let Some(modules) = std::env::var_os("KUBECTL_MCP_TEST_ISSUER").map(PathBuf::from) else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "KUBECTL_MCP_TEST_ISSUER must be set under CI=true"
            );
            println!(
                "left out because KUBECTL_MCP_TEST_ISSUER does not name the folder of oidc-provider"
            );
            return None;
        };
        let port = free_port();
        let mut provider = Self {
            url: format!("http://127.0.0.1:{port}"),
            port,
            modules,
            process: None,
        };
        provider.restart("first").await;
        Some(provider)
    }

    /// Ends it and starts it with new keys, whose ids begin with `keys`.
    pub async fn restart(&mut self, keys: &str) {
        self.stop();
        let node = std::env::var_os("KUBECTL_MCP_TEST_NODE").unwrap_or_else(|| "node".into());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/issuer/issuer.mjs");
        let child = Command::new(node)
            .arg(script)
            .env("PORT", self.port.to_string())
            .env("KEYS", keys)
            .env("MODULES", &self.modules)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(Process(child));
        let began = Instant::now();
        while self.request("/jwks", "").await.is_none() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the issuer does not start"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    /// A token for `resource` with these scopes, signed with the algorithm.
    pub async fn token(&self, algorithm: &str, scopes: &str, resource: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={algorithm}&client_secret=a+secret+of+the+tests\
             &scope={}&resource={resource}",
            scopes.replace(' ', "+")
        );
        let answer = self.request("/token", &form).await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn request(&self, path: &str, form: &str) -> Option<Value> {
        let request = if form.is_empty() {
            Request::get(format!("{}{path}", self.url))
        } else {
            Request::post(format!("{}{path}", self.url))
                .header("content-type", "application/x-www-form-urlencoded")
        };
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let body = Full::new(Bytes::from(form.to_owned()));
        let response = client.request(request.body(body).unwrap()).await.ok()?;
        let body = response.into_body().collect().await.ok()?.to_bytes();
        serde_json::from_slice(&body).ok()
    }
}

/// An issuer of our own, with one key. It counts how often it is asked for it.
#[derive(Clone)]
pub struct KeyServer {
    pub url: String,
    pair: Arc<Ed25519KeyPair>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    /// With a new key, not started yet.
    pub fn new() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self {
            url: format!("http://127.0.0.1:{}", free_port()),
            pair: Arc::new(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()),
            asked: Arc::default(),
        }
    }

    /// Listens; it ends with the test.
    pub async fn start(&self) {
        let address = self.url.strip_prefix("http://").unwrap();
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let metadata = json!({ "issuer": self.url, "jwks_uri": format!("{}/keys", self.url) });
        let metadata = move || async move { metadata.to_string() };
        let routes = Router::new()
            .route(
                "/.well-known/openid-configuration",
                axum::routing::get(metadata),
            )
            .route(
                "/keys",
                axum::routing::get(|State(server): State<Self>| async move { server.keys() }),
            )
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }

    fn keys(&self) -> String {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x }] }).to_string()
    }

    /// How often its keys were asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A token for the server, of `human`, that ends in so many seconds.
    pub fn token(&self, key: &str, human: &str, seconds: i64) -> String {
        let claims = json!({
            "iss": self.url, "aud": RESOURCE, "sub": human, "scope": "mcp:use",
            "exp": Timestamp::now().as_second() + seconds,
        });
        self.sign(&json!({ "alg": "EdDSA", "kid": key }), &claims)
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}
