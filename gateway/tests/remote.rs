//! Servers elsewhere: TLS, credentials, and what a server may not make the gateway do.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::path::Path;

use api::Translate;
use http::StatusCode;
use serde_json::{Value, json};
use support::elsewhere::{Behaviour, Certificates, Elsewhere, certificates};
use support::*;

const SECRET: &str = "s3cret-key";

fn world() -> World {
    let mut world = World::new();
    world.grant("alice", &["echo"]);
    world
}

/// A world whose server is over TLS, with the authority in a file.
fn over_tls(server: &Elsewhere, tls: &Certificates, folder: &Path) -> World {
    let mut world = world();
    let ca = folder.join("ca.crt");
    std::fs::write(&ca, &tls.authority).unwrap();
    world.upstream = vec![
        format!("--upstream=https://localhost:{}/mcp", server.port),
        format!("--upstream-ca={}", ca.display()),
    ];
    world
}

async fn ready(stand: Stand) -> Stand {
    stand
        .until("the gateway is ready", || async {
            stand.admin("/readyz").await.status == StatusCode::OK
        })
        .await;
    stand
}

async fn inventoried(stand: Stand) -> Stand {
    stand
        .until("the inventory is taken", || async {
            stand.admin("/inventory").await.status == StatusCode::OK
        })
        .await;
    stand
}

fn text(reply: &Reply) -> Value {
    reply.message()["result"]["content"][0]["text"].clone()
}

/// A modern call of `echo`.
async fn modern(stand: &Stand, message: &str) -> Reply {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": "echo", "arguments": { "message": message }, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params });
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
    ];
    stand.post("alice", &headers, &body.to_string()).await
}

#[tokio::test]
async fn a_server_elsewhere_gets_the_gateways_credentials_and_not_the_callers() {
    let (folder, tls) = (tempfile::tempdir().unwrap(), certificates("localhost"));
    let server = Elsewhere::start(Behaviour::Legacy, Some(&tls)).await;
    server.take_only(SECRET);
    let mut world = over_tls(&server, &tls, folder.path());
    let key = folder.path().join("key");
    std::fs::write(&key, format!("{SECRET}\n")).unwrap();
    world
        .upstream
        .push(format!("--upstream-header=X-Api-Key={}", key.display()));
    let stand = ready(Stand::alone(world)).await;

    let session = stand.initialize("alice").await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}"#;
    let own = [
        ("mcp-session-id", session.as_str()),
        ("x-api-key", "the callers"),
        ("origin", "https://app.example.com"),
    ];
    let echoed = stand.post("alice", &own, body).await;
    assert_eq!(text(&echoed), "hello", "{echoed:?}");
    let seen = server.seen("hello").remove(0).headers;
    assert_eq!(seen["host"], format!("localhost:{}", server.port));
    assert_eq!(seen["x-api-key"], SECRET);
    assert_eq!(seen["mcp-session-id"], "elsewhere-1");
    assert!(
        !seen.contains_key("authorization") && !seen.contains_key("origin"),
        "{seen:?}"
    );
    let arguments = std::fs::read(format!("/proc/{}/cmdline", stand.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains(SECRET));
    assert!(!format!("{:?}", stand.audit(|_| true)).contains(SECRET));

    server.take_only("another");
    let refused = stand
        .call("alice", &session, "echo", json!({ "message": "x" }))
        .await;
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (StatusCode::BAD_GATEWAY, "upstream_invalid")
    );
    assert!(
        !refused.headers.contains_key("www-authenticate"),
        "{refused:?}"
    );
    std::fs::write(&key, "another").unwrap();
    stand
        .until("the changed Secret is used", || async {
            let echoed = stand
                .call("alice", &session, "echo", json!({ "message": "again" }))
                .await;
            echoed.message()["result"].is_object()
        })
        .await;
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_no_way_to_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, other) = (certificates("localhost"), certificates("other.example.com"));
    // An unknown authority; the right authority for another name; another authority for the right name.
    for (server_tls, trusted) in [(&tls, None), (&other, Some(&other)), (&tls, Some(&other))] {
        let server = Elsewhere::start(Behaviour::Legacy, Some(server_tls)).await;
        let mut world = over_tls(&server, trusted.unwrap_or(server_tls), folder.path());
        if trusted.is_none() {
            world.upstream.truncate(1);
        }
        let stand = Stand::alone(world).listening().await;
        let reply = stand.post("alice", &[], INITIALIZE).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "upstream_unavailable"),
            "{reply:?}"
        );
        assert_ne!(stand.admin("/readyz").await.status, StatusCode::OK);
        assert!(server.seen("").is_empty(), "nothing was sent to it");
    }
}

#[tokio::test]
async fn a_server_that_wants_other_credentials_is_reachable_and_useless() {
    let server = Elsewhere::start(Behaviour::Unauthorized, None).await;
    let stand = ready(Stand::in_front_of(world(), server.port)).await;
    let reply = stand.post("alice", &[], INITIALIZE).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::BAD_GATEWAY, "upstream_invalid"),
        "{reply:?}"
    );
    assert!(!reply.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn no_redirect_is_followed_and_none_is_passed_on() {
    let target = Elsewhere::start(Behaviour::Legacy, None).await;
    let to = format!("http://127.0.0.1:{}/mcp", target.port);
    let server = Elsewhere::start(Behaviour::Redirect(to), None).await;
    let stand = Stand::in_front_of(world(), server.port).listening().await;
    let reply = stand.post("alice", &[], INITIALIZE).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::BAD_GATEWAY, "upstream_invalid")
    );
    assert!(!reply.headers.contains_key("location"), "{reply:?}");
    assert!(!server.seen("").is_empty() && target.seen("").is_empty());
    assert_ne!(stand.admin("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_endpoint_of_another_origin_gets_no_message() {
    let target = Elsewhere::start(Behaviour::Legacy, None).await;
    let endpoint = format!("http://127.0.0.1:{}/mcp", target.port);
    let server = Elsewhere::start(Behaviour::Sse(endpoint), None).await;
    let mut world = world();
    world.upstream = vec![format!(
        "--upstream=sse+http://127.0.0.1:{}/sse",
        server.port
    )];
    let stand = Stand::alone(world).listening().await;
    let reply = stand.post("alice", &[], INITIALIZE).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::BAD_GATEWAY, "upstream_unavailable"),
        "{reply:?}"
    );
    assert!(!server.seen("").is_empty() && target.seen("").is_empty());
}

#[tokio::test]
async fn a_legacy_caller_uses_a_server_of_the_modern_era_only() {
    let server = Elsewhere::start(Behaviour::Modern, None).await;
    let stand = inventoried(Stand::in_front_of(world(), server.port)).await;
    let session = stand.initialize("alice").await;
    let echoed = stand
        .call("alice", &session, "echo", json!({ "message": "old" }))
        .await;
    assert_eq!(text(&echoed), "old", "{echoed:?}");
    let seen = server.seen(r#""old""#).remove(0);
    assert_eq!(seen.headers["mcp-name"], "echo");
    assert!(!seen.headers.contains_key("mcp-session-id"), "{seen:?}");
    assert_eq!(text(&modern(&stand, "new").await), "new");
    let denied = stand.call("alice", &session, "other", json!({})).await;
    assert!(
        !denied.reason().is_empty() && server.seen(r#""other""#).is_empty(),
        "{denied:?}"
    );
}

#[tokio::test]
async fn a_server_with_nothing_but_tools_is_translated_for_by_itself() {
    let server = Elsewhere::start(Behaviour::Legacy, None).await;
    let mut stand = inventoried(Stand::in_front_of(world(), server.port)).await;
    assert_eq!(text(&modern(&stand, "new").await), "new");
    let seen = server.seen(r#""new""#).remove(0);
    assert_eq!(seen.headers["mcp-session-id"], "elsewhere-1");
    assert_eq!(seen.headers["mcp-protocol-version"], "2025-11-25");
    assert!(!seen.body.contains("io.modelcontextprotocol"), "{seen:?}");
    // It travels in the bundle, and acts without a restart.
    stand.world.settings.translate = Translate::Never;
    stand.publish();
    stand
        .until("the call goes straight to the server", || async {
            modern(&stand, "straight").await;
            let seen = server.seen("straight");
            let last = seen.last().map_or("", |seen| &seen.body);
            last.contains("io.modelcontextprotocol/protocolVersion")
        })
        .await;
}

#[tokio::test]
async fn a_broken_stream_is_resumed_and_the_call_is_not_repeated() {
    let server = Elsewhere::start(Behaviour::Breaking, None).await;
    let stand = inventoried(Stand::in_front_of(world(), server.port)).await;
    assert_eq!(text(&modern(&stand, "once").await), "once");
    assert_eq!(server.seen("tools/call").len(), 1);
}
