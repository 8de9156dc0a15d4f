//! Spans on their way to a collector that speaks OTLP over HTTP, and the trace context that the server gets.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use http::StatusCode;
use serde_json::{Value, json};
use support::sink::Sink;
use support::upstream::{Slow, call, callable};
use support::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The spans that a collector took, as OTLP says they come.
fn spans(sink: &Sink) -> Vec<Value> {
    let mut spans = Vec::new();
    for batch in sink.batches() {
        assert_eq!(
            (batch.path.as_str(), batch.header("content-type")),
            ("/v1/traces", "application/json")
        );
        let body: Value = serde_json::from_str(&batch.body).unwrap();
        for resource in body["resourceSpans"].as_array().unwrap() {
            assert_eq!(
                attribute(&resource["resource"], "service.name"),
                "mcp-gateway"
            );
            assert_eq!(
                attribute(&resource["resource"], "k8s.namespace.name"),
                NAMESPACE
            );
            for scope in resource["scopeSpans"].as_array().unwrap() {
                spans.extend(scope["spans"].as_array().unwrap().iter().cloned());
            }
        }
    }
    spans
}

fn attribute(of: &Value, key: &str) -> String {
    let found = of["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|attribute| attribute["key"] == key);
    let value = &found.unwrap_or_else(|| panic!("no {key} in {of}"))["value"];
    let text = value["stringValue"].as_str().or(value["intValue"].as_str());
    text.unwrap().to_owned()
}

fn tracing(sink: &Sink) -> Extra {
    Extra {
        flags: vec![format!("--otlp-endpoint={}", sink.url)],
        ..Extra::default()
    }
}

/// `traceparent` and `tracestate` of the last call that the server got; the gateway's own messages are none.
fn told(slow: &Slow) -> (Option<String>, Option<String>) {
    let (seen, heads) = (slow.seen.lock().unwrap(), slow.heads.lock().unwrap());
    let last = seen
        .iter()
        .rposition(|message| message["method"] == "tools/call");
    let head = &heads[last.unwrap()];
    let value = |name: &str| {
        head.get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    (value("traceparent"), value("tracestate"))
}

#[tokio::test]
async fn every_request_is_a_span_under_its_caller_and_over_its_server() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    let stand = Stand::with(callable(), slow.port, &tracing(&sink))
        .listening()
        .await;
    let sent = [("traceparent", SENT), ("tracestate", "vendor=1")];
    assert_eq!(
        stand.post("alice", &sent, &call(1, "echo")).await.status,
        StatusCode::OK
    );
    let of_call = |sink: &Sink| {
        spans(sink)
            .into_iter()
            .find(|span| span["name"] == "tools/call")
    };
    sink.until("the span", |sink| of_call(sink).is_some()).await;
    let span = of_call(&sink).unwrap();
    assert_eq!(
        (&span["traceId"], &span["parentSpanId"], &span["kind"]),
        (&json!(TRACE), &json!("b7ad6b7169203331"), &json!(2))
    );
    assert_eq!(attribute(&span, "mcp.method.name"), "tools/call");
    assert_eq!(attribute(&span, "gen_ai.tool.name"), "echo");
    assert_eq!(attribute(&span, "kubectl_mcp.decision"), "allow");
    assert_eq!(attribute(&span, "http.response.status_code"), "200");
    let nanos = |key: &str| span[key].as_str().unwrap().parse::<i128>().unwrap();
    assert!(nanos("endTimeUnixNano") >= nanos("startTimeUnixNano"));
    assert!(!span.to_string().contains("alice"), "{span}");
    let own = span["spanId"].as_str().unwrap();
    assert_eq!(
        told(&slow),
        (
            Some(format!("00-{TRACE}-{own}-01")),
            Some("vendor=1".to_owned())
        )
    );
    assert_eq!(
        stand
            .audited(1, |line| line["method"] == "tools/call")
            .await[0]["trace_id"],
        TRACE
    );
}

#[tokio::test]
async fn a_trace_that_is_not_recorded_gets_no_span_and_one_without_parent_begins_here() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    let stand = Stand::with(callable(), slow.port, &tracing(&sink))
        .listening()
        .await;
    let unsampled = SENT.replace("-01", "-00");
    stand
        .post("alice", &[("traceparent", &unsampled)], &call(1, "other"))
        .await;
    assert!(told(&slow).0.unwrap().ends_with("-00"));
    stand.post("alice", &[], &call(2, "echo")).await;
    let of = |sink: &Sink, tool: &str| {
        let mut calls = spans(sink)
            .into_iter()
            .filter(|span| span["name"] == "tools/call");
        calls.find(|span| attribute(span, "gen_ai.tool.name") == tool)
    };
    sink.until("the span of the second call", |sink| {
        of(sink, "echo").is_some()
    })
    .await;
    assert!(of(&sink, "other").is_none());
    let root = of(&sink, "echo").unwrap();
    assert!(root.get("parentSpanId").is_none());
    let trace = root["traceId"].as_str().unwrap();
    assert!(told(&slow).0.unwrap().starts_with(&format!("00-{trace}-")));
}

#[tokio::test]
async fn a_context_in_meta_is_the_one_that_counts() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    let stand = Stand::with(callable(), slow.port, &tracing(&sink))
        .listening()
        .await;
    let meta = json!({"traceparent": SENT, "tracestate": "own=1"});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "_meta": meta}}).to_string();
    let hop = "00-11111111111111111111111111111111-2222222222222222-01";
    stand
        .post(
            "alice",
            &[("traceparent", hop), ("tracestate", "hop=1")],
            &body,
        )
        .await;
    assert_eq!(
        told(&slow),
        (Some(SENT.to_owned()), Some("own=1".to_owned())),
        "header and body agree"
    );
    sink.until("the span", |sink| {
        spans(sink).iter().any(|span| span["traceId"] == TRACE)
    })
    .await;
}

#[tokio::test]
async fn without_a_collector_nothing_is_made_up() {
    let slow = Slow::start().await;
    let stand = Stand::in_front_of(callable(), slow.port).listening().await;
    stand.post("alice", &[], &call(1, "echo")).await;
    assert_eq!(told(&slow), (None, None));
    stand
        .post(
            "alice",
            &[("traceparent", SENT), ("tracestate", "vendor=1")],
            &call(1, "echo"),
        )
        .await;
    assert_eq!(
        told(&slow),
        (Some(SENT.to_owned()), Some("vendor=1".to_owned()))
    );
}

#[tokio::test]
async fn spans_that_wait_are_sent_at_the_end_of_the_process() {
    let (sink, slow) = (Sink::start().await, Slow::start().await);
    let mut stand = Stand::with(callable(), slow.port, &tracing(&sink))
        .listening()
        .await;
    for id in 0..50 {
        stand.post("alice", &[], &call(id, "echo")).await;
    }
    assert!(stand.terminate().await.success());
    let calls = spans(&sink)
        .iter()
        .filter(|span| span["name"] == "tools/call")
        .count();
    assert_eq!(calls, 50);
}
