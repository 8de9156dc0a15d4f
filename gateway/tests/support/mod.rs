//! The real gateway binary in front of a real server, and a small HTTP client. Everything stops with its value.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "shared by all tests, each of which uses a part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]

pub mod elsewhere;
pub mod fixture;
pub mod issuer;
pub mod recorder;
pub mod scripted;
pub mod sink;
pub mod stdio;
pub mod upstream;

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use access::Settings;
use api::{
    MCPAccessGrant, MCPAccessGrantSpec, MCPAgentSession, MCPAgentSessionSpec, MCPServer, ServerRef,
    SideEffect, Subject, Tool, ToolRule, Trust,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

/// How long a busy machine may take for anything.
pub const LONG: Duration = Duration::from_secs(60);
pub const NAMESPACE: &str = "team-a";
pub const SERVER: &str = "everything";
pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;

/// Stops the process when dropped.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The server-everything of npm, or `None` where it is not installed.
pub fn everything() -> Option<PathBuf> {
    let path = std::env::var_os("KUBECTL_MCP_TEST_EVERYTHING").map(PathBuf::from);
    if path.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "KUBECTL_MCP_TEST_EVERYTHING must be set under CI=true"
        );
        println!(
            "left out because KUBECTL_MCP_TEST_EVERYTHING does not name server-everything's dist/index.js"
        );
    }
    path
}

/// What the bundle is compiled from.
pub struct World {
    pub settings: Settings,
    pub server: MCPServer,
    pub grants: Vec<MCPAccessGrant>,
    pub sessions: Vec<MCPAgentSession>,
    /// Where the gateway listens, if not just anywhere.
    pub port: Option<u16>,
    /// More flags of the gateway.
    pub flags: Vec<&'static str>,
    /// How the gateway reaches its server, if not at a port of loopback.
    pub upstream: Vec<String>,
    /// The file that a gateway finds which also follows the API.
    pub mounted: Option<String>,
    sequence: u64,
}

impl World {
    pub fn new() -> Self {
        let mut server = MCPServer::new(SERVER, api::MCPServerSpec::default());
        let tool = |name: &str, side_effect| Tool {
            name: name.to_owned(),
            side_effect: Some(side_effect),
            ..Tool::default()
        };
        server.spec.tools = vec![
            tool("echo", SideEffect::Read),
            tool("get-sum", SideEffect::Read),
            tool("trigger-long-running-operation", SideEffect::Read),
            tool("get-env", SideEffect::Destructive),
        ];
        let mut settings = Settings::new(NAMESPACE, SERVER);
        settings.hosts = vec!["127.0.0.1".to_owned()];
        settings.origins = vec!["https://app.example.com".to_owned()];
        let mut world = Self {
            settings,
            server,
            grants: Vec::new(),
            sessions: Vec::new(),
            port: None,
            flags: Vec::new(),
            upstream: Vec::new(),
            mounted: None,
            sequence: 0,
        };
        world.session("alice");
        world.session("bob");
        world
    }

    /// A session of `human` with the token `mcps_<human>`.
    pub fn session(&mut self, human: &str) {
        let mut session = MCPAgentSession::new(
            human,
            MCPAgentSessionSpec {
                server_ref: ServerRef {
                    name: SERVER.to_owned(),
                },
                subject: Subject {
                    human_id: Some(human.to_owned()),
                    ..Subject::default()
                },
                consented_trust: Trust::Low,
                expires_at: Time(Timestamp::now() + SignedDuration::from_hours(1)),
                revoked: false,
                token_hash: access::token_hash(&format!("mcps_{human}")),
                upstream_token_secret_ref: None,
            },
        );
        session.metadata.creation_timestamp = Some(Time(Timestamp::now()));
        self.sessions.push(session);
    }

    pub fn grant(&mut self, human: &str, tools: &[&str]) {
        let rule = |name: &&str| ToolRule {
            name: (*name).to_owned(),
            ..ToolRule::default()
        };
        self.grants.push(MCPAccessGrant::new(
            &format!("{human}-{}", self.grants.len()),
            MCPAccessGrantSpec {
                server_ref: ServerRef {
                    name: SERVER.to_owned(),
                },
                subject: Subject {
                    human_id: Some(human.to_owned()),
                    ..Subject::default()
                },
                allowed_side_effects: vec![SideEffect::Read],
                tool_rules: tools.iter().map(rule).collect(),
                ..MCPAccessGrantSpec::default()
            },
        ));
    }

    /// The sequence of the newest bundle.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The next bundle.
    pub fn json(&mut self) -> String {
        self.sequence += 1;
        let grants: Vec<_> = self.grants.iter().cloned().map(Arc::new).collect();
        let sessions: Vec<_> = self.sessions.iter().cloned().map(Arc::new).collect();
        let bundle = access::compile(
            &self.settings,
            &self.server,
            &grants,
            &sessions,
            Timestamp::now(),
        );
        bundle.with_sequence(self.sequence).to_json()
    }
}

/// How a gateway is started besides what every test needs.
#[derive(Default)]
pub struct Extra {
    pub flags: Vec<String>,
    pub env: Vec<(String, PathBuf)>,
    /// Where its log goes.
    pub log: Option<PathBuf>,
}

/// A gateway with its bundle, and the server behind it if there is one.
pub struct Stand {
    pub world: World,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    audit: Arc<Mutex<Vec<Value>>>,
    folder: tempfile::TempDir,
    pub client: Client<HttpConnector, Full<Bytes>>,
    gateway: Process,
    server: Option<Process>,
}

/// One whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    /// The message in it, from JSON or from the last event with data.
    pub fn message(&self) -> Value {
        if let Ok(value) = serde_json::from_str(&self.body) {
            return value;
        }
        let last = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .next_back();
        last.and_then(|data| serde_json::from_str(data).ok())
            .unwrap_or_else(|| panic!("no message in {self:?}"))
    }

    pub fn reason(&self) -> String {
        self.message()["error"]["data"]["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub fn session(&self) -> String {
        self.headers["mcp-session-id"].to_str().unwrap().to_owned()
    }
}

impl Stand {
    /// A gateway in front of nothing.
    pub fn alone(world: World) -> Self {
        Self::start(world, free_port(), None, None)
    }

    /// A gateway in front of what listens on this port.
    pub fn in_front_of(world: World, port: u16) -> Self {
        Self::start(world, port, None, None)
    }

    /// The same with more flags, variables and a log in a file.
    pub fn with(world: World, port: u16, extra: &Extra) -> Self {
        Self::start_with(world, port, None, None, extra)
    }

    /// A gateway in front of server-everything, when both are ready.
    pub async fn with_everything(world: World, path: &std::path::Path) -> Self {
        let stand = Self::start(world, free_port(), Some(path), None);
        stand
            .until("the gateway is ready", || async {
                stand.admin("/readyz").await.status == StatusCode::OK
            })
            .await;
        stand
    }

    /// A gateway in front of nothing, without a file, that follows the ConfigMap by the API.
    pub fn watching(world: World, kubeconfig: &std::path::Path) -> Self {
        Self::start(world, free_port(), None, Some(kubeconfig))
    }

    fn start(
        world: World,
        upstream: u16,
        everything: Option<&std::path::Path>,
        kubeconfig: Option<&std::path::Path>,
    ) -> Self {
        Self::start_with(world, upstream, everything, kubeconfig, &Extra::default())
    }

    fn start_with(
        world: World,
        upstream: u16,
        everything: Option<&std::path::Path>,
        kubeconfig: Option<&std::path::Path>,
        extra: &Extra,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = everything.map(|path| serve_everything(path, upstream, &folder));
        let upstream = if world.upstream.is_empty() {
            vec![format!("--upstream=http://127.0.0.1:{upstream}/mcp")]
        } else {
            world.upstream.clone()
        };
        let upstream: Vec<&str> = upstream.iter().map(String::as_str).collect();
        Self::launch(world, folder, &upstream, server, kubeconfig, extra)
    }

    /// A gateway with flags of its own, in front of a process that ends with it.
    fn launch(
        mut world: World,
        folder: tempfile::TempDir,
        flags: &[&str],
        server: Option<Process>,
        kubeconfig: Option<&std::path::Path>,
        extra: &Extra,
    ) -> Self {
        let port = world.port.unwrap_or_else(free_port);
        let admin = free_port();
        let mounted = world.mounted.take();
        if let Some(text) = mounted.or_else(|| kubeconfig.is_none().then(|| world.json())) {
            std::fs::write(folder.path().join("access.json"), text).unwrap();
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let admin = SocketAddr::from(([127, 0, 0, 1], admin));
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-gateway"));
        if let Some(kubeconfig) = kubeconfig {
            command
                .arg("serve")
                .arg("--watch")
                .env("KUBECONFIG", kubeconfig);
        } else {
            command.args(["serve", "--bundle-poll-ms", "50"]);
        }
        let mut child = command
            .args(["--namespace", &world.settings.namespace, "--server", SERVER])
            .args(["--log-format", "text"])
            .env("MCP_GATEWAY_DRAIN_SECONDS", "0")
            .args(&world.flags)
            .arg("--listen")
            .arg(address.to_string())
            .arg("--admin")
            .arg(admin.to_string())
            .args(flags)
            .arg("--bundle")
            .arg(folder.path())
            .args(&extra.flags)
            .envs(extra.env.iter().cloned())
            .stderr(extra.log.as_ref().map_or_else(Stdio::inherit, |path| {
                std::fs::File::create(path).unwrap().into()
            }))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let audit = Arc::new(Mutex::new(Vec::new()));
        let (lines, out) = (Arc::clone(&audit), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                lines
                    .lock()
                    .unwrap()
                    .push(serde_json::from_str(&line).unwrap());
            }
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            world,
            address,
            admin,
            audit,
            folder,
            client,
            gateway: Process(child),
            server,
        }
    }

    /// Writes the bundle anew, as the kubelet does: another file in its place. Its sequence number.
    pub fn publish(&mut self) -> u64 {
        let new = self.folder.path().join("new");
        std::fs::write(&new, self.world.json()).unwrap();
        std::fs::rename(new, self.folder.path().join("access.json")).unwrap();
        self.world.sequence
    }

    pub fn spoil_bundle(&self, text: &str) {
        std::fs::write(self.folder.path().join("access.json"), text).unwrap();
    }

    /// Takes the bundle's file away.
    pub fn lose_bundle(&self) {
        std::fs::remove_file(self.folder.path().join("access.json")).unwrap();
    }

    pub async fn send(
        &self,
        method: Method,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        self.try_send(method, headers, body).await.unwrap()
    }

    async fn try_send(
        &self,
        method: Method,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}/mcp", self.address));
        let has = |name: &str| headers.iter().any(|(n, _)| *n == name);
        if !has("content-type") {
            request = request.header("content-type", "application/json");
        }
        if !has("accept") {
            request = request.header("accept", "application/json, text/event-stream");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.client
            .request(
                request
                    .body(Full::new(Bytes::from(body.to_owned())))
                    .unwrap(),
            )
            .await
    }

    /// Sends a request that is none of MCP.
    pub async fn raw(&self, request: http::request::Builder, body: &'static str) -> Reply {
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        whole(self.client.request(request).await.unwrap()).await
    }

    /// Posts as the holder of the token `mcps_<who>`.
    pub async fn post(&self, who: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let token = format!("Bearer mcps_{who}");
        let mut all = vec![("authorization", token.as_str())];
        all.extend(headers);
        whole(self.send(Method::POST, &all, body).await).await
    }

    /// Posts with these headers alone.
    pub async fn ask(&self, headers: &[(&str, &str)], body: &str) -> Reply {
        whole(self.send(Method::POST, headers, body).await).await
    }

    /// Asks for another path than that of the endpoint.
    pub async fn at(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).unwrap();
        whole(self.client.request(request).await.unwrap()).await
    }

    /// The reason of the answer to a message, if anybody listens.
    pub async fn try_post(&self, who: &str, body: &str) -> Option<String> {
        let token = format!("Bearer mcps_{who}");
        let headers = [("authorization", token.as_str())];
        let response = self.try_send(Method::POST, &headers, body).await.ok()?;
        Some(whole(response).await.reason())
    }

    /// Initialises a legacy session.
    pub async fn initialize(&self, who: &str) -> String {
        let reply = self.post(who, &[], INITIALIZE).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        let session = reply.session();
        let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let noted = self.post(who, &[("mcp-session-id", &session)], note).await;
        assert_eq!(noted.status, StatusCode::ACCEPTED, "{noted:?}");
        session
    }

    pub async fn call(&self, who: &str, session: &str, tool: &str, arguments: Value) -> Reply {
        let params = json!({ "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params })
            .to_string();
        self.post(who, &[("mcp-session-id", session)], &body).await
    }

    pub async fn admin(&self, path: &str) -> Reply {
        let request = Request::get(format!("http://{}{path}", self.admin))
            .body(Full::default())
            .unwrap();
        match self.client.request(request).await {
            Ok(response) => whole(response).await,
            Err(error) => Reply {
                status: StatusCode::IM_A_TEAPOT,
                headers: HeaderMap::new(),
                body: error.to_string(),
            },
        }
    }

    /// Waits until the gateway listens and has its bundle.
    pub async fn listening(self) -> Self {
        self.until("the gateway has its bundle", || async {
            match self
                .try_send(Method::POST, &[("authorization", "Bearer none")], "{}")
                .await
            {
                Ok(response) => response.status() != StatusCode::SERVICE_UNAVAILABLE,
                Err(_) => false,
            }
        })
        .await;
        self
    }

    /// Asks again and again until it is so, for at most [`LONG`].
    pub async fn until<F: Future<Output = bool>>(
        &self,
        what: &str,
        mut so: impl FnMut() -> F,
    ) -> Duration {
        let began = Instant::now();
        while !so().await {
            assert!(began.elapsed() < LONG, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    }

    /// The audit lines so far that fit.
    pub fn audit(&self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.audit
            .lock()
            .unwrap()
            .iter()
            .filter(|line| fits(line))
            .cloned()
            .collect()
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = self.pid().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let began = Instant::now();
        loop {
            if let Some(status) = self.gateway.0.try_wait().unwrap() {
                return status;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the gateway does not end"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The audit lines that fit, when there are so many.
    pub async fn audited(&self, count: usize, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.until("the audit lines", || async {
            self.audit(&fits).len() >= count
        })
        .await;
        let lines = self.audit(fits);
        assert_eq!(lines.len(), count, "{lines:?}");
        lines
    }

    /// Lets go of the audit lines so far; how many there were.
    pub fn forget_audit(&self) -> u64 {
        std::mem::take(&mut *self.audit.lock().unwrap()).len() as u64
    }

    pub fn pid(&self) -> u32 {
        self.gateway.0.id()
    }

    /// Sends the gateway a SIGTERM, without waiting for its end.
    pub fn signal(&self) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// How the gateway ended, if it did.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.gateway.0.try_wait().unwrap()
    }
}

pub fn serve_everything(path: &std::path::Path, port: u16, folder: &tempfile::TempDir) -> Process {
    run_everything(path, "streamableHttp", port, folder)
}

/// Runs server-everything, which has no option for its address, on loopback only.
pub fn run_everything(
    path: &std::path::Path,
    transport: &str,
    port: u16,
    folder: &tempfile::TempDir,
) -> Process {
    let preload = folder.path().join("loopback.cjs");
    std::fs::write(
        &preload,
        "const net = require('net'); const listen = net.Server.prototype.listen;\n\
         net.Server.prototype.listen = function (port, ...rest) {\n\
           return typeof port === 'object' ? listen.call(this, port, ...rest) : listen.call(this, port, '127.0.0.1', ...rest);\n\
         };\n",
    )
    .unwrap();
    let child =
        Command::new(std::env::var_os("KUBECTL_MCP_TEST_NODE").unwrap_or_else(|| "node".into()))
            .arg("--require")
            .arg(&preload)
            .arg(path)
            .arg(transport)
            .env("PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    Process(child)
}

pub async fn whole(response: Response<Incoming>) -> Reply {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}
