//! The gateway in front of a server that nobody here wrote: npm's server-everything, a legacy server with sessions.

#![allow(missing_docs, reason = "a test")]

mod support;

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use support::*;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

async fn stand() -> Option<Stand> {
    let path = everything()?;
    let mut world = World::new();
    world.grant("alice", &["echo", "trigger-*"]);
    Some(Stand::with_everything(world, &path).await)
}

#[tokio::test]
async fn what_is_granted_is_listed_and_works_and_nothing_else() {
    let Some(stand) = stand().await else { return };
    let session = stand.initialize("alice").await;
    let echoed = stand
        .call("alice", &session, "echo", json!({ "message": "hello" }))
        .await;
    assert_eq!(
        echoed.message()["result"]["content"][0]["text"],
        "Echo: hello",
        "{echoed:?}"
    );
    let denied = stand.call("alice", &session, "get-env", json!({})).await;
    assert_eq!(
        (denied.status, denied.reason().as_str()),
        (StatusCode::OK, "tool_not_granted")
    );
    let names = async |who: &str, session: &str| {
        let list = stand
            .post(who, &[("mcp-session-id", session)], LIST)
            .await
            .message();
        let tools = list["result"]["tools"].as_array().unwrap().clone();
        tools
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("alice", &session).await,
        ["echo", "trigger-long-running-operation"]
    );
    let session = stand.initialize("bob").await;
    assert!(names("bob", &session).await.is_empty());
    for (method, member) in [
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        let list = stand
            .post("bob", &[("mcp-session-id", &session)], &body)
            .await
            .message();
        assert_eq!(list["result"][member], json!([]), "{list}");
    }
}

#[tokio::test]
async fn the_inventory_is_what_the_server_has() {
    let Some(stand) = stand().await else { return };
    stand
        .until("the inventory is taken", || async {
            stand.admin("/inventory").await.status == StatusCode::OK
        })
        .await;
    let inventory = stand.admin("/inventory").await.message();
    assert_eq!(inventory["protocolVersions"], json!(["2025-11-25"]));
    assert!(inventory["serverInfo"]["name"].is_string(), "{inventory}");
    assert!(
        inventory["tools"]["names"]
            .as_array()
            .unwrap()
            .contains(&json!("echo")),
        "{inventory}"
    );
    assert!(
        inventory["prompts"]["count"].as_u64().unwrap() > 0
            && inventory["resources"]["count"].as_u64().unwrap() > 0
    );
}

#[tokio::test]
async fn a_grant_and_a_revocation_act_within_a_second() {
    let Some(mut stand) = stand().await else {
        return;
    };
    let session = stand.initialize("bob").await;
    assert_eq!(
        stand
            .call("bob", &session, "echo", json!({ "message": "x" }))
            .await
            .reason(),
        "no_matching_grant"
    );
    stand.world.grant("bob", &["echo"]);
    stand.publish();
    let works = || async {
        stand
            .call("bob", &session, "echo", json!({ "message": "x" }))
            .await
            .reason()
            .is_empty()
    };
    let granted = stand.until("the grant acts", works).await;
    stand
        .world
        .sessions
        .iter_mut()
        .for_each(|s| s.spec.revoked = true);
    stand.publish();
    let stopped = || async {
        let reply = stand
            .call("bob", &session, "echo", json!({ "message": "x" }))
            .await;
        reply.status == StatusCode::UNAUTHORIZED && reply.reason() == "session_revoked"
    };
    let revoked = stand.until("the revocation acts", stopped).await;
    assert!(
        granted < Duration::from_secs(1) && revoked < Duration::from_secs(1),
        "{granted:?} {revoked:?}"
    );
}

#[tokio::test]
async fn a_session_id_is_of_no_use_to_anybody_else() {
    let Some(mut stand) = stand().await else {
        return;
    };
    stand.world.grant("bob", &["*"]);
    stand.publish();
    let session = stand.initialize("alice").await;
    let stolen = [
        ("authorization", "Bearer mcps_bob"),
        ("mcp-session-id", session.as_str()),
    ];
    for (method, body) in [
        (Method::POST, LIST),
        (Method::GET, ""),
        (Method::DELETE, ""),
    ] {
        let reply = whole(stand.send(method.clone(), &stolen, body).await).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (StatusCode::NOT_FOUND, "mcp_session_not_found"),
            "{method}"
        );
    }
    let made_up = stand
        .post(
            "alice",
            &[("mcp-session-id", "0f8fad5b-d9cb-469f-a165-70867728950e")],
            LIST,
        )
        .await;
    assert_eq!(made_up.status, StatusCode::NOT_FOUND);
    let own = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
    ];
    assert_eq!(
        stand.send(Method::DELETE, &own, "").await.status(),
        StatusCode::OK
    );
    let after = stand
        .post("alice", &[("mcp-session-id", &session)], LIST)
        .await;
    assert!(
        after.status.is_client_error(),
        "the server has forgotten the session: {after:?}"
    );
}

#[tokio::test]
async fn a_response_is_taken_only_in_a_session() {
    let Some(stand) = stand().await else { return };
    let session = stand.initialize("alice").await;
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#;
    let taken = stand
        .post("alice", &[("mcp-session-id", &session)], response)
        .await;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{taken:?}");
    let stolen = stand
        .post("bob", &[("mcp-session-id", &session)], response)
        .await;
    assert_eq!(stolen.status, StatusCode::NOT_FOUND, "{stolen:?}");
    let call = r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{"name":"get-env"}}"#;
    let call = stand
        .post("alice", &[("mcp-session-id", &session)], call)
        .await;
    assert_eq!(
        (call.status, call.reason().as_str()),
        (StatusCode::BAD_REQUEST, "rpc_inspection_failed")
    );
}

#[tokio::test]
async fn progress_comes_as_it_happens() {
    let Some(stand) = stand().await else { return };
    let session = stand.initialize("alice").await;
    let body = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"trigger-long-running-operation","arguments":{"duration":2,"steps":4},"_meta":{"progressToken":"p"}}}"#;
    let headers = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
    ];
    let mut stream = stand.send(Method::POST, &headers, body).await;
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    let (mut first, mut last, mut text) = (None, None, String::new());
    while let Some(frame) = stream.body_mut().frame().await {
        let bytes = frame.unwrap().into_data().unwrap_or_default();
        text.push_str(std::str::from_utf8(&bytes).unwrap());
        last = Some(Instant::now());
        if text.contains("notifications/progress") {
            first.get_or_insert_with(Instant::now);
        }
    }
    assert!(text.contains(r#""id":9"#), "{text}");
    let spread = last.unwrap() - first.unwrap();
    assert!(
        spread > Duration::from_millis(700),
        "the first event came only {spread:?} before the last"
    );
}

#[tokio::test]
async fn the_stream_of_a_revoked_session_is_closed() {
    let Some(mut stand) = stand().await else {
        return;
    };
    let session = stand.initialize("alice").await;
    let headers = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
        ("accept", "text/event-stream"),
    ];
    let stream = stand.send(Method::GET, &headers, "").await;
    assert_eq!(stream.status(), StatusCode::OK);
    stand
        .world
        .sessions
        .iter_mut()
        .for_each(|s| s.spec.revoked = true);
    stand.publish();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.into_body().collect()).await;
    assert!(ended.is_ok(), "the stream is still open");
    stand
        .until("the stream is in the audit", || async {
            !stand.audit(|line| line["http_method"] == "GET").is_empty()
        })
        .await;
}

#[tokio::test]
async fn every_message_makes_one_audit_line_without_secrets() {
    let Some(stand) = stand().await else { return };
    let session = stand.initialize("alice").await;
    let trace = (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    );
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"s3cret"}}}"#;
    stand
        .post("alice", &[("mcp-session-id", &session), trace], body)
        .await;
    let calls = || stand.audit(|line| line["method"] == "tools/call");
    stand
        .until("the line is there", || async { !calls().is_empty() })
        .await;
    let line = calls().remove(0);
    assert_eq!(line["decision"], "allow");
    assert_eq!(line["reason"], "allowed");
    assert_eq!(line["grant"], "alice-0");
    assert_eq!(line["trust"], "low");
    assert_eq!(line["era"], "legacy");
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(line["arguments_sha256"].as_str().map(str::len), Some(64));
    let all = format!("{:?}", stand.audit(|_| true));
    assert!(
        !all.contains("s3cret") && !all.contains("mcps_") && !all.contains(&session),
        "{all}"
    );
    assert_eq!(
        stand.audit(|_| true).len(),
        3,
        "initialize, initialized, call: {all}"
    );
}
