//! What the gateway refuses before any server is asked: the real binary, with nothing behind it.

#![allow(missing_docs, reason = "a test")]

mod support;

use http::{Method, StatusCode};
use support::*;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

async fn stand() -> Stand {
    let mut world = World::new();
    world.grant("alice", &["echo"]);
    Stand::alone(world).listening().await
}

#[tokio::test]
async fn a_caller_without_a_valid_token_gets_401_and_the_command_that_makes_one() {
    let stand = stand().await;
    let nobody = whole(stand.send(Method::POST, &[], LIST).await).await;
    assert_eq!(
        (nobody.status, nobody.reason().as_str()),
        (StatusCode::UNAUTHORIZED, "missing_bearer_token")
    );
    assert_eq!(
        nobody.headers["www-authenticate"],
        r#"Bearer realm="kubectl-mcp""#
    );
    assert!(
        nobody
            .body
            .contains("kubectl mcp session create --server everything -n team-a"),
        "{nobody:?}"
    );
    assert_eq!(
        stand.post("mallory", &[], LIST).await.reason(),
        "invalid_token"
    );
    let twice = stand
        .post("alice", &[("x-mcp-session-token", "mcps_alice")], LIST)
        .await;
    assert_eq!(
        (twice.status, twice.reason().as_str()),
        (StatusCode::BAD_REQUEST, "duplicate_token")
    );
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused() {
    let stand = stand().await;
    let host = stand
        .post("alice", &[("host", "evil.example.com")], LIST)
        .await;
    assert_eq!(
        (host.status, host.reason().as_str()),
        (StatusCode::FORBIDDEN, "host_not_allowed")
    );
    let proxied = [
        ("host", "10.0.0.1:6443"),
        ("x-mcp-session-token", "mcps_alice"),
    ];
    let proxied = whole(stand.send(Method::POST, &proxied, LIST).await).await;
    assert_eq!(
        proxied.reason(),
        "upstream_unavailable",
        "the service proxy's Host is not asked for"
    );
    let own = stand
        .post("alice", &[("host", "everything.team-a.svc:80")], LIST)
        .await;
    assert_eq!(own.reason(), "upstream_unavailable");
    let origin = stand
        .post("alice", &[("origin", "https://evil.example.com")], LIST)
        .await;
    assert_eq!(
        (origin.status, origin.reason().as_str()),
        (StatusCode::FORBIDDEN, "origin_not_allowed")
    );
    let allowed = stand
        .post("alice", &[("origin", "https://app.example.com")], LIST)
        .await;
    assert_eq!(
        allowed.headers["access-control-allow-origin"],
        "https://app.example.com"
    );
    let asked = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "POST"),
    ];
    assert_eq!(
        stand.send(Method::OPTIONS, &asked, "").await.status(),
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn a_rebound_name_is_not_let_in_by_the_service_proxys_header() {
    let stand = stand().await;
    let foreign = ("host", "rebound.example.com");
    for token in ["", "x", "mcps_mallory"] {
        for body in [LIST, "{"] {
            let headers = [foreign, ("x-mcp-session-token", token)];
            let reply = whole(stand.send(Method::POST, &headers, body).await).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{token:?} {body}");
        }
    }
    let twice = stand
        .post("alice", &[foreign, ("x-mcp-session-token", "x")], LIST)
        .await;
    assert_eq!(twice.reason(), "duplicate_token");
    let page = [
        foreign,
        ("origin", "http://rebound.example.com"),
        ("x-mcp-session-token", "x"),
    ];
    let page = whole(stand.send(Method::POST, &page, LIST).await).await;
    assert_eq!(page.reason(), "origin_not_allowed");

    let mut world = World::new();
    world.settings.auth = api::AuthMode::None;
    let open = Stand::alone(world).listening().await;
    // Nobody need say who he is, but only a live session shows that no page sends this.
    for (token, reason) in [
        ("x", "invalid_token"),
        ("mcps_alice", "upstream_unavailable"),
    ] {
        let headers = [foreign, ("x-mcp-session-token", token)];
        let reply = whole(open.send(Method::POST, &headers, LIST).await).await;
        assert_eq!(reply.reason(), reason, "{token}");
    }
    let rebound = whole(open.send(Method::POST, &[foreign], LIST).await).await;
    assert_eq!(rebound.reason(), "host_not_allowed");
    let own = whole(open.send(Method::POST, &[], LIST).await).await;
    assert_eq!(own.reason(), "upstream_unavailable");
}

#[tokio::test]
async fn a_response_is_refused_without_a_session_and_without_a_fresh_bundle() {
    const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let alone = stand().await.post("alice", &[], RESPONSE).await;
    assert_eq!(
        (alone.status, alone.reason().as_str()),
        (StatusCode::BAD_REQUEST, "bad_request")
    );
    assert!(
        alone.message()["id"].is_null(),
        "a refusal must not look like the answer to request 1: {alone:?}"
    );
    let mut world = World::new();
    world.settings.ceilings.max_staleness = std::time::Duration::ZERO;
    let stale = Stand::alone(world).listening().await;
    let reply = stale
        .post("alice", &[("mcp-session-id", "any")], RESPONSE)
        .await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "policy_stale")
    );
    let request = stale.post("alice", &[], LIST).await;
    assert_eq!(
        (request.status, request.reason().as_str()),
        (StatusCode::OK, "policy_stale")
    );
}

#[tokio::test]
async fn what_is_not_one_strict_message_is_refused() {
    let stand = stand().await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;
    for (body, code) in [
        (format!("[{call}]"), -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"get-env"}}"#.to_owned(), -32700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","Name":"get-env"}}"#.to_owned(), -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{"name":"get-env"}}"#.to_owned(), -32600),
        (format!("{call}{call}"), -32700),
        (format!("\u{feff}{call}"), -32700),
        ("{".to_owned(), -32700),
        (format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{}1{}}}}}"#, "[".repeat(99), "]".repeat(99)), -32700),
    ] {
        let reply = stand.post("alice", &[], &body).await;
        assert_eq!((reply.status, reply.reason().as_str()), (StatusCode::BAD_REQUEST, "rpc_inspection_failed"), "{body}");
        assert_eq!(reply.message()["error"]["code"], code, "{body}");
    }
    assert_eq!(
        stand
            .post("alice", &[("content-type", "text/plain")], call)
            .await
            .status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(
        stand
            .post("alice", &[("content-encoding", "gzip")], call)
            .await
            .status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":"{}"}}}}"#,
        "x".repeat(5 * 1024 * 1024)
    );
    assert_eq!(
        stand.post("alice", &[], &large).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn headers_that_disagree_with_the_body_are_refused() {
    let stand = stand().await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let version = ("mcp-protocol-version", "2026-07-28");
    let ask = async |headers: &[(&str, &str)]| {
        let reply = stand.post("alice", headers, body).await;
        (
            reply.status.as_u16(),
            reply.message()["error"]["code"].as_i64().unwrap(),
        )
    };
    assert_eq!(
        ask(&[
            version,
            ("mcp-method", "tools/call"),
            ("mcp-name", "get-env")
        ])
        .await,
        (400, -32020)
    );
    assert_eq!(
        ask(&[version, ("mcp-method", "tools/list"), ("mcp-name", "echo")]).await,
        (400, -32020)
    );
    assert_eq!(ask(&[version]).await, (400, -32020));
    assert_eq!(
        ask(&[("mcp-protocol-version", "2030-01-01")]).await,
        (400, -32022)
    );
    assert_eq!(
        ask(&[version, ("mcp-method", "tools/call"), ("mcp-name", "echo")]).await,
        (503, -31502)
    );
    let bare = stand
        .post("alice", &[version, ("mcp-method", "tools/list")], LIST)
        .await;
    assert_eq!(
        (
            bare.status.as_u16(),
            bare.message()["error"]["code"].as_i64()
        ),
        (400, Some(-32602))
    );
}

#[tokio::test]
async fn a_denial_is_an_answer_that_says_what_to_ask_for() {
    let stand = stand().await;
    let call = |tool: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{{"name":"{tool}"}}}}"#
        )
    };
    let denied = stand.post("alice", &[], &call("get-sum")).await;
    assert_eq!(
        (denied.status, denied.reason().as_str()),
        (StatusCode::OK, "tool_not_granted")
    );
    let message = denied.message();
    assert_eq!(
        (message["id"].as_str(), message["error"]["code"].as_i64()),
        (Some("x"), Some(-31403))
    );
    assert_eq!(
        message["error"]["data"]["hint"],
        "kubectl mcp grant create --server everything --subject human:alice --tool get-sum --side-effect read --trust low -n team-a"
    );
    assert_eq!(
        stand.post("bob", &[], &call("echo")).await.reason(),
        "no_matching_grant"
    );
    let unknown = stand
        .post(
            "alice",
            &[],
            r#"{"jsonrpc":"2.0","id":1,"method":"tasks/list_all"}"#,
        )
        .await;
    assert_eq!(
        (unknown.status, unknown.message()["error"]["code"].as_i64()),
        (StatusCode::OK, Some(-32601))
    );
    stand
        .until("the audit lines are there", || async {
            stand
                .audit(|l| l["decision"] == "deny" && l["method"].is_string())
                .len()
                >= 3
        })
        .await;
    let line = stand
        .audit(|line| line["reason"] == "tool_not_granted")
        .remove(0);
    assert_eq!(
        (
            line["principal"].as_str(),
            line["method"].as_str(),
            line["name"].as_str(),
            line["session"].as_str()
        ),
        (
            Some("human:alice"),
            Some("tools/call"),
            Some("get-sum"),
            Some("alice")
        )
    );
}

#[tokio::test]
async fn without_its_server_the_gateway_is_not_ready_and_says_why() {
    let stand = stand().await;
    let ready = stand.admin("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.body, "waiting for: handshake with the server\n");
    assert_eq!(stand.admin("/livez").await.status, StatusCode::OK);
    let reply = stand.post("alice", &[], LIST).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "upstream_unavailable")
    );
}

#[tokio::test]
async fn a_spoiled_bundle_leaves_the_last_good_one_in_force() {
    let mut stand = stand().await;
    stand.spoil_bundle("{");
    let refused = || async {
        stand
            .admin("/metrics")
            .await
            .body
            .contains(r#"policy_reloads_total{source="file",result="refused"} 1"#)
    };
    stand.until("the spoiled bundle is counted", refused).await;
    assert_eq!(
        stand.post("alice", &[], LIST).await.reason(),
        "upstream_unavailable"
    );
    stand.world.session("carol");
    stand.publish();
    stand
        .until("the next good bundle is in force", || async {
            stand.post("carol", &[], LIST).await.reason() == "upstream_unavailable"
        })
        .await;
}
