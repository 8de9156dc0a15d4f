//! How exchanges end: by a drain, by a second signal, with the caller's session, when the bundle gets too old; and what
//! goes on meanwhile. In front of a small server whose calls take as long as a test wants.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::time::Duration;

use futures::StreamExt as _;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use support::fixture::*;
use support::*;

/// The last message of a stream.
fn last(text: &str) -> Value {
    let last = text.trim_end().rsplit("data: ").next().unwrap();
    serde_json::from_str(last).unwrap()
}

#[tokio::test]
async fn a_drain_serves_on_then_ends_streams_properly_and_lets_calls_finish() {
    let mut world = world();
    world.flags = vec!["--drain-seconds=10"];
    let (mut stand, fixture) = stand(world).await;
    let session = stand.initialize("alice").await;
    let standing = listening(&stand, &session).await;
    let subscription = modern(
        &stand,
        "subscriptions/listen",
        json!({ "notifications": {} }),
    )
    .await;
    let held = call(&stand, "hold");
    let story = async {
        until_held(&fixture).await;
        stand.signal();
        until_draining(&stand).await;
        let during = call(&stand, "echo").await;
        assert_eq!(during.status(), StatusCode::OK);
        assert_eq!(during.headers()["connection"], "close");
        let subscription = rest(subscription).await;
        let last = last(&subscription);
        assert_eq!(last["id"], "m", "{subscription}");
        assert_eq!(last["result"]["resultType"], "complete");
        assert_eq!(
            last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
            "m"
        );
        assert_eq!(rest(standing).await, ": open\n\n");
        fixture.released.add_permits(1);
    };
    let (held, ()) = tokio::join!(held, story);
    assert_eq!(held.status(), StatusCode::OK);
    assert!(rest(held).await.contains("content"));
    assert!(until_ended(&mut stand).await.success());
}

#[tokio::test]
async fn a_second_signal_ends_the_process_whatever_is_under_way() {
    let mut world = world();
    world.flags = vec!["--drain-seconds=300"];
    let (mut stand, fixture) = stand(world).await;
    let held = background(&stand, &[], legacy_call(1, "hold"));
    until_held(&fixture).await;
    stand.signal();
    until_draining(&stand).await;
    stand.signal();
    until_ended(&mut stand).await;
    assert!(held.await.is_err(), "nobody waited for the call");
}

#[tokio::test]
async fn a_thousand_calls_while_the_bundle_changes_all_get_the_right_answer() {
    let (mut stand, _fixture) = stand(world()).await;
    let session = stand.initialize("alice").await;
    let (client, address) = (stand.client.clone(), stand.address);
    let calls = tokio::spawn(async move {
        let one = |number: u64| {
            let request = alices(
                address,
                &[("mcp-session-id", &session)],
                legacy_call(number, "echo"),
            );
            let answer = client.request(request);
            async move {
                // So that they last for many changes.
                tokio::time::sleep(Duration::from_millis(20)).await;
                let reply = whole(answer.await.unwrap()).await;
                let answer = reply.message();
                assert_eq!(answer["id"], number, "{reply:?}");
                assert_eq!(answer["result"]["number"], number, "{reply:?}");
            }
        };
        let calls = futures::stream::iter(0..1000).map(one).buffer_unordered(16);
        calls.collect::<Vec<()>>().await.len()
    });
    let mut changes = 0;
    while !calls.is_finished() {
        // A session more and one less: everything that a call needs stays.
        stand.world.session(&format!("guest-{changes}"));
        if changes > 3 {
            stand.world.sessions.remove(2);
        }
        stand.publish();
        changes += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(calls.await.unwrap(), 1000);
    assert!(changes > 5, "only {changes} changes");
    let taken = stand.admin("/metrics").await.body;
    let taken = taken.lines().find_map(|line| {
        line.strip_prefix(r#"mcp_gateway_policy_reloads_total{source="file",result="taken"} "#)
    });
    let taken: u64 = taken.expect("the metric is there").parse().unwrap();
    assert!(taken > 3, "only {taken} of {changes} were taken");
}

#[tokio::test]
async fn a_revoked_session_ends_its_streams_and_its_long_calls_with_the_reason() {
    let (mut stand, fixture) = stand(world()).await;
    let session = stand.initialize("alice").await;
    let standing = listening(&stand, &session).await;
    let subscription = modern(
        &stand,
        "subscriptions/listen",
        json!({ "notifications": {} }),
    )
    .await;
    let streaming = call(&stand, "stream").await;
    let headers = [("mcp-session-id", session.as_str())];
    let long = background(&stand, &headers, legacy_call(9, "hold"));
    until_held(&fixture).await;
    revoke(&mut stand);
    let long = tokio::time::timeout(PATIENCE, long).await.unwrap().unwrap();
    assert_eq!(
        (long.status, long.reason().as_str()),
        (StatusCode::UNAUTHORIZED, "session_revoked")
    );
    assert_eq!(long.message()["id"], 9);
    assert_eq!(rest(standing).await, ": open\n\n");
    for stream in [subscription, streaming] {
        let text = rest(stream).await;
        let last = last(&text);
        assert_eq!(last["id"], "m", "{text}");
        assert_eq!(last["error"]["data"]["reason"], "session_revoked", "{text}");
    }
}

#[tokio::test]
async fn a_session_that_expires_ends_its_streams_by_the_clock() {
    let mut world = world();
    let ends = Timestamp::now() + SignedDuration::from_secs(20);
    world.sessions[0].spec.expires_at = Time(ends);
    let (stand, _fixture) = stand(world).await;
    let session = stand.initialize("alice").await;
    let standing = listening(&stand, &session).await;
    assert_eq!(rest(standing).await, ": open\n\n");
    assert!(Timestamp::now() >= ends, "it ended too early");
}

#[tokio::test]
async fn a_grant_that_is_taken_away_ends_no_call_that_is_under_way() {
    let (mut stand, fixture) = stand(world()).await;
    let held = background(&stand, &[], legacy_call(1, "hold"));
    until_held(&fixture).await;
    stand.world.grants.clear();
    stand.publish();
    stand
        .until("new calls are denied", || async {
            whole(call(&stand, "echo").await).await.reason() == "no_matching_grant"
        })
        .await;
    fixture.released.add_permits(1);
    let held = tokio::time::timeout(PATIENCE, held).await.unwrap().unwrap();
    assert!(held.body.contains("content"), "{held:?}");
}
