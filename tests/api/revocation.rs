//! How long a change of access takes to act: from the API server's answer, through the operator, to a gateway that
//! follows the API, in front of a server that answers at once.
#![allow(clippy::print_stdout, reason = "the test run shows the figures")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use api::MCPAgentSession;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::{DEADLINE, Environment, Process, eventually, free_port};

use crate::platform::{Platform, ready};

/// How many sessions are revoked, one after the other.
const TRIES: usize = 50;
/// What a revocation may take here, where the machine is slow and shared. On a quiet one it is far below a second.
const BOUND: Duration = Duration::from_secs(5);

#[test]
fn a_revocation_acts_at_once_and_so_does_a_grant() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    let (_operator, _) = platform.start_operator();
    environment.with_namespace("revocation", |namespace| {
        let upstream = serve();
        create(environment, namespace, &objects());
        let gateway = Gateway::start(environment, namespace, upstream);
        for holder in 0..TRIES {
            gateway.until(&name(holder), "\"result\"");
        }
        each_revocation_acts_at_once(environment, namespace, &gateway);
        a_grant_acts_while_the_caller_is_connected(environment, namespace, &gateway);
    });
}

fn each_revocation_acts_at_once(environment: &Environment, namespace: &str, gateway: &Gateway) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sessions: Api<MCPAgentSession> =
        Api::namespaced(runtime.block_on(client(environment)), namespace);
    let revoked = Patch::Merge(json!({ "spec": { "revoked": true } }));
    let (mut denied, mut closed) = (Vec::new(), Vec::new());
    for holder in (0..TRIES).map(name) {
        let stream = gateway.listen(&holder);
        let params = PatchParams::default();
        let patched = sessions.patch(&holder, &params, &revoked);
        runtime.block_on(patched).expect("the session is revoked");
        let began = Instant::now();
        denied.push(gateway.until(&holder, "session_revoked") - began);
        let (ended, said) = stream.join().expect("the stream is read");
        closed.push(ended.saturating_duration_since(began));
        assert!(said.contains("session_revoked"), "{said}");
    }
    show("first denial", &mut denied);
    show("end of the stream", &mut closed);
}

fn a_grant_acts_while_the_caller_is_connected(
    environment: &Environment,
    namespace: &str,
    gateway: &Gateway,
) {
    gateway.until("guest", "no_matching_grant");
    create(environment, namespace, &grant("guest"));
    let began = Instant::now();
    let took = gateway.until("guest", "\"result\"") - began;
    println!("a grant acts after {} ms", took.as_millis());
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_millis();
    let slow = times.iter().filter(|t| **t >= Duration::from_secs(1));
    println!(
        "revocation to {what}, {} tries: min {} ms, median {} ms, p90 {} ms, max {} ms, {} of a second or more",
        times.len(),
        at(0),
        at(50),
        at(90),
        at(100),
        slow.count(),
    );
    assert!(times.iter().all(|time| *time < BOUND), "{what}: {times:?}");
}

fn name(holder: usize) -> String {
    format!("holder-{holder}")
}

/// The server, who may call it, and everybody's session; the guest has no grant.
fn objects() -> Value {
    let server = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": "live"},
        "spec": {"image": "registry.test/mcp/live:1", "ingressHost": "mcp.example.test",
                 "ingressPath": "/live/mcp", "tools": [{"name": "echo", "sideEffect": "read"}]},
    });
    let mut items = vec![server];
    let holders = (0..TRIES).map(name);
    items.extend(holders.clone().map(|holder| grant(&holder)));
    items.extend(holders.chain(["guest".to_owned()]).map(|h| session(&h)));
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn grant(to: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant", "metadata": {"name": to},
        "spec": {"serverRef": {"name": "live"}, "subject": {"humanID": to}, "allowedSideEffects": ["read"],
                 "toolRules": [{"name": "echo"}]},
    })
}

fn session(of: &str) -> Value {
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession", "metadata": {"name": of},
        "spec": {"serverRef": {"name": "live"}, "subject": {"humanID": of}, "consentedTrust": "low",
                 "tokenHash": format!("{:x}", Sha256::digest(token(of))), "expiresAt": ends.to_string()},
    })
}

fn token(of: &str) -> String {
    format!("mcps_{of}")
}

fn create(environment: &Environment, namespace: &str, object: &Value) {
    let arguments = ["create", "-n", namespace, "-f", "-"];
    environment
        .kubectl_with(&arguments, &object.to_string())
        .expect_ok();
}

async fn client(environment: &Environment) -> Client {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let read = Kubeconfig::read_from(&environment.kubeconfig).expect("the kubeconfig is there");
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("it names a cluster")).expect("a client")
}

/// A gateway as in a pod, but without a mounted bundle.
struct Gateway {
    port: u16,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn start(environment: &Environment, namespace: &str, upstream: u16) -> Self {
        let (port, admin) = (free_port(), free_port());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = environment.command("mcp-gateway");
        command.args([
            "serve".to_owned(),
            "--watch".to_owned(),
            "--server=live".to_owned(),
            format!("--namespace={namespace}"),
            format!("--listen=127.0.0.1:{port}"),
            format!("--admin=127.0.0.1:{admin}"),
            format!("--upstream=http://127.0.0.1:{upstream}/mcp"),
            format!("--bundle={}", folder.path().display()),
        ]);
        let gateway = Self {
            port,
            _process: Process::start("mcp-gateway", command),
            _folder: folder,
        };
        eventually("the gateway becomes ready", || ready(admin));
        gateway
    }

    /// The head of a request of the modern era, but for what is about its connection and body.
    fn head(of: &str, method: &str, name: &str) -> String {
        let named = if name.is_empty() {
            String::new()
        } else {
            format!("Mcp-Name: {name}\r\n")
        };
        let token = token(of);
        format!(
            "POST /mcp HTTP/1.1\r\nHost: live\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: {method}\r\n{named}"
        )
    }

    fn body(method: &str, mut params: Value) -> String {
        params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                                 "io.modelcontextprotocol/clientCapabilities": {}});
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
    }

    /// Calls until the answer holds the words, and says when it did.
    fn until(&self, holder: &str, words: &str) -> Instant {
        let head = Self::head(holder, "tools/call", "echo");
        let body = Self::body("tools/call", json!({"name": "echo", "arguments": {}}));
        let began = Instant::now();
        loop {
            let answer = tests::http(("127.0.0.1", self.port), head.trim_end(), &body);
            let answer = answer.expect("the gateway answers");
            if answer.contains(words) {
                return Instant::now();
            }
            assert!(began.elapsed() < DEADLINE, "{holder}: {answer}");
            // Leaves the processor to those who are waited for.
            thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Opens a subscription; when it ended, and what was said on it.
    fn listen(&self, holder: &str) -> JoinHandle<(Instant, String)> {
        let body = Self::body("subscriptions/listen", json!({"notifications": {}}));
        let head = Self::head(holder, "subscriptions/listen", "");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let length = body.len();
        write!(
            stream,
            "{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("it is sent");
        let mut reader = BufReader::new(stream);
        let mut said = String::new();
        while !said.contains("acknowledged") {
            let read = reader.read_line(&mut said).expect("the stream begins");
            assert!(read > 0, "no subscription: {said}");
        }
        thread::spawn(move || {
            reader
                .read_to_string(&mut said)
                .expect("the stream ends well");
            (Instant::now(), said)
        })
    }
}

/// A server of the modern era whose calls say nothing and whose subscriptions stay open. Serves for as long as the
/// process lives.
fn serve() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A connection that breaks is its client's affair.
            thread::spawn(move || while answered(&stream).is_ok_and(|again| again) {});
        }
    });
    port
}

/// Answers one request; whether another one may come.
fn answered(stream: &TcpStream) -> std::io::Result<bool> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let message: Value = serde_json::from_slice(&body).map_err(std::io::Error::other)?;
    let mut stream = stream;
    if message["method"] == "subscriptions/listen" {
        let event = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"notifications\":{}}}\n\n";
        let size = event.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{event}\r\n"
        )?;
        // Until the gateway leaves.
        reader.read_to_end(&mut body)?;
        return Ok(false);
    }
    let result = json!({"supportedVersions": ["2026-07-28"], "capabilities": {}, "content": [], "resultType": "complete",
                        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "live", "version": "1"}}});
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
    let length = answer.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{answer}"
    )?;
    Ok(true)
}
