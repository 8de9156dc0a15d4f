//! Audit lines on their way to a real HTTP sink: form, key, retry, redaction, the end of the process.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::collections::HashSet;
use std::path::Path;

use api::AuditSink;
use http::StatusCode;
use serde_json::{Value, json};
use support::sink::Sink;
use support::upstream::{Slow, call, callable};
use support::*;

fn world(sink: &Sink) -> World {
    let mut world = callable();
    world.settings.audit = AuditSink::Http;
    world.settings.audit_url = Some(format!("{}/lines?tenant=a", sink.url));
    world
}

fn with_key(path: &Path) -> Extra {
    Extra {
        flags: vec![format!("--audit-key-file={}", path.display())],
        ..Extra::default()
    }
}

/// The lines of calls.
fn calls(sink: &Sink) -> Vec<Value> {
    sink.lines()
        .into_iter()
        .filter(|line| line["method"] == "tools/call")
        .collect()
}

#[tokio::test]
async fn lines_come_to_the_sink_in_batches_with_the_key_of_the_moment_and_not_to_stdout() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "first\n").unwrap();
    let stand = Stand::with(world(&sink), slow.port, &with_key(&key))
        .listening()
        .await;
    for id in 0..20 {
        assert_eq!(
            stand.post("alice", &[], &call(id, "echo")).await.status,
            StatusCode::OK
        );
    }
    sink.until("all lines", |sink| calls(sink).len() == 20)
        .await;
    let line = &calls(&sink)[0];
    assert_eq!(
        (&line["principal"], &line["name"], &line["decision"]),
        (&json!("human:alice"), &json!("echo"), &json!("allow"))
    );
    assert!(
        !sink
            .batches()
            .iter()
            .any(|batch| batch.body.contains("mcps_alice")),
        "no token is in a line"
    );
    let batches = sink.batches();
    assert!(batches.len() < 20, "lines are sent together");
    for batch in &batches {
        assert_eq!(batch.path, "/lines");
        assert_eq!(batch.header("content-type"), "application/x-ndjson");
        assert_eq!(batch.header("authorization"), "Bearer first");
    }
    let ids: HashSet<&str> = batches
        .iter()
        .map(|batch| batch.header("x-mcp-batch"))
        .collect();
    assert_eq!(ids.len(), batches.len());
    // What comes before there is a bundle has no other place than stdout.
    assert_eq!(
        stand.audit(|line| line["reason"] != "policy_unavailable"),
        Vec::<Value>::new(),
        "stdout has no line"
    );

    std::fs::write(&key, "second").unwrap();
    stand.post("alice", &[], &call(99, "echo")).await;
    sink.until("the new key", |sink| {
        sink.batches()
            .last()
            .is_some_and(|batch| batch.header("authorization") == "Bearer second")
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_is_not_taken_comes_again_and_no_line_is_lost() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    let stand = Stand::with(world(&sink), slow.port, &Extra::default())
        .listening()
        .await;
    for status in [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::UNAUTHORIZED,
        StatusCode::TOO_MANY_REQUESTS,
    ] {
        sink.answers(Some(status));
        let refused = |sink: &Sink| {
            sink.batches()
                .iter()
                .filter(|batch| batch.status == status)
                .count()
        };
        stand.post("alice", &[], &call(1, "echo")).await;
        sink.until("a refusal", |sink| refused(sink) > 0).await;
    }
    sink.answers(Some(StatusCode::OK));
    sink.until("all lines", |sink| calls(sink).len() >= 3).await;
    assert_eq!(calls(&sink).len(), 3);
    let batches = sink.batches();
    let last = batches
        .iter()
        .find(|batch| batch.status.is_success())
        .unwrap();
    assert!(
        batches.iter().any(|batch| !batch.status.is_success()
            && batch.header("x-mcp-batch") == last.header("x-mcp-batch")),
        "a batch that comes again has the same id"
    );
    assert!(
        stand
            .admin("/metrics")
            .await
            .body
            .contains("mcp_gateway_audit_dropped_total 0\n")
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_lines_are_counted_as_lost() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    sink.answers(Some(StatusCode::TEMPORARY_REDIRECT));
    let stand = Stand::with(world(&sink), slow.port, &Extra::default())
        .listening()
        .await;
    stand.post("alice", &[], &call(1, "echo")).await;
    sink.until("the batch", |sink| {
        sink.batches()
            .iter()
            .any(|batch| batch.body.contains("tools/call"))
    })
    .await;
    stand
        .until("the loss is counted", || async {
            let shown = stand.admin("/metrics").await.body;
            shown.contains(r#"mcp_gateway_batches_total{of="audit",result="lost"}"#)
                && !shown.contains("mcp_gateway_audit_dropped_total 0\n")
        })
        .await;
    assert!(
        sink.batches().iter().all(|batch| batch.path == "/lines"),
        "{:?}",
        sink.batches()
    );
}

#[tokio::test]
async fn a_sink_that_hangs_holds_up_no_call() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    sink.answers(None);
    let stand = Stand::with(world(&sink), slow.port, &Extra::default())
        .listening()
        .await;
    for id in 0..200 {
        assert_eq!(
            stand.post("alice", &[], &call(id, "echo")).await.status,
            StatusCode::OK
        );
    }
    assert_eq!(slow.calls("echo"), 200);
    assert_eq!(sink.batches().len(), 0);
}

#[tokio::test]
async fn tls_is_checked_against_the_systems_authorities() {
    let folder = tempfile::tempdir().unwrap();
    let (trusted, other) = (
        folder.path().join("ca.pem"),
        folder.path().join("other.pem"),
    );
    let (sink, stranger) = (Sink::secure(&trusted).await, Sink::secure(&other).await);
    let slow = Slow::start().await;
    let extra = Extra {
        env: vec![("SSL_CERT_FILE".to_owned(), trusted)],
        log: Some(folder.path().join("log")),
        ..Extra::default()
    };
    let mut stand = Stand::with(world(&stranger), slow.port, &extra)
        .listening()
        .await;
    stand.post("alice", &[], &call(1, "echo")).await;
    stand
        .until("the stranger is refused", || async {
            std::fs::read_to_string(folder.path().join("log"))
                .unwrap()
                .contains("a batch is not taken")
        })
        .await;
    assert_eq!(stranger.batches().len(), 0);
    stand.world.settings.audit_url = Some(sink.url.clone());
    stand.publish();
    stand
        .until("a line comes to the sink that is trusted", || async {
            stand.post("alice", &[], &call(2, "echo")).await;
            !calls(&sink).is_empty()
        })
        .await;
}

#[tokio::test]
async fn at_the_end_of_the_process_every_line_is_out() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    let mut stand = Stand::with(world(&sink), slow.port, &Extra::default())
        .listening()
        .await;
    for id in 0..300 {
        stand.post("alice", &[], &call(id, "echo")).await;
    }
    assert!(stand.terminate().await.success());
    assert_eq!(calls(&sink).len(), 300);

    let mut stand = Stand::in_front_of(callable(), slow.port).listening().await;
    for id in 0..300 {
        stand.post("alice", &[], &call(id, "echo")).await;
    }
    assert!(stand.terminate().await.success());
    stand
        .audited(300, |line| line["method"] == "tools/call")
        .await;
}

#[tokio::test]
async fn a_sink_that_hangs_does_not_hold_up_the_end_for_ever() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    sink.answers(None);
    let mut stand = Stand::with(world(&sink), slow.port, &Extra::default())
        .listening()
        .await;
    stand.post("alice", &[], &call(1, "echo")).await;
    assert!(stand.terminate().await.success());
}

#[tokio::test]
async fn what_is_redacted_is_in_no_line() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    let mut world = world(&sink);
    world.settings.audit_redact = ["@principal", "@session", "password"]
        .map(str::to_owned)
        .into();
    let stand = Stand::with(world, slow.port, &Extra::default())
        .listening()
        .await;
    for (user, password) in [("a", "1"), ("a", "2"), ("b", "2")] {
        let arguments = json!({"user": user, "password": password});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": arguments}});
        stand.post("alice", &[], &body.to_string()).await;
    }
    sink.until("all lines", |sink| calls(sink).len() == 3).await;
    let lines = calls(&sink);
    assert!(
        lines
            .iter()
            .all(|line| line["principal"] == "redacted" && line["session"] == "redacted"),
        "{lines:?}"
    );
    let hash = |index: usize| {
        lines[index]["arguments_sha256"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(hash(0), hash(1), "the password does not count");
    assert_ne!(hash(0), hash(2));
}
