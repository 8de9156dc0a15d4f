//! The gateway in front of stdio servers that nobody here wrote, of both eras, run by `mcp-gateway exec`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows only test functions as tests"
)]
#![allow(missing_docs, reason = "a test")]

mod support;

use std::collections::HashSet;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::stdio::{Events, Servers, open_world};
use support::*;

const EVERYTHING: &[&str] = &[
    "echo",
    "get-sum",
    "trigger-long-running-operation",
    "toggle-simulated-logging",
    "toggle-subscriber-updates",
    "trigger-sampling-request",
    "get-roots-list",
];

async fn everything(flags: &[&str]) -> Option<Stand> {
    let command = Servers::find()?.npm("server-everything", &["stdio"]);
    Some(Stand::with_stdio(open_world(EVERYTHING), &command, flags).await)
}

fn names(list: &Value) -> HashSet<&str> {
    let tools = list["result"]["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_legacy_client_has_a_session_whose_lists_are_filtered() {
    let Some(stand) = everything(&[]).await else {
        return;
    };
    let session = stand.initialize("alice").await;
    let list = stand
        .in_session("alice", &session, json!("l"), "tools/list", json!({}))
        .await
        .message();
    assert!(
        names(&list).contains("echo") && !names(&list).contains("get-env"),
        "{list}"
    );
    assert_eq!(list["id"], "l");
    let denied = stand.call("alice", &session, "get-env", json!({})).await;
    assert_eq!(
        (denied.status, denied.reason().is_empty()),
        (StatusCode::OK, false)
    );
    let stolen = stand
        .call("bob", &session, "echo", json!({ "message": "x" }))
        .await;
    assert_eq!(stolen.status, StatusCode::NOT_FOUND, "{stolen:?}");
    let none = stand
        .post(
            "alice",
            &[],
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
        )
        .await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST, "{none:?}");
    let own = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
    ];
    assert_eq!(
        stand.send(Method::DELETE, &own, "").await.status(),
        StatusCode::OK
    );
    let after = stand
        .call("alice", &session, "echo", json!({ "message": "x" }))
        .await;
    assert_eq!(
        (after.status, after.reason().as_str()),
        (StatusCode::NOT_FOUND, "mcp_session_not_found")
    );
}

#[tokio::test]
async fn a_modern_client_is_translated_onto_a_legacy_server() {
    let Some(stand) = everything(&[]).await else {
        return;
    };
    let hello = stand
        .modern("alice", json!("d"), "server/discover", json!({}))
        .await;
    let result = &hello.message()["result"];
    assert_eq!(result["supportedVersions"][0], "2026-07-28", "{hello:?}");
    assert_eq!(
        (&result["resultType"], &result["cacheScope"]),
        (&json!("complete"), &json!("private"))
    );
    assert!(hello.headers.get("mcp-session-id").is_none());
    let list = stand
        .modern("alice", json!(7), "tools/list", json!({}))
        .await
        .message();
    assert!(
        names(&list).contains("echo") && !names(&list).contains("get-env"),
        "{list}"
    );
    assert!(
        list["result"]["ttlMs"].is_u64() && list["result"]["resultType"] == "complete",
        "{list}"
    );
    let params = json!({ "name": "echo", "arguments": { "message": "hi" } });
    let called = stand
        .modern("alice", json!("c"), "tools/call", params)
        .await
        .message();
    assert_eq!(
        called["result"]["content"][0]["text"], "Echo: hi",
        "{called}"
    );
    assert_eq!(
        (&called["id"], &called["result"]["resultType"]),
        (&json!("c"), &json!("complete"))
    );
    let params = json!({ "uri": "demo://resource/none" });
    let missing = stand
        .modern("alice", json!(8), "resources/read", params)
        .await;
    assert_eq!(missing.message()["error"]["code"], -32602, "{missing:?}");
}

#[tokio::test]
async fn progress_of_both_eras_comes_with_the_callers_token() {
    let Some(stand) = everything(&[]).await else {
        return;
    };
    let session = stand.initialize("alice").await;
    let params = |token: Value| json!({ "name": "trigger-long-running-operation", "arguments": { "duration": 1, "steps": 3 }, "_meta": { "progressToken": token } });
    let body = json!({ "jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": params(json!("t")) });
    let headers = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
    ];
    let legacy = stand.send(Method::POST, &headers, &body.to_string()).await;
    let modern = stand
        .modern_stream("alice", json!(5), "tools/call", params(json!(99)))
        .await;
    for (response, id, token) in [
        (legacy, json!("x"), json!("t")),
        (modern, json!(5), json!(99)),
    ] {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = Events::of(response);
        for _ in 0..3 {
            let progress = events.next().await.unwrap();
            assert_eq!(progress["method"], "notifications/progress");
            assert_eq!(progress["params"]["progressToken"], token);
        }
        let last = events.next().await.unwrap();
        assert_eq!(last["id"], id);
        assert!(last["result"].is_object(), "{last}");
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn unusual_characters_and_ids_come_back_as_they_were_sent() {
    let Some(stand) = everything(&[]).await else {
        return;
    };
    let session = stand.initialize("alice").await;
    let message =
        "\u{2028}\u{2029}\u{feff}\u{200b}\u{1b}[31mred\u{0}\u{7f}\u{85} 😀 \\ \" \n\r\t </script>";
    let echoed = stand
        .call("alice", &session, "echo", json!({ "message": message }))
        .await;
    assert_eq!(
        echoed.message()["result"]["content"][0]["text"],
        format!("Echo: {message}")
    );
    let pretty = "{\n  \"jsonrpc\": \"2.0\",\r\n  \"id\": \"\\u0061\\ud83d\\ude00\",\n  \"method\": \"ping\"\n}";
    let pong = stand
        .post("alice", &[("mcp-session-id", &session)], pretty)
        .await;
    assert!(
        pong.body.contains(r#""id":"\u0061\ud83d\ude00""#),
        "{pong:?}"
    );
}

#[tokio::test]
async fn two_hundred_calls_at_once_keep_their_ids() {
    let Some(servers) = Servers::find() else {
        return;
    };
    let mut world = open_world(EVERYTHING);
    world.settings.limits.concurrent = 1000;
    let command = servers.npm("server-everything", &["stdio"]);
    let stand = Stand::with_stdio(world, &command, &[]).await;
    let session = stand.initialize("alice").await;
    let calls = (0..200_usize).map(|n| {
        let (stand, session) = (&stand, &session);
        async move {
            let id = if n % 2 == 0 {
                json!(n / 2)
            } else {
                json!((n / 2).to_string())
            };
            let params = json!({ "name": "get-sum", "arguments": { "a": n, "b": 1 } });
            let reply = if n % 3 == 0 {
                stand
                    .modern("alice", id.clone(), "tools/call", params)
                    .await
            } else {
                stand
                    .in_session("alice", session, id.clone(), "tools/call", params)
                    .await
            };
            let message = reply.message();
            assert_eq!(message["id"], id);
            let text = message["result"]["content"][0]["text"]
                .as_str()
                .unwrap_or_default();
            assert!(text.contains(&format!(" {}.", n + 1)), "{n}: {message}");
        }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test]
async fn the_server_asks_the_client_that_called_and_gets_its_answer() {
    let Some(stand) = everything(&[]).await else {
        return;
    };
    let capabilities = json!({ "sampling": {}, "roots": {} });
    let session = stand
        .initialize_with("alice", "2025-11-25", capabilities)
        .await
        .session();
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    stand
        .post("alice", &[("mcp-session-id", &session)], note)
        .await;
    let mut standalone = stand.listen("alice", &session).await;
    let asked = standalone.find(|m| m["method"] == "roots/list").await;
    let roots = json!({ "roots": [{ "uri": "file:///tmp", "name": "tmp" }] });
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": roots }).to_string();
    let taken = stand
        .post("alice", &[("mcp-session-id", &session)], &answer)
        .await;
    assert_eq!(taken.status, StatusCode::ACCEPTED);
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "trigger-sampling-request", "arguments": { "prompt": "why" } } });
    let headers = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
    ];
    // The server offers the tool once it knows that the client samples.
    stand
        .until("the tool is there", || async {
            let list = stand
                .in_session("alice", &session, json!(2), "tools/list", json!({}))
                .await;
            names(&list.message()).contains("trigger-sampling-request")
        })
        .await;
    let mut events = Events::of(stand.send(Method::POST, &headers, &body.to_string()).await);
    let asked = events
        .find(|m| m["method"] == "sampling/createMessage")
        .await;
    let sample = json!({ "model": "m", "role": "assistant", "content": { "type": "text", "text": "because" } });
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": sample }).to_string();
    stand
        .post("alice", &[("mcp-session-id", &session)], &answer)
        .await;
    let result = events.find(|m| m["id"] == 1).await;
    assert!(result.to_string().contains("because"), "{result}");
}

#[tokio::test]
async fn a_modern_client_that_is_asked_nothing_gets_its_answer_all_the_same() {
    let Some(stand) = everything(&[]).await else {
        return;
    };
    let params = json!({ "name": "trigger-sampling-request", "arguments": { "prompt": "why" } });
    let reply = stand.modern("alice", json!(1), "tools/call", params).await;
    assert_eq!(reply.message()["id"], 1, "{reply:?}");
}

#[tokio::test]
async fn a_subscription_of_a_modern_client_is_made_of_legacy_ones() {
    let Some(stand) = everything(&[]).await else {
        return;
    };
    let uri = "demo://resource/static/document/architecture.md";
    let wanted = json!({ "toolsListChanged": true, "resourceSubscriptions": [uri] });
    let params = json!({ "notifications": wanted.clone() });
    let response = stand
        .modern_stream("alice", json!("sub"), "subscriptions/listen", params)
        .await;
    let mut events = Events::of(response);
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], wanted);
    assert_eq!(
        first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "sub"
    );
    let params = json!({ "name": "toggle-subscriber-updates", "arguments": {} });
    stand.modern("alice", json!(1), "tools/call", params).await;
    let update = events
        .find(|m| m["method"] == "notifications/resources/updated")
        .await;
    assert_eq!(update["params"]["uri"], uri);
    assert_eq!(
        update["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "sub"
    );
}

#[tokio::test]
async fn two_principals_do_not_hear_of_each_other() {
    for scope in ["principal", "session", "shared"] {
        let Some(stand) = everything(&["--stdio-scope", scope]).await else {
            return;
        };
        let uris = [
            "demo://resource/dynamic/text/1",
            "demo://resource/dynamic/text/2",
        ];
        let (alice, bob) = (
            stand.initialize("alice").await,
            stand.initialize("bob").await,
        );
        for ((who, session), uri) in [("alice", &alice), ("bob", &bob)].into_iter().zip(uris) {
            let done = stand
                .in_session(
                    who,
                    session,
                    json!(1),
                    "resources/subscribe",
                    json!({ "uri": uri }),
                )
                .await;
            assert!(done.message()["result"].is_object(), "{done:?}");
        }
        let mut of_alice = stand.listen("alice", &alice).await;
        let mut of_bob = stand.listen("bob", &bob).await;
        for tool in ["toggle-simulated-logging", "toggle-subscriber-updates"] {
            stand.call("alice", &alice, tool, json!({})).await;
        }
        let is_update = |m: &Value| m["method"] == "notifications/resources/updated";
        let update = of_alice.find(is_update).await;
        assert_eq!(update["params"]["uri"], uris[0], "{scope}");
        of_alice.find(is_update).await;
        // Whatever bob was to hear of it, he has by now: something of his own comes after it.
        if scope != "shared" {
            stand
                .call("bob", &bob, "toggle-subscriber-updates", json!({}))
                .await;
        }
        let update = of_bob
            .find(|m| {
                assert_ne!(m["method"], "notifications/message", "{scope}: {m}");
                is_update(m)
            })
            .await;
        assert_eq!(update["params"]["uri"], uris[1], "{scope}");
    }
}

#[tokio::test]
async fn a_killed_process_is_replaced_and_its_calls_get_an_error() {
    let Some(stand) = everything(&[]).await else {
        return;
    };
    let session = stand.initialize("alice").await;
    let params = json!({ "name": "trigger-long-running-operation", "arguments": { "duration": 300, "steps": 100 }, "_meta": { "progressToken": 1 } });
    let body = json!({ "jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": params });
    let headers = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
    ];
    let mut events = Events::of(stand.send(Method::POST, &headers, &body.to_string()).await);
    events
        .find(|m| m["method"] == "notifications/progress")
        .await;
    for pid in children(stand.server_pid()) {
        kill(pid, "KILL");
    }
    let last = events.find(|m| m["id"] == 4).await;
    assert_eq!(
        last["error"]["data"]["reason"], "upstream_unavailable",
        "{last}"
    );
    let echoed = stand
        .call("alice", &session, "echo", json!({ "message": "again" }))
        .await;
    assert_eq!(
        echoed.message()["result"]["content"][0]["text"],
        "Echo: again",
        "{echoed:?}"
    );
}

#[tokio::test]
async fn over_the_most_processes_a_caller_is_told_that_the_server_is_busy() {
    let Some(stand) =
        everything(&["--stdio-max-processes", "1", "--stdio-idle-seconds", "1"]).await
    else {
        return;
    };
    let session = stand.initialize("alice").await;
    let listening = stand.listen("alice", &session).await;
    let busy = stand.post("bob", &[], INITIALIZE).await;
    assert_eq!(
        (busy.status, busy.reason().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "server_busy")
    );
    drop(listening);
    stand
        .until("the idle process makes room", || async {
            stand.post("bob", &[], INITIALIZE).await.status == StatusCode::OK
        })
        .await;
}

#[tokio::test]
async fn a_broken_stream_is_resumed_by_its_own_principal_only() {
    let Some(stand) = everything(&[]).await else {
        return;
    };
    let (session, of_bob) = (
        stand.initialize("alice").await,
        stand.initialize("bob").await,
    );
    let params = json!({ "name": "trigger-long-running-operation", "arguments": { "duration": 2, "steps": 2 }, "_meta": { "progressToken": 1 } });
    let body = json!({ "jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": params });
    let headers = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
    ];
    let mut events = Events::of(stand.send(Method::POST, &headers, &body.to_string()).await);
    events.next().await;
    // In the legacy era a broken connection cancels nothing.
    drop(events);
    let resume = |who: &'static str, session: String| {
        let stand = &stand;
        async move {
            let token = format!("Bearer mcps_{who}");
            let headers = [
                ("authorization", token.as_str()),
                ("mcp-session-id", &session),
                ("accept", "text/event-stream"),
                ("last-event-id", "1-1"),
            ];
            stand.send(Method::GET, &headers, "").await
        }
    };
    assert_eq!(
        resume("bob", session.clone()).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        resume("bob", of_bob).await.status(),
        StatusCode::BAD_REQUEST
    );
    let mut rest = Events::of(resume("alice", session.clone()).await);
    let result = rest.find(|m| m["id"] == 6).await;
    assert!(result["result"].is_object(), "{result}");
    assert!(rest.next().await.is_none());
}

#[tokio::test]
async fn a_native_modern_server_serves_both_eras() {
    let Some(servers) = Servers::find() else {
        return;
    };
    let command = servers.python("python", "mcp_server_time", &["--local-timezone", "UTC"]);
    let world = open_world(&["get_current_time"]);
    let stand = Stand::with_stdio(world, &command, &[]).await;
    let hello = stand
        .modern("alice", json!(1), "server/discover", json!({}))
        .await
        .message();
    assert_eq!(
        hello["result"]["supportedVersions"],
        json!(["2026-07-28"]),
        "{hello}"
    );
    let list = stand
        .modern("alice", json!("a"), "tools/list", json!({}))
        .await
        .message();
    assert_eq!(names(&list), HashSet::from(["get_current_time"]), "{list}");
    let params = json!({ "name": "get_current_time", "arguments": { "timezone": "UTC" } });
    let time = stand
        .modern("alice", json!("b"), "tools/call", params)
        .await
        .message();
    assert!(
        time["id"] == "b" && time["result"].to_string().contains("UTC"),
        "{time}"
    );
    let refused = stand
        .modern(
            "alice",
            json!(2),
            "subscriptions/listen",
            json!({ "notifications": {} }),
        )
        .await;
    assert_eq!(refused.message()["error"]["code"], -32601);
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let session = stand.initialize("alice").await;
    let time = stand
        .call(
            "alice",
            &session,
            "get_current_time",
            json!({ "timezone": "UTC" }),
        )
        .await;
    assert!(
        time.message()["result"].to_string().contains("UTC"),
        "{time:?}"
    );
}

#[tokio::test]
async fn other_servers_of_npm_and_of_the_python_index_work() {
    let Some(servers) = Servers::find() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    std::fs::write(folder.path().join("a.txt"), "héllo\u{2028}").unwrap();
    let database = format!("{path}/test.db");
    let text = format!("{path}/a.txt");
    let rows = [
        (
            servers.npm("server-filesystem", &[path]),
            "read_text_file",
            json!({ "path": text }),
            "héllo\u{2028}",
        ),
        (
            servers.npm("server-memory", &[]),
            "read_graph",
            json!({}),
            "entities",
        ),
        (
            servers.python("python-old", "mcp_server_sqlite", &["--db-path", &database]),
            "list_tables",
            json!({}),
            "[]",
        ),
    ];
    for (mut command, tool, arguments, expected) in rows {
        if tool == "read_graph" {
            let memory = format!("MEMORY_FILE_PATH={path}/memory.json");
            command.splice(0..0, ["env".to_owned(), memory]);
        }
        let stand = Stand::with_stdio(open_world(&[tool]), &command, &[]).await;
        let session = stand.initialize("alice").await;
        let list = stand
            .in_session("alice", &session, json!(1), "tools/list", json!({}))
            .await
            .message();
        assert_eq!(names(&list), HashSet::from([tool]), "{list}");
        let legacy = stand.call("alice", &session, tool, arguments.clone()).await;
        let params = json!({ "name": tool, "arguments": arguments });
        let modern = stand.modern("alice", json!(2), "tools/call", params).await;
        for reply in [legacy, modern] {
            let text = reply.message()["result"]["content"][0]["text"].clone();
            assert!(
                text.as_str().unwrap_or_default().contains(expected),
                "{tool}: {reply:?}"
            );
        }
    }
}

/// The processes that a process started.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        fields.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    })
    .collect()
}

fn kill(pid: u32, signal: &str) {
    let done = std::process::Command::new("kill")
        .arg(format!("-{signal}"))
        .arg(pid.to_string())
        .status();
    assert!(done.unwrap().success());
}
