//! Stdio servers that nobody here wrote, behind `mcp-gateway exec` and the gateway.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{Extra, Process, Reply, Stand, World, whole};

/// The folder with the servers and the interpreters, or `None` where there is none.
pub struct Servers {
    folder: PathBuf,
}

impl Servers {
    pub fn find() -> Option<Self> {
        let folder = std::env::var_os("KUBECTL_MCP_TEST_STDIO").map(PathBuf::from);
        if folder.is_none() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "KUBECTL_MCP_TEST_STDIO must be set under CI=true"
            );
            println!(
                "left out because KUBECTL_MCP_TEST_STDIO does not name a folder with stdio servers"
            );
        }
        folder.map(|folder| Self { folder })
    }

    /// The command of a server of npm.
    pub fn npm(&self, name: &str, arguments: &[&str]) -> Vec<String> {
        let node = std::env::var("KUBECTL_MCP_TEST_NODE").unwrap_or_else(|_| "node".to_owned());
        let script = format!("npm/node_modules/@modelcontextprotocol/{name}/dist/index.js");
        let script = self.folder.join(script).to_str().unwrap().to_owned();
        let own = arguments.iter().map(|a| (*a).to_owned());
        [node, script].into_iter().chain(own).collect()
    }

    /// The command of a server of the Python index, in one of the sets of packages.
    pub fn python(&self, set: &str, module: &str, arguments: &[&str]) -> Vec<String> {
        let packages = self.folder.join(set).to_str().unwrap().to_owned();
        let start = format!("from {module} import main; main()");
        let path = format!("PYTHONPATH={packages}");
        let start = ["env", path.as_str(), "python3", "-c", start.as_str()];
        start
            .iter()
            .chain(arguments)
            .map(|a| (*a).to_owned())
            .collect()
    }
}

/// `mcp-gateway exec` with a command.
pub fn exec(socket: &std::path::Path, flags: &[&str], command: &[String]) -> Command {
    let mut exec = Command::new(env!("CARGO_BIN_EXE_mcp-gateway"));
    exec.arg("exec").arg("--socket").arg(socket).args(flags);
    exec.arg("--").args(command);
    exec.stdin(Stdio::null()).stdout(Stdio::null());
    exec
}

/// A world whose tools are all granted to alice and bob, with every prompt and resource.
pub fn open_world(tools: &[&str]) -> World {
    let mut world = World::new();
    world.server.spec.tools = tools
        .iter()
        .map(|name| api::Tool {
            name: (*name).to_owned(),
            side_effect: Some(api::SideEffect::Read),
            ..api::Tool::default()
        })
        .collect();
    for who in ["alice", "bob"] {
        world.grant(who, &["*"]);
        let grant = world.grants.last_mut().unwrap();
        grant.spec.prompts = vec!["*".to_owned()];
        grant.spec.resources = vec!["*".to_owned()];
    }
    world
}

impl Stand {
    /// A gateway in front of a stdio server, when both are ready. The flags are the gateway's.
    pub async fn with_stdio(world: World, command: &[String], flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("bridge.sock");
        let server = Process(exec(&socket, &[], command).spawn().unwrap());
        let upstream = format!("stdio:{}", socket.display());
        let flags: Vec<&str> = ["--upstream", &upstream]
            .iter()
            .chain(flags)
            .copied()
            .collect();
        let stand = Self::launch(world, folder, &flags, Some(server), None, &Extra::default());
        stand
            .until("the gateway is ready", || async {
                stand.admin("/readyz").await.status == StatusCode::OK
            })
            .await;
        stand
    }

    /// The process that runs the server's processes.
    pub fn server_pid(&self) -> u32 {
        self.server.as_ref().unwrap().0.id()
    }

    /// A session of a client with these capabilities.
    pub async fn initialize_with(&self, who: &str, version: &str, capabilities: Value) -> Reply {
        let info = json!({ "name": "test", "version": "1" });
        let params =
            json!({ "protocolVersion": version, "capabilities": capabilities, "clientInfo": info });
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        self.post(who, &[], &body.to_string()).await
    }

    /// A request within a legacy session.
    pub async fn in_session(
        &self,
        who: &str,
        session: &str,
        id: Value,
        method: &str,
        params: Value,
    ) -> Reply {
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.post(who, &[("mcp-session-id", session)], &body.to_string())
            .await
    }

    /// A modern request, with the headers that repeat it.
    pub async fn modern(&self, who: &str, id: Value, method: &str, params: Value) -> Reply {
        whole(self.modern_stream(who, id, method, params).await).await
    }

    /// The same, with its answer still coming.
    pub async fn modern_stream(
        &self,
        who: &str,
        id: Value,
        method: &str,
        mut params: Value,
    ) -> http::Response<Incoming> {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let name = params
            .get("name")
            .or(params.get("uri"))
            .and_then(Value::as_str);
        let name = name.unwrap_or_default().to_owned();
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let token = format!("Bearer mcps_{who}");
        let mut headers = vec![
            ("authorization", token.as_str()),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
        ];
        if !name.is_empty() {
            headers.push(("mcp-name", &name));
        }
        self.send(Method::POST, &headers, &body.to_string()).await
    }

    /// The standalone stream of a session.
    pub async fn listen(&self, who: &str, session: &str) -> Events {
        let token = format!("Bearer mcps_{who}");
        let headers = [
            ("authorization", token.as_str()),
            ("mcp-session-id", session),
            ("accept", "text/event-stream"),
        ];
        let response = self.send(Method::GET, &headers, "").await;
        assert_eq!(response.status(), StatusCode::OK);
        Events::of(response)
    }
}

/// The messages of a stream, as they come.
pub struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    pub fn of(response: http::Response<Incoming>) -> Self {
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next message; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                if let Some(data) = data.filter(|data| !data.is_empty()) {
                    return Some(serde_json::from_str(data).unwrap());
                }
                continue;
            }
            let frame = tokio::time::timeout(super::LONG, self.body.frame()).await;
            let frame = frame.expect("the stream says nothing")?.unwrap();
            let bytes = frame.into_data().unwrap_or_default();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The first message that fits; those before it are passed over.
    pub async fn find(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await.expect("the stream has ended");
            if fits(&message) {
                return message;
            }
        }
    }
}
