//! Everything that names something and is no call: tasks, subscriptions, notifications, headers that repeat
//! arguments. In front of a server that says what the test tells it.

#![allow(missing_docs, clippy::large_futures, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::time::Duration;

use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use support::scripted::{Scripted, tool};
use support::*;

const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

async fn stand(modern: bool) -> (Stand, Scripted) {
    let server = Scripted::start(modern).await;
    server.tools(&[tool("echo", "Echoes"), tool("get-sum", "Adds")]);
    let mut world = World::new();
    world.grant("alice", &["echo"]);
    world.grants[0].spec.resources = vec!["a://*".to_owned()];
    world.grants[0].spec.prompts = vec!["hello*".to_owned()];
    (before(world, &server).await, server)
}

/// A gateway in front of the server that has its inventory.
async fn before(world: World, server: &Scripted) -> Stand {
    let stand = Stand::in_front_of(world, server.port).listening().await;
    let found = || async { stand.admin("/inventory").await.status == StatusCode::OK };
    stand.until("the inventory is taken", found).await;
    stand
}

/// A modern request, with its envelope.
fn modern(id: &str, method: &str, mut params: Value) -> String {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } },
    });
    let params = params.to_string();
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

/// Sends it with its headers; `name` is what `Mcp-Name` repeats.
async fn ask(stand: &Stand, who: &str, method: &str, name: &str, params: Value) -> Reply {
    let mut headers = vec![VERSION, ("mcp-method", method)];
    if !name.is_empty() {
        headers.push(("mcp-name", name));
    }
    let body = modern("1", method, params);
    stand.post(who, &headers, &body).await
}

/// The messages of a stream, one by one.
struct Stream {
    response: Response<Incoming>,
    text: String,
}

impl Stream {
    async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let data: Option<String> = event
                    .lines()
                    .find_map(|line| line.strip_prefix("data: "))
                    .map(str::to_owned);
                match data {
                    Some(data) => return serde_json::from_str(&data).unwrap(),
                    None => continue,
                }
            }
            let frame = self.response.body_mut().frame();
            let frame = tokio::time::timeout(Duration::from_secs(60), frame).await;
            let frame = frame.expect("nothing came").expect("the stream ended");
            let bytes = frame.unwrap().into_data().unwrap_or_default();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

async fn listen(stand: &Stand, notifications: Value) -> Stream {
    let method = "subscriptions/listen";
    let body = modern("\"s-1\"", method, json!({ "notifications": notifications }));
    let headers = [
        ("authorization", "Bearer mcps_alice"),
        VERSION,
        ("mcp-method", method),
    ];
    let response = stand.send(Method::POST, &headers, &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    let text = String::new();
    Stream { response, text }
}

async fn legacy_stream(stand: &Stand) -> Stream {
    let session = stand.initialize("alice").await;
    let headers = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
        ("accept", "text/event-stream"),
    ];
    let response = stand.send(Method::GET, &headers, "").await;
    assert_eq!(response.status(), StatusCode::OK);
    let text = String::new();
    Stream { response, text }
}

fn updated(uri: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } })
}

#[tokio::test]
async fn a_task_of_the_extension_is_known_to_its_maker_only() {
    let (mut stand, server) = stand(true).await;
    stand.world.grant("bob", &["echo"]);
    stand.publish();
    let result = json!({ "resultType": "task", "taskId": "t1", "status": "working" });
    server.set("tools/call", result);
    let get = json!({ "taskId": "t1" });
    let early = ask(&stand, "alice", "tasks/get", "t1", get.clone()).await;
    assert_eq!(early.reason(), "task_not_found");
    let made = ask(
        &stand,
        "alice",
        "tools/call",
        "echo",
        json!({ "name": "echo" }),
    )
    .await;
    assert_eq!(made.message()["result"]["taskId"], "t1", "{made:?}");
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let mine = ask(&stand, "alice", method, "t1", get.clone()).await;
        assert_eq!(mine.reason(), "", "{method} {mine:?}");
        let stolen = ask(&stand, "bob", method, "t1", get.clone()).await;
        assert_eq!(
            (stolen.status, stolen.reason().as_str()),
            (StatusCode::OK, "task_not_found"),
            "{method}"
        );
        let misnamed = ask(&stand, "alice", method, "t2", get.clone()).await;
        assert_eq!(misnamed.reason(), "header_mismatch", "{method}");
    }
    assert_eq!(server.seen("\"tasks/").len(), 3);
    // What may not be called any more is not waited for any more.
    stand.world.grants.remove(0);
    stand.publish();
    let denied = || async {
        let reply = ask(&stand, "alice", "tasks/get", "t1", get.clone()).await;
        reply.reason() == "no_matching_grant"
    };
    stand.until("the task is denied", denied).await;
}

#[tokio::test]
async fn tasks_of_the_legacy_era_are_bound_and_listed_likewise() {
    let (mut stand, server) = stand(false).await;
    stand.world.grant("bob", &["echo"]);
    stand.publish();
    let task = |id: &str| json!({ "taskId": id, "status": "working" });
    server.set("tools/call", json!({ "task": task("mine") }));
    server.set(
        "tasks/list",
        json!({ "tasks": [task("mine"), task("other")] }),
    );
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","task":{"ttl":60000}}}"#;
    stand.post("alice", &[], call).await;
    let about = |method: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"taskId":"mine"}}}}"#)
    };
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        assert_eq!(stand.post("alice", &[], &about(method)).await.reason(), "");
        let stolen = stand.post("bob", &[], &about(method)).await;
        assert_eq!(stolen.reason(), "task_not_found", "{method}");
    }
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tasks/list"}"#;
    let mine = stand.post("alice", &[], list).await.message();
    assert_eq!(mine["result"]["tasks"], json!([task("mine")]));
    let none = stand.post("bob", &[], list).await.message();
    assert_eq!(none["result"]["tasks"], json!([]));
    let unnamed = r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{}}"#;
    let unnamed = stand.post("alice", &[], unnamed).await;
    assert_eq!(unnamed.message()["error"]["code"], -32602);
}

#[tokio::test]
async fn a_subscription_is_narrowed_to_what_may_be_read() {
    let (stand, server) = stand(true).await;
    let mut stream = listen(
        &stand,
        json!({ "resourceSubscriptions": ["b://1", "a://1", "b://2"], "taskIds": ["theirs"] }),
    )
    .await;
    let ack = stream.next().await;
    assert_eq!(ack["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        ack["params"]["notifications"],
        json!({ "resourceSubscriptions": ["a://1"], "taskIds": [] })
    );
    let asked = &server.seen("resourceSubscriptions")[0].body;
    assert!(
        !asked.contains("b://") && !asked.contains("theirs"),
        "{asked}"
    );
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage" });
    let log = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "data": "bob did it" } });
    for message in [updated("b://1"), request, log, updated("a://1")] {
        server.say(&message);
    }
    assert_eq!(stream.next().await, updated("a://1"));
    let metrics = stand.admin("/metrics").await.body;
    assert!(
        metrics.contains("mcp_gateway_stray_requests_total 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_grant_is_told_on_open_streams_though_the_server_says_nothing() {
    for is_modern in [true, false] {
        let (mut stand, _server) = stand(is_modern).await;
        let mut stream = if is_modern {
            let mut stream = listen(&stand, json!({ "toolsListChanged": true })).await;
            stream.next().await;
            stream
        } else {
            legacy_stream(&stand).await
        };
        // Of prompts a modern stream did not ask to hear; a grant to somebody else changes nothing for alice.
        stand.world.grants[0].spec.prompts.clear();
        stand.world.grant("bob", &["get-sum"]);
        stand.publish();
        stand.world.grant("alice", &["get-sum"]);
        stand.publish();
        let told = stream.next().await;
        assert_eq!(told["method"], "notifications/tools/list_changed");
        let id = &told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        let expected = if is_modern { json!("s-1") } else { Value::Null };
        assert_eq!(*id, expected);
    }
}

#[tokio::test]
async fn a_legacy_stream_carries_only_what_its_caller_may_read() {
    let (stand, server) = stand(false).await;
    let mut stream = legacy_stream(&stand).await;
    let open = || async { server.listeners() > 0 };
    stand.until("the server has the stream", open).await;
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "roots/list" });
    for message in [
        &updated("b://1"),
        &request,
        &updated("b://2"),
        &updated("a://1"),
    ] {
        server.say(message);
    }
    assert_eq!(stream.next().await, request);
    assert_eq!(stream.next().await, updated("a://1"));
    for (uri, reason) in [("a://1", ""), ("b://1", "resource_not_granted")] {
        for method in ["resources/subscribe", "resources/unsubscribe"] {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"uri":"{uri}"}}}}"#
            );
            assert_eq!(stand.post("alice", &[], &body).await.reason(), reason);
        }
    }
}

#[tokio::test]
async fn completion_is_judged_by_its_reference_and_not_by_its_arguments() {
    let (stand, server) = stand(true).await;
    let argument = json!({ "name": "hello", "value": "a://1" });
    for (reference, reason) in [
        (json!({ "type": "ref/prompt", "name": "hello-world" }), ""),
        (
            json!({ "type": "ref/prompt", "name": "secret" }),
            "prompt_not_granted",
        ),
        (json!({ "type": "ref/resource", "uri": "a://{x}" }), ""),
        (
            json!({ "type": "ref/resource", "uri": "b://{x}" }),
            "resource_not_granted",
        ),
        (
            json!({ "type": "ref/other", "name": "hello" }),
            "bad_request",
        ),
    ] {
        let params = json!({ "ref": reference, "argument": argument });
        let reply = ask(&stand, "alice", "completion/complete", "", params).await;
        assert_eq!(reply.reason(), reason, "{reference}");
    }
    assert_eq!(server.seen("completion/complete").len(), 2);
}

#[tokio::test]
async fn headers_that_repeat_arguments_are_compared_with_them() {
    let server = Scripted::start(true).await;
    let mut echo = tool("echo", "Echoes");
    echo["inputSchema"]["properties"] =
        json!({ "message": { "type": "string", "x-mcp-header": "Message" } });
    server.tools(&[echo]);
    let mut world = World::new();
    world.grant("alice", &["echo"]);
    let stand = before(world, &server).await;
    let params = json!({ "name": "echo", "arguments": { "message": "gr\u{fc}n" } });
    let body = modern("1", "tools/call", params);
    let common = [VERSION, ("mcp-method", "tools/call"), ("mcp-name", "echo")];
    for (header, fine) in [
        (Some(("mcp-param-message", "=?base64?Z3LDvG4=?=")), true),
        (Some(("mcp-param-message", "green")), false),
        (Some(("mcp-param-message", "=?base64?%%%?=")), false),
        (None, false),
    ] {
        let headers: Vec<_> = common.into_iter().chain(header).collect();
        let reply = stand.post("alice", &headers, &body).await;
        if fine {
            assert_eq!(reply.reason(), "", "{header:?}");
        } else {
            let code = reply.message()["error"]["code"].as_i64();
            assert_eq!(
                (reply.status, code),
                (StatusCode::BAD_REQUEST, Some(-32020))
            );
        }
    }
    let unknown = ("mcp-param-other", "x");
    let known = ("mcp-param-message", "=?base64?Z3LDvG4=?=");
    let headers: Vec<_> = common.into_iter().chain([known, unknown]).collect();
    assert_eq!(stand.post("alice", &headers, &body).await.reason(), "");
    let seen = server.seen("tools/call");
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].headers["mcp-param-other"], "x");
}

#[tokio::test]
async fn an_open_question_passes_as_it_is_and_is_in_no_log() {
    let (stand, server) = stand(true).await;
    let result = json!({ "resultType": "input_required", "requestState": "opaque-\u{fffd}", "inputRequests": {} });
    server.set("tools/call", result.clone());
    let params = json!({ "name": "echo", "requestState": "s3cret-state", "inputResponses": { "a": { "b": 1.50 } } });
    let reply = ask(&stand, "alice", "tools/call", "echo", params.clone()).await;
    assert_eq!(reply.message()["result"], result);
    let sent = &server.seen("s3cret-state")[0].body;
    assert_eq!(*sent, modern("1", "tools/call", params));
    let lines = || stand.audit(|line| line["method"] == "tools/call");
    stand
        .until("the line is there", || async { !lines().is_empty() })
        .await;
    let all = format!("{:?}", stand.audit(|_| true));
    assert!(!all.contains("s3cret") && !all.contains("opaque"), "{all}");
}

#[tokio::test]
async fn what_a_caller_may_keep_is_for_that_caller_and_not_for_long() {
    let (stand, server) = stand(true).await;
    let kept = |member: &str| json!({ "resultType": "complete", member: [], "ttlMs": 3_600_000, "cacheScope": "public" });
    for (method, name, params, member) in [
        ("server/discover", "", json!({}), "supportedVersions"),
        ("tools/list", "", json!({}), "tools"),
        ("prompts/list", "", json!({}), "prompts"),
        ("resources/list", "", json!({}), "resources"),
        (
            "resources/templates/list",
            "",
            json!({}),
            "resourceTemplates",
        ),
        (
            "resources/read",
            "a://1",
            json!({ "uri": "a://1" }),
            "contents",
        ),
    ] {
        server.set(method, kept(member));
        let reply = ask(&stand, "alice", method, name, params).await;
        let result = &reply.message()["result"];
        assert_eq!(
            (&result["ttlMs"], &result["cacheScope"]),
            (&json!(30_000), &json!("private")),
            "{method} {reply:?}"
        );
    }
}
