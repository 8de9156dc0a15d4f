//! Rate limits, calls and streams at a time, and calls that take too long: the real binary in front of a server that
//! answers as slowly as a test wants.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::sync::Arc;

use access::RateEntry;
use api::RateLimitScope;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use support::upstream::{Slow, call, callable as world};
use support::*;

fn limit(scope: RateLimitScope, tool: Option<&str>, burst: u32) -> RateEntry {
    // An hour, so that no token comes while a test runs.
    RateEntry {
        scope,
        tool: tool.map(str::to_owned),
        requests: burst,
        per_us: 3_600_000_000 * u64::from(burst),
        burst,
    }
}

async fn stand(world: World, slow: &Slow) -> Stand {
    Stand::in_front_of(world, slow.port).listening().await
}

#[tokio::test]
async fn a_used_up_rate_limit_answers_429_with_the_time_to_wait_and_reaches_nobody() {
    let slow = Slow::start().await;
    let mut world = world();
    world.settings.limits.rates = vec![limit(RateLimitScope::Subject, None, 2)];
    let stand = stand(world, &slow).await;
    for id in [1, 2] {
        assert_eq!(
            stand.post("alice", &[], &call(id, "echo")).await.status,
            StatusCode::OK
        );
    }
    let refused = stand.post("alice", &[], &call(3, "echo")).await;
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "rate_limited")
    );
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=3600).contains(&wait), "{refused:?}");
    assert_eq!(refused.message()["id"], 3);
    assert_eq!(refused.message()["error"]["data"]["retryAfter"], wait);
    assert_eq!(slow.calls("echo"), 2);
    assert_eq!(
        stand.post("bob", &[], &call(4, "echo")).await.status,
        StatusCode::OK,
        "bob has tokens of his own"
    );
    let list = r#"{"jsonrpc":"2.0","id":5,"method":"tools/list"}"#;
    assert_eq!(
        stand.post("alice", &[], list).await.status,
        StatusCode::OK,
        "what names nothing needs no token"
    );
    let line = stand
        .audited(1, |line| line["reason"] == "rate_limited")
        .await;
    assert_eq!(
        (&line[0]["decision"], &line[0]["status"]),
        (&json!("deny"), &json!(429))
    );
}

#[tokio::test]
async fn a_denied_call_takes_no_token() {
    let slow = Slow::start().await;
    let mut world = world();
    world.settings.limits.rates = vec![limit(RateLimitScope::Server, None, 1)];
    let stand = stand(world, &slow).await;
    for id in 1..5 {
        let denied = stand.post("alice", &[], &call(id, "get-env")).await;
        assert_eq!(denied.status, StatusCode::OK);
        assert_ne!(denied.reason(), "rate_limited");
    }
    assert_eq!(
        stand.post("alice", &[], &call(9, "echo")).await.message()["result"],
        json!({"content": []})
    );
}

#[tokio::test]
async fn what_is_too_deep_or_too_large_is_refused_and_takes_no_token() {
    let slow = Slow::start().await;
    let mut world = world();
    world.settings.limits.rates = vec![limit(RateLimitScope::Server, None, 1)];
    let stand = stand(world, &slow).await;
    let with = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{arguments}}}}}"#
        )
    };
    let deep = with(&format!("{}1{}", r#"{"a":"#.repeat(64), "}".repeat(64)));
    let deep = stand.post("alice", &[], &deep).await;
    assert_eq!(
        (deep.status, deep.reason().as_str()),
        (StatusCode::BAD_REQUEST, "rpc_inspection_failed")
    );
    let large = with(&format!(r#"{{"a":"{}"}}"#, "x".repeat(4 * 1024 * 1024)));
    let large = stand.post("alice", &[], &large).await;
    assert_eq!(
        (large.status, large.reason().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "bad_request")
    );
    assert_eq!(slow.calls("echo"), 0);
    assert_eq!(
        stand.post("alice", &[], &call(9, "echo")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_new_bundle_changes_the_limits_and_forgets_no_count() {
    let slow = Slow::start().await;
    let mut world = world();
    world.settings.limits.rates = vec![limit(RateLimitScope::Server, None, 1)];
    let mut stand = stand(world, &slow).await;
    assert_eq!(
        stand.post("alice", &[], &call(1, "echo")).await.status,
        StatusCode::OK
    );
    stand
        .world
        .settings
        .limits
        .rates
        .push(limit(RateLimitScope::Tool, Some("other"), 1));
    stand.world.settings.limits.concurrent = 77;
    let sequence = publish(&mut stand);
    until_in_force(&stand, sequence).await;
    let refused = stand.post("bob", &[], &call(2, "echo")).await;
    assert_eq!(
        refused.reason(),
        "rate_limited",
        "the limit that stayed has kept its count"
    );
    stand.world.settings.limits.rates.remove(0);
    let sequence = publish(&mut stand);
    until_in_force(&stand, sequence).await;
    assert_eq!(
        stand.post("bob", &[], &call(3, "echo")).await.status,
        StatusCode::OK
    );
    assert_eq!(
        stand.post("bob", &[], &call(4, "other")).await.status,
        StatusCode::OK
    );
    assert_eq!(
        stand.post("bob", &[], &call(5, "other")).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
}

/// Writes the bundle, and says which it is.
fn publish(stand: &mut Stand) -> u64 {
    let text = stand.world.json();
    let sequence = serde_json::from_str::<Value>(&text).unwrap()["sequence"]
        .as_u64()
        .unwrap();
    stand.publish();
    sequence + 1
}

async fn until_in_force(stand: &Stand, sequence: u64) {
    stand
        .until("the new bundle is in force", || async {
            let metrics = stand.admin("/metrics").await.body;
            metrics.contains(&format!("mcp_gateway_policy_sequence {sequence}\n"))
        })
        .await;
}

#[tokio::test]
async fn nobody_takes_more_than_half_of_the_calls_and_all_together_no_more_than_there_are() {
    let slow = Slow::start().await;
    let mut world = world();
    world.session("carol");
    world.grant("carol", &["echo"]);
    world.settings.limits.concurrent = 4;
    let stand = Arc::new(stand(world, &slow).await);
    let mut waiting = Vec::new();
    for (id, who) in [(1, "alice"), (2, "alice"), (3, "bob"), (4, "bob")] {
        if id == 3 {
            until_calls(&stand, &slow, 2).await;
            let third = stand.post("alice", &[], &call(9, "echo")).await;
            assert_eq!(
                (third.status, third.reason().as_str()),
                (StatusCode::TOO_MANY_REQUESTS, "too_many_calls")
            );
            assert_eq!(third.headers["retry-after"], "1");
            let note =
                r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
            assert_eq!(
                stand.post("alice", &[], note).await.status,
                StatusCode::ACCEPTED,
                "a notification passes"
            );
        }
        let stand = Arc::clone(&stand);
        waiting.push(tokio::spawn(async move {
            stand.post(who, &[], &call(id, "wait")).await
        }));
    }
    until_calls(&stand, &slow, 4).await;
    let fifth = stand.post("carol", &[], &call(9, "echo")).await;
    assert_eq!(
        (fifth.status, fifth.reason().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "server_busy")
    );
    slow.release.send_replace(true);
    for call in waiting {
        assert_eq!(call.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(
        stand.post("carol", &[], &call(9, "echo")).await.status,
        StatusCode::OK,
        "slots are given back"
    );
}

async fn until_calls(stand: &Stand, slow: &Slow, count: usize) {
    stand
        .until("the calls have arrived", || async {
            slow.calls("wait") == count
        })
        .await;
}

#[tokio::test]
async fn open_streams_of_one_caller_are_bounded_counted_and_given_back() {
    let slow = Slow::start().await;
    let stand = stand(world(), &slow).await;
    let session = stand.initialize("alice").await;
    let headers = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
    ];
    let mut open = Vec::new();
    for _ in 0..gateway::limits::slots::STREAMS_EACH {
        let stream = stand.send(Method::GET, &headers, "").await;
        assert_eq!(stream.status(), StatusCode::OK);
        open.push(stream);
    }
    let more = whole(stand.send(Method::GET, &headers, "").await).await;
    assert_eq!(
        (more.status, more.reason().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "too_many_streams")
    );
    assert_eq!(
        stand
            .call("alice", &session, "echo", json!({}))
            .await
            .status,
        StatusCode::OK
    );
    let gauge = |count: usize| format!("mcp_gateway_open_streams {count}\n");
    assert!(
        stand
            .admin("/metrics")
            .await
            .body
            .contains(&gauge(open.len()))
    );
    drop(open);
    stand
        .until("the streams are closed", || async {
            stand.admin("/metrics").await.body.contains(&gauge(0))
        })
        .await;
    assert_eq!(
        stand.send(Method::GET, &headers, "").await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_call_that_takes_too_long_gets_an_error_and_the_server_is_told() {
    let slow = Slow::start().await;
    let mut world = world();
    world.settings.limits.timeout_ms = 300;
    let stand = stand(world, &slow).await;
    let session = stand.initialize("alice").await;
    for tool in ["wait", "tick"] {
        let reply = stand.call("alice", &session, tool, json!({})).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (StatusCode::OK, "request_timeout"),
            "{tool}"
        );
        assert_eq!(reply.message()["id"], 7, "{tool}");
        if tool == "tick" {
            assert!(
                reply.body.contains("notifications/progress"),
                "progress came, and made it no longer"
            );
        }
    }
    stand
        .until("the server is told", || async {
            slow.count("notifications/cancelled") == 2
        })
        .await;
    let seen = slow.seen.lock().unwrap().clone();
    let told = seen
        .iter()
        .find(|message| message["method"] == "notifications/cancelled")
        .unwrap();
    assert_eq!(told["params"], json!({"requestId": 7, "reason": "timeout"}));
    assert_eq!(
        stand
            .call("alice", &session, "echo", json!({}))
            .await
            .status,
        StatusCode::OK,
        "the session lives on"
    );
    let lines = stand
        .audited(2, |line| line["reason"] == "request_timeout")
        .await;
    assert_eq!(lines[0]["decision"], "allow");
}

#[tokio::test]
async fn only_the_admin_port_shows_metrics() {
    let stand = Stand::alone(World::new()).listening().await;
    let shown = stand.admin("/metrics").await.body;
    for metric in [
        "mcp_gateway_open_streams",
        "mcp_gateway_redis_up",
        "mcp_gateway_audit_dropped_total",
    ] {
        assert!(shown.contains(metric), "{metric}");
    }
    let public = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<Full<Bytes>>();
    for path in ["/metrics", "/inventory", "/livez", "/readyz"] {
        let uri = format!("http://{}{path}", stand.address).parse().unwrap();
        let reply = whole(public.get(uri).await.unwrap()).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!reply.body.contains("mcp_gateway"), "{path}");
    }
}
