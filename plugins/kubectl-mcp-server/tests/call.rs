//! `server call` and `server tools` over real HTTP: a server on loopback takes the place of the API server and its
//! service proxy, and answers as the protocol allows: as JSON, as a stream, with questions in between.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// One request as the server saw it.
#[derive(Clone, Debug, Default)]
struct Seen {
    line: String,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }
}

/// Status, content type, body.
type Reply = (u16, &'static str, String);

struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    home: tempfile::TempDir,
}

impl Server {
    /// Answers the handshake itself and the rest by `answer`.
    fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&seen), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || serve(&stream, &kept, &*answer));
            }
        });
        let home = tempfile::tempdir().unwrap();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n\
             users: [{{name: test, user: {{}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test, namespace: team-a}}}}]\n"
        );
        std::fs::write(home.path().join("config"), kubeconfig).unwrap();
        Self { port, seen, home }
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(assert_cmd::cargo::cargo_bin!("kubectl-mcp-server"))
            .args(args)
            .env_clear()
            .env("KUBECONFIG", self.home.path().join("config"))
            .env("KUBECTL_MCP_HOME", self.home.path().join("state"))
            .output()
            .unwrap()
    }

    /// Puts a token where `session create` puts it.
    fn with_token(self) -> Self {
        self.with_token_until("2099-01-01T00:00:00Z")
    }

    fn with_token_until(self, end: &str) -> Self {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(format!("http://127.0.0.1:{}/", self.port));
        let short = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        let directory = self
            .home
            .path()
            .join(format!("state/sessions/test-{short:08x}/team-a"));
        std::fs::create_dir_all(&directory).unwrap();
        let token = json!({"session": "s", "expiresAt": end, "token": "mcps_secret"});
        std::fs::write(directory.join("weather.json"), token.to_string()).unwrap();
        self
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Seen>>, answer: &dyn Fn(&Seen) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read(&mut reader) {
        seen.lock().unwrap().push(request.clone());
        let id = request.body["id"].clone();
        let (status, kind, body) = match request.method() {
            "initialize" => {
                let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "t", "version": "1"}});
                (
                    200,
                    "application/json",
                    json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string(),
                )
            }
            "notifications/initialized" => (202, "text/plain", String::new()),
            _ => answer(&request),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nmcp-session-id: sealed\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = stream;
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()))
            .is_err()
        {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut seen = Seen::default();
    reader
        .read_line(&mut seen.line)
        .ok()
        .filter(|length| *length > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        seen.headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = seen
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    seen.body = serde_json::from_slice(&body).unwrap_or_default();
    Some(seen)
}

fn result(seen: &Seen, result: &Value) -> Reply {
    (
        200,
        "application/json",
        json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result}).to_string(),
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_call_goes_through_the_service_proxy_with_the_callers_token() {
    let server = Server::start(|seen| {
        let message = seen.body["params"]["arguments"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        result(
            seen,
            &json!({"content": [{"type": "text", "text": format!("Echo: {message}")}]}),
        )
    })
    .with_token();
    let output = server.run(&["call", "weather", "echo", "message=hello world"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "Echo: hello world\n"),
        "{}",
        text(&output.stderr)
    );
    let seen = server.seen();
    let methods: Vec<_> = seen.iter().map(Seen::method).collect();
    assert_eq!(
        methods,
        ["initialize", "notifications/initialized", "tools/call", ""]
    );
    for request in &seen {
        assert!(
            request
                .line
                .contains(" /api/v1/namespaces/team-a/services/weather:http/proxy/mcp "),
            "{}",
            request.line
        );
        assert_eq!(request.header("x-mcp-session-token"), Some("mcps_secret"));
    }
    assert_eq!(seen[2].header("mcp-session-id"), Some("sealed"));
    assert_eq!(seen[2].header("mcp-protocol-version"), Some("2025-11-25"));
    assert!(seen[3].line.starts_with("DELETE "), "{}", seen[3].line);
}

#[test]
fn a_stream_is_read_to_the_answer_and_questions_in_it_are_answered() {
    let server = Server::start(|seen| match seen.method() {
        "tools/call" => {
            let event = |message: Value| format!("event: message\ndata: {message}\n\n");
            let id = &seen.body["id"];
            let body = [
                event(json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "half way"}})),
                event(json!({"jsonrpc": "2.0", "id": "p", "method": "ping"})),
                event(json!({"jsonrpc": "2.0", "id": "q", "method": "roots/list"})),
                event(json!({"jsonrpc": "2.0", "id": 999, "result": {"content": [{"type": "text", "text": "another's"}]}})),
                event(json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": "done"}]}})),
            ];
            (200, "text/event-stream", body.concat())
        }
        _ => (202, "text/plain", String::new()),
    })
    .with_token();
    let output = server.run(&["call", "weather", "slow"]);
    assert_eq!(text(&output.stdout), "done\n");
    assert_eq!(text(&output.stderr), "half way\n");
    let answers: Vec<_> = server
        .seen()
        .into_iter()
        .filter(|seen| seen.body["id"].is_string())
        .map(|seen| seen.body)
        .collect();
    assert_eq!(
        answers[0],
        json!({"jsonrpc": "2.0", "id": "p", "result": {}})
    );
    assert_eq!(
        (&answers[1]["id"], &answers[1]["error"]["code"]),
        (&json!("q"), &json!(-32601))
    );
}

#[test]
fn a_denial_is_exit_code_1_with_the_gateways_sentence_and_command() {
    let server = Server::start(|seen| {
        let error = json!({"code": 1, "message": "whole", "data": {"reason": "no_matching_grant",
            "detail": "human:alice has no grant on server \"weather\"", "hint": "kubectl mcp grant create --server weather"}});
        (200, "application/json", json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error}).to_string())
    })
    .with_token();
    let output = server.run(&["call", "weather", "echo"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: cannot call tool 'echo' of server 'weather': human:alice has no grant on server \"weather\" (no_matching_grant)\n\
         hint: kubectl mcp grant create --server weather\n"
    );
}

#[test]
fn without_a_session_it_is_said_how_to_get_one() {
    let server = Server::start(|_| {
        (
            404,
            "application/json",
            json!({"kind": "Status", "code": 403, "reason": "Forbidden",
        "message": "mcpservers is forbidden", "status": "Failure"})
            .to_string(),
        )
    });
    let output = server.run(&["call", "weather", "echo"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stderr),
        "error: you have no session for server 'weather' in namespace 'team-a'\n\
         hint: kubectl mcp session create --server weather -n team-a\n"
    );
}

#[test]
fn a_session_that_is_over_is_not_sent() {
    let server = Server::start(|_| (500, "text/plain", String::new()))
        .with_token_until("2020-01-01T00:00:00Z");
    let output = server.run(&["call", "weather", "echo"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stderr),
        "error: the session expired at 2020-01-01T00:00:00Z: s for server 'weather' in namespace 'team-a'\n\
         hint: kubectl mcp session create --server weather -n team-a\n"
    );
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("x-mcp-session-token").is_none())
    );
}

#[test]
fn a_slip_in_a_tools_name_is_pointed_out() {
    let server = Server::start(|seen| {
        if seen.method() == "tools/call" {
            let error = json!({"code": 1, "message": "whole", "data": {"reason": "no_matching_grant",
                "detail": "no grant", "hint": "kubectl mcp grant create"}});
            (200, "application/json", json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error}).to_string())
        }
        else {
            let server = json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
                "metadata": {"name": "weather"}, "spec": {"image": "x", "tools": [{"name": "echo"}]}});
            (200, "application/json", server.to_string())
        }
    })
    .with_token();
    let output = server.run(&["call", "weather", "ecko"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).ends_with(
            "hint: not declared in spec.tools of MCPServer weather; did you mean echo?\n"
        ),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn tools_of_all_pages_are_listed() {
    let server =
        Server::start(
            |seen| match (seen.method(), seen.body["params"]["cursor"].as_str()) {
                ("tools/list", None) => result(
                    seen,
                    &json!({"tools": [{"name": "a", "description": "first"}], "nextCursor": "2"}),
                ),
                ("tools/list", Some("2")) => result(seen, &json!({"tools": [{"name": "b"}]})),
                _ => (
                    404,
                    "application/json",
                    json!({"kind": "Status", "code": 404, "message": "no", "status": "Failure"})
                        .to_string(),
                ),
            },
        )
        .with_token();
    let output = server.run(&["tools", "weather"]);
    assert_eq!(
        text(&output.stdout),
        "NAME   DOES   TRUST   DESCRIPTION\na      ?      ?       first\nb      ?      ?       <none>\n",
        "{}",
        text(&output.stderr)
    );
}

/// What the API server answers for a server whose tool echo changed after it was approved.
fn drifted(seen: &Seen) -> Reply {
    let refused = json!({"kind": "Status", "code": 403, "message": "no", "status": "Failure", "reason": "Forbidden"});
    if seen.line.contains("/pods") {
        return (403, "application/json", refused.to_string());
    }
    let mut server = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": "weather", "namespace": "team-a", "resourceVersion": "7"},
        "spec": {"image": "x", "tools": [
            {"name": "echo", "sideEffect": "write", "pin": "sha256:old"}, {"name": "add"},
        ]},
        "status": {"phase": "Ready", "discovered": {"definitions": [
            {"name": "add", "hash": "sha256:hidden", "findings": ["tag-characters"]},
            {"name": "echo", "hash": "sha256:new"}, {"name": "extra", "hash": "sha256:extra"},
        ]}},
    });
    if let Some(tools) = seen.body.pointer("/spec/tools") {
        server["spec"]["tools"] = tools.clone();
    }
    (200, "application/json", server.to_string())
}

#[test]
fn what_is_not_the_approved_definition_is_exit_code_1() {
    let server = Server::start(drifted);
    let output = server.run(&["tools", "diff", "weather"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("echo    drifted    old        new"),
        "{}",
        text(&output.stdout)
    );
    assert!(text(&output.stderr).contains("--subresource=proxy"));
    let json = server.run(&["tools", "diff", "weather", "echo", "-o", "json"]);
    let rows: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        rows,
        json!([{"tool": "echo", "standing": "drifted", "pins": ["sha256:old"], "hash": "sha256:new", "findings": [], "declared": true}])
    );
}

#[test]
fn approving_writes_pins_and_nothing_else() {
    let server = Server::start(drifted);
    let output = server.run(&["tools", "approve", "weather", "echo"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "mcpserver.kubectl-mcp.dev/weather approved\n"
    );
    let patches = || {
        let seen = server.seen();
        seen.into_iter()
            .filter(|seen| seen.line.starts_with("PATCH "))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        patches()[0].body,
        json!({"metadata": {"resourceVersion": "7"}, "spec": {"tools": [
            {"name": "echo", "sideEffect": "write", "pin": "sha256:new"}, {"name": "add"},
        ]}})
    );
    for (arguments, says) in [
        (&["add"][..], "--allow-hidden"),
        (&["--all"], "--allow-hidden"),
        (&["extra"], "add it to spec.tools"),
        (&["none"], "lists no tool 'none'"),
        (&[], "<TOOL>"),
    ] {
        let output = server.run(&[&["tools", "approve", "weather"], arguments].concat());
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        assert!(
            text(&output.stderr).contains(says),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
    let dry = [
        "tools",
        "approve",
        "weather",
        "--all",
        "--allow-hidden",
        "--dry-run",
        "-o",
        "json",
    ];
    let dry: Value = serde_json::from_slice(&server.run(&dry).stdout).unwrap();
    assert_eq!(dry["spec"]["tools"][1]["pin"], "sha256:hidden");
    assert_eq!(
        patches().len(),
        1,
        "a dry run, or a refusal, changes nothing"
    );
}

#[test]
fn doubtful_values_take_the_type_of_the_tools_schema() {
    let server = Server::start(|seen| match seen.method() {
        "tools/list" => result(seen, &json!({"tools": [{"name": "add", "inputSchema": {"properties": {"a": {"type": "number"}}}}]})),
        _ => result(seen, &json!({"content": [{"type": "text", "text": seen.body["params"]["arguments"].to_string()}]})),
    })
    .with_token();
    let output = server.run(&["call", "weather", "add", "a=1", "b=2"]);
    assert_eq!(
        text(&output.stdout),
        "{\"a\":1,\"b\":\"2\"}\n",
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_url_is_called_with_the_token_as_bearer_and_without_the_kubeconfigs_login() {
    let server =
        Server::start(|seen| result(seen, &json!({"content": [{"type": "text", "text": "ok"}]})))
            .with_token();
    let url = format!("http://127.0.0.1:{}/weather/mcp", server.port);
    let output = server.run(&["call", "weather", "echo", "--url", &url]);
    assert_eq!(text(&output.stdout), "ok\n", "{}", text(&output.stderr));
    for request in server.seen() {
        assert!(request.line.contains(" /weather/mcp "), "{}", request.line);
        assert_eq!(request.header("authorization"), Some("Bearer mcps_secret"));
    }
}

#[test]
fn a_tool_that_fails_is_exit_code_1() {
    let server = Server::start(|seen| {
        result(
            seen,
            &json!({"isError": true, "content": [{"type": "text", "text": "no such city"}]}),
        )
    })
    .with_token();
    let output = server.run(&["call", "weather", "forecast"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(1), "no such city\n")
    );
}

#[test]
fn a_name_cannot_leave_the_path_of_the_service_proxy() {
    let server = Server::start(|seen| result(seen, &json!({}))).with_token();
    let output = server.run(&["call", "Weather/../x", "echo"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("must be lower-case letters"),
        "{}",
        text(&output.stderr)
    );
}
