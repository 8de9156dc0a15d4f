//! The gateway in front of a server that does not keep to MCP: what no real server does, this one does.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::IntoResponse;
use support::*;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const TOOLS: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"},{"name":"wipe"}]}}"#;
const JSON: &str = "application/json";

/// What the server answers to everything, and what it was asked.
#[derive(Default)]
struct Script {
    status: StatusCode,
    media_type: &'static str,
    body: String,
    seen: Vec<HeaderMap>,
}

type Server = Arc<Mutex<Script>>;

async fn answer(State(server): State<Server>, headers: HeaderMap) -> impl IntoResponse {
    let mut script = server.lock().unwrap();
    script.seen.push(headers);
    (
        script.status,
        [(header::CONTENT_TYPE, script.media_type)],
        script.body.clone(),
    )
}

async fn stand() -> (Stand, Server) {
    let server = Server::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = Router::new().fallback(answer).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let mut world = World::new();
    world.grant("alice", &["echo"]);
    (Stand::in_front_of(world, port).listening().await, server)
}

/// The answer to alice's `tools/list` when the server answers like this.
async fn listed(
    (stand, server): &(Stand, Server),
    status: u16,
    media_type: &'static str,
    body: &str,
) -> Reply {
    {
        let mut script = server.lock().unwrap();
        script.status = StatusCode::from_u16(status).unwrap();
        script.media_type = media_type;
        body.clone_into(&mut script.body);
    }
    stand.post("alice", &[], LIST).await
}

#[tokio::test]
async fn a_list_under_an_error_status_is_not_passed() {
    let pair = stand().await;
    let whole = listed(&pair, 200, JSON, TOOLS).await;
    assert_eq!(
        whole.body,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"}]}}"#
    );
    let beside = TOOLS.replace("\"result\"", "\"error\":{},\"result\"");
    for status in [400, 404, 418, 500, 503] {
        for media_type in [JSON, "text/plain", "application/problem+json", ""] {
            for body in [
                TOOLS,
                &beside,
                "wipe",
                r#"{"tools":["wipe"]}"#,
                "[\"wipe\"]",
            ] {
                let reply = listed(&pair, status, media_type, body).await;
                assert_eq!(reply.status.as_u16(), status, "{media_type} {body}");
                assert_eq!(reply.body, "", "{status} {media_type} {body}");
                assert!(!reply.headers.contains_key(header::CONTENT_TYPE));
            }
        }
        let events = format!("data: {TOOLS}\n\n");
        let reply = listed(&pair, status, "text/event-stream", &events).await;
        assert!(
            reply.body.contains("echo") && !reply.body.contains("wipe"),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn a_json_rpc_error_under_an_error_status_passes_as_it_is() {
    let pair = stand().await;
    let error = r#"{"jsonrpc":"2.0", "id":1,"error":{"code":-32601,"message":"no such method"}}"#;
    let reply = listed(&pair, 404, JSON, error).await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (StatusCode::NOT_FOUND, error)
    );
    let empty = listed(&pair, 404, "text/plain", "").await;
    assert_eq!(
        (empty.status, empty.body.as_str()),
        (StatusCode::NOT_FOUND, "")
    );
}

#[tokio::test]
async fn an_answer_that_two_parsers_read_differently_is_not_passed() {
    let pair = stand().await;
    for body in [
        TOOLS.replace("\"result\"", "\"Result\""),
        TOOLS.replace("\"result\"", "\"error\":{},\"RESULT\""),
        TOOLS.replace("\"tools\"", "\"tools\":[],\"Tools\""),
        TOOLS.replace("\"name\":\"wipe\"", "\"name\":\"echo\",\"Name\":\"wipe\""),
    ] {
        let reply = listed(&pair, 200, JSON, &body).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (StatusCode::BAD_GATEWAY, "upstream_invalid"),
            "{body}"
        );
        assert!(!reply.body.contains("wipe"), "{reply:?}");
    }
}

#[tokio::test]
async fn the_server_sees_the_verified_identity_and_no_token() {
    let (stand, server) = stand().await;
    let claims = [
        ("x-mcp-human-id", "root"),
        ("x-mcp-agent-id", "root"),
        ("x-mcp-team-id", "root"),
        ("x-mcp-agent-session", "mcps_root"),
        ("x-forwarded-for", "203.0.113.1"),
        ("impersonate-user", "root"),
        ("cookie", "a=mcps_root"),
        ("x-marked", "yes"),
    ];
    for token in [
        ("x-mcp-session-token", "mcps_alice"),
        ("authorization", "Bearer mcps_alice"),
    ] {
        server.lock().unwrap().seen.clear();
        let headers: Vec<_> = claims.into_iter().chain([token]).collect();
        drop(whole(stand.send(Method::POST, &headers, LIST).await).await);
        let script = server.lock().unwrap();
        let marked = |headers: &&HeaderMap| headers.contains_key("x-marked");
        let seen = script.seen.iter().find(marked).unwrap();
        assert_eq!(seen["x-mcp-human-id"], "alice");
        for name in [
            "x-mcp-session-token",
            "authorization",
            "x-mcp-agent-id",
            "x-mcp-team-id",
            "x-mcp-agent-session",
            "x-forwarded-for",
            "impersonate-user",
            "cookie",
        ] {
            let name = HeaderName::from_static(name);
            assert!(!seen.contains_key(&name), "{name}: {seen:?}");
        }
        let all = format!("{seen:?}");
        assert!(!all.contains("mcps_") && !all.contains("root"), "{all}");
    }
}
