//! Servers that speak another transport or another era than their callers: all of them real.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows only test functions as tests"
)]
#![allow(missing_docs, reason = "a test")]
#![allow(clippy::print_stdout, reason = "a test says what it leaves out")]

mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use api::Translate;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::*;

const CALL: (&str, &str) = ("mcp-method", "tools/call");
const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

/// A request of the modern era.
fn modern(id: u32, method: &str, params: Value) -> String {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    });
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

async fn ask(stand: &Stand, method: &str, params: Value) -> Reply {
    let headers = [VERSION, ("mcp-method", method)];
    stand
        .post("alice", &headers, &modern(1, method, params))
        .await
}

async fn echo(stand: &Stand, message: &str) -> Reply {
    let params = json!({ "name": "echo", "arguments": { "message": message } });
    let headers = [VERSION, CALL, ("mcp-name", "echo")];
    stand
        .post("alice", &headers, &modern(7, "tools/call", params))
        .await
}

fn names(reply: &Reply) -> Vec<String> {
    let message = reply.message();
    let tools = message["result"]["tools"].as_array();
    let tools = tools.unwrap_or_else(|| panic!("no tools in {reply:?}"));
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

fn world() -> World {
    let mut world = World::new();
    world.grant("alice", &["echo", "add"]);
    world
}

/// Until the gateway knows what the server speaks.
async fn ready(stand: Stand) -> Stand {
    stand
        .until("the inventory is taken", || async {
            stand.admin("/inventory").await.status == StatusCode::OK
        })
        .await;
    stand
}

async fn everything_with(translate: Translate) -> Option<Stand> {
    let path = everything()?;
    let mut world = world();
    world.settings.translate = translate;
    Some(ready(Stand::with_everything(world, &path).await).await)
}

#[tokio::test]
async fn a_modern_caller_uses_a_legacy_server_if_that_is_asked_for() {
    let Some(stand) = everything_with(Translate::Always).await else {
        return;
    };
    let discovered = ask(&stand, "server/discover", json!({})).await.message();
    let versions = &discovered["result"]["supportedVersions"];
    assert!(
        versions.as_array().unwrap().contains(&json!("2026-07-28")),
        "{discovered}"
    );
    assert_eq!(names(&ask(&stand, "tools/list", json!({})).await), ["echo"]);
    let echoed = echo(&stand, "hello").await;
    assert_eq!(
        echoed.message()["result"]["content"][0]["text"],
        "Echo: hello",
        "{echoed:?}"
    );
    assert_eq!(echoed.message()["id"], 7);
    assert!(!echoed.headers.contains_key("mcp-session-id"), "{echoed:?}");
    // A legacy caller still has a session of its own with the server.
    let session = stand.initialize("alice").await;
    let echoed = stand
        .call("alice", &session, "echo", json!({ "message": "old" }))
        .await;
    assert_eq!(
        echoed.message()["result"]["content"][0]["text"],
        "Echo: old"
    );
    let denied = stand.call("alice", &session, "get-env", json!({})).await;
    assert_eq!(denied.reason(), "tool_not_granted");
}

#[tokio::test]
async fn a_modern_caller_is_left_to_fall_back_where_translation_would_lose_something() {
    for translate in [Translate::Auto, Translate::Never] {
        let Some(stand) = everything_with(translate).await else {
            return;
        };
        let reply = ask(&stand, "server/discover", json!({})).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{translate:?} {reply:?}"
        );
        let session = stand.initialize("alice").await;
        let echoed = stand
            .call("alice", &session, "echo", json!({ "message": "old" }))
            .await;
        assert_eq!(
            echoed.message()["result"]["content"][0]["text"],
            "Echo: old"
        );
    }
}

#[tokio::test]
async fn both_eras_use_a_server_of_http_with_sse() {
    let Some(path) = everything() else { return };
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let _server = run_everything(&path, "sse", port, &folder);
    let mut world = world();
    world.grant("alice", &["trigger-long-running-operation"]);
    world.upstream = vec![format!("--upstream=sse+http://127.0.0.1:{port}/sse")];
    let stand = ready(Stand::alone(world)).await;
    let inventory = stand.admin("/inventory").await.message();
    assert!(
        inventory["tools"]["names"]
            .as_array()
            .unwrap()
            .contains(&json!("echo")),
        "{inventory}"
    );

    let session = stand.initialize("alice").await;
    let echoed = stand
        .call("alice", &session, "echo", json!({ "message": "old" }))
        .await;
    assert_eq!(
        echoed.message()["result"]["content"][0]["text"],
        "Echo: old",
        "{echoed:?}"
    );
    let body = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"trigger-long-running-operation","arguments":{"duration":1,"steps":2},"_meta":{"progressToken":"p"}}}"#;
    let progressed = stand
        .post("alice", &[("mcp-session-id", &session)], body)
        .await;
    assert!(
        progressed.body.contains("notifications/progress"),
        "{progressed:?}"
    );
    assert!(
        progressed.body.contains(r#""progressToken":"p""#),
        "{progressed:?}"
    );
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let stolen = stand
        .post("bob", &[("mcp-session-id", &session)], list)
        .await;
    assert_eq!(stolen.status, StatusCode::NOT_FOUND, "{stolen:?}");

    let listed = names(&ask(&stand, "tools/list", json!({})).await);
    assert_eq!(listed, ["echo", "trigger-long-running-operation"]);
    let echoed = echo(&stand, "new").await;
    assert_eq!(
        echoed.message()["result"]["content"][0]["text"],
        "Echo: new",
        "{echoed:?}"
    );
    let own = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
    ];
    assert_eq!(
        stand.send(Method::DELETE, &own, "").await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_server_that_lost_the_session_of_a_translated_caller_gets_a_new_one() {
    let Some(path) = everything() else { return };
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let server = run_everything(&path, "streamableHttp", port, &folder);
    let mut world = world();
    world.settings.translate = Translate::Always;
    let stand = ready(Stand::in_front_of(world, port)).await;
    assert_eq!(
        echo(&stand, "one").await.message()["result"]["content"][0]["text"],
        "Echo: one"
    );
    drop(server);
    let _server = run_everything(&path, "streamableHttp", port, &folder);
    // The call that finds out is answered with an error: it may have run. The next one works.
    stand
        .until("the server is used again", || async {
            let echoed = echo(&stand, "two").await;
            assert!(echoed.message()["result"].is_null() || !echoed.body.contains("Echo: one"));
            echoed.body.contains("Echo: two")
        })
        .await;
}

/// A server by the Python SDK, which speaks both eras. `None` where the SDK is not at hand.
fn python_server(port: u16) -> Option<Process> {
    const SERVER: &str = r#"
import sys
from mcp.server import MCPServer
mcp = MCPServer("python")
@mcp.tool()
def echo(message: str) -> str:
    return "Echo: " + message
@mcp.tool()
def secret() -> str:
    return "secret"
mcp.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
"#;
    let Some(packages) = std::env::var_os("KUBECTL_MCP_TEST_SDK").map(PathBuf::from) else {
        println!(
            "left out because KUBECTL_MCP_TEST_SDK does not name a folder with Python's packages"
        );
        return None;
    };
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", packages.join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-c", SERVER])
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Some(Process::start(&mut command))
}

#[tokio::test]
async fn a_server_of_both_eras_is_spoken_to_in_the_callers() {
    let port = free_port();
    let Some(_server) = python_server(port) else {
        return;
    };
    let mut world = world();
    world.settings.translate = Translate::Always;
    let stand = ready(Stand::in_front_of(world, port)).await;
    let inventory = stand.admin("/inventory").await.message();
    assert_eq!(
        inventory["tools"]["names"],
        json!(["echo", "secret"]),
        "{inventory}"
    );
    assert!(
        inventory["protocolVersions"]
            .as_array()
            .unwrap()
            .contains(&json!("2026-07-28")),
        "{inventory}"
    );

    let discovered = ask(&stand, "server/discover", json!({})).await.message();
    let info = discovered.to_string();
    assert!(
        info.contains("python"),
        "the server itself answered: {info}"
    );
    let listed = ask(&stand, "tools/list", json!({})).await;
    assert_eq!(names(&listed), ["echo"]);
    assert_eq!(
        listed.message()["result"]["cacheScope"],
        "private",
        "{listed:?}"
    );
    let echoed = echo(&stand, "new").await;
    assert_eq!(
        echoed.message()["result"]["content"][0]["text"],
        "Echo: new",
        "{echoed:?}"
    );
    let headers = [VERSION, CALL, ("mcp-name", "secret")];
    let body = modern(
        1,
        "tools/call",
        json!({ "name": "secret", "arguments": {} }),
    );
    let denied = stand.post("alice", &headers, &body).await;
    assert_eq!(denied.status, StatusCode::OK);
    assert!(
        !denied.reason().is_empty() && !denied.body.contains("Echo"),
        "{denied:?}"
    );

    let session = stand.initialize("alice").await;
    let echoed = stand
        .call("alice", &session, "echo", json!({ "message": "old" }))
        .await;
    assert_eq!(
        echoed.message()["result"]["content"][0]["text"],
        "Echo: old",
        "{echoed:?}"
    );
}
