//! MCP sessions over the life of gateways: after a restart, in another pod, when nobody uses them, and in the hands of
//! others. In front of npm's server-everything.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use support::*;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// A server-everything of its own.
struct Server {
    port: u16,
    _process: Process,
    _folder: tempfile::TempDir,
}

fn server(path: &Path) -> Server {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    Server {
        port,
        _process: serve_everything(path, port, &folder),
        _folder: folder,
    }
}

/// A folder with a server's key.
fn key(byte: u8) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("session-key"), [byte; 32]).unwrap();
    folder
}

/// A pod of the server: alice may call echo.
async fn pod(server: &Server, key: &Path, port: Option<u16>) -> Stand {
    let mut world = World::new();
    world.grant("alice", &["echo"]);
    world.port = port;
    let key = key.display();
    world.flags = vec![format!("--session-key={key}").leak(), "--pod-ip=127.0.0.1"];
    let stand = Stand::in_front_of(world, server.port);
    stand
        .until("the gateway is ready", || async {
            stand.admin("/readyz").await.status == StatusCode::OK
        })
        .await;
    stand
}

async fn echoes(stand: &Stand, session: &str) -> Reply {
    let arguments = json!({ "message": "hello" });
    stand.call("alice", session, "echo", arguments).await
}

fn assert_works(reply: &Reply) {
    let text = &reply.message()["result"]["content"][0]["text"];
    assert_eq!(text, "Echo: hello", "{reply:?}");
}

fn assert_unknown(reply: &Reply) {
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::NOT_FOUND, "mcp_session_not_found"),
        "{reply:?}"
    );
}

#[tokio::test]
async fn a_session_survives_the_restart_of_its_gateway_but_not_another_key() {
    let Some(path) = everything() else { return };
    let (server, key_one) = (server(&path), key(1));
    let first = pod(&server, key_one.path(), None).await;
    let session = first.initialize("alice").await;
    assert_works(&echoes(&first, &session).await);
    let port = first.address.port();
    drop(first);
    let second = pod(&server, key_one.path(), Some(port)).await;
    assert_works(&echoes(&second, &session).await);
    drop(second);
    let other = pod(&server, key(2).path(), Some(port)).await;
    assert_unknown(&echoes(&other, &session).await);
}

#[tokio::test]
async fn a_new_key_is_taken_up_and_ids_of_the_last_one_still_work() {
    let Some(path) = everything() else { return };
    let (server, folder) = (server(&path), key(1));
    let stand = pod(&server, folder.path(), None).await;
    let old = stand.initialize("alice").await;
    std::fs::write(folder.path().join("session-key"), [2; 32]).unwrap();
    // Only a gateway that never knew the first key tells which one an id was sealed under.
    let port = stand.address.port();
    let fresh = |session: String| {
        let bytes = std::iter::once([2; 32].as_slice());
        let own = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let sealer = gateway::seal::Sealer::new(Some(own)).unwrap();
        sealer.take(gateway::keys::Keys::of(bytes).unwrap());
        let alice = access::Identity {
            human: Some("alice".to_owned()),
            ..access::Identity::default()
        };
        sealer.open(&session, &alice.principal()).is_ok()
    };
    assert!(!fresh(old.clone()));
    stand
        .until("the new key seals", || async {
            fresh(stand.initialize("alice").await)
        })
        .await;
    assert_works(&echoes(&stand, &old).await);
}

#[tokio::test]
async fn a_session_of_another_pod_is_served_by_that_pod() {
    let Some(path) = everything() else { return };
    let (one, two, folder) = (server(&path), server(&path), key(1));
    let here = pod(&one, folder.path(), None).await;
    let mut there = pod(&two, folder.path(), None).await;
    let session = here.initialize("alice").await;
    assert_works(&echoes(&there, &session).await);
    let calls = |stand: &Stand| stand.audit(|line| line["method"] == "tools/call").len();
    here.until("the pod with the session writes the audit line", || async {
        calls(&here) == 1
    })
    .await;
    assert_eq!(calls(&there), 0, "one line for one message");

    // The other pod decides again, by its own bundle.
    there.world.grant("alice", &["get-sum"]);
    there.publish();
    let sum = || there.call("alice", &session, "get-sum", json!({ "a": 1, "b": 2 }));
    let denied = |line: &Value| line["name"] == "get-sum" && line["decision"] == "deny";
    there
        .until("the pod with the session denies", || async {
            assert_eq!(sum().await.reason(), "tool_not_granted");
            !here.audit(denied).is_empty()
        })
        .await;

    // Nobody else's, and nothing that was made up.
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let stolen = [
            ("authorization", "Bearer mcps_bob"),
            ("mcp-session-id", session.as_str()),
            ("last-event-id", "1"),
        ];
        let body = if method == Method::POST { LIST } else { "" };
        assert_unknown(&whole(there.send(method, &stolen, body).await).await);
    }
    assert_works(&echoes(&there, &session).await);

    // A stream too, which ends with the caller's session.
    let own = [
        ("authorization", "Bearer mcps_alice"),
        ("mcp-session-id", session.as_str()),
    ];
    let listening = [own[0], own[1], ("accept", "text/event-stream")];
    let stream = there.send(Method::GET, &listening, "").await;
    assert_eq!(stream.status(), StatusCode::OK);
    drop(stream);
    let deleted = there.send(Method::DELETE, &own, "").await;
    assert_eq!(deleted.status(), StatusCode::OK);
    assert_unknown(&echoes(&there, &session).await);
    assert_unknown(&echoes(&here, &session).await);
}

#[tokio::test]
async fn the_session_of_a_pod_that_is_gone_is_unknown_and_a_stranger_at_its_address_learns_nothing()
{
    let Some(path) = everything() else { return };
    let (one, two, folder) = (server(&path), server(&path), key(1));
    let gone = pod(&one, folder.path(), None).await;
    let left = pod(&two, folder.path(), None).await;
    let session = gone.initialize("alice").await;
    let address = gone.address;
    drop(gone);
    assert_unknown(&echoes(&left, &session).await);

    let listener = std::net::TcpListener::bind(address).unwrap();
    let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
    let ear = Arc::clone(&heard);
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 65536];
        while !ear.lock().unwrap().windows(4).any(|w| w == b"\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            ear.lock().unwrap().extend(&buffer[..read]);
        }
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    assert_unknown(&echoes(&left, &session).await);
    let heard = heard.lock().unwrap();
    let text = String::from_utf8_lossy(&heard);
    assert!(text.starts_with("POST /.kubectl-mcp/peer"), "{text}");
    for secret in [
        "mcps_alice",
        "hello",
        "tools/call",
        "uthorization",
        &session,
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn what_only_gateways_send_is_of_no_use_to_a_caller() {
    let Some(path) = everything() else { return };
    let (server, folder) = (server(&path), key(1));
    let stand = pod(&server, folder.path(), None).await;
    for ticket in [None, Some(""), Some("AAAA"), Some("x y")] {
        let request = http::Request::post(format!("http://{}/.kubectl-mcp/peer", stand.address));
        let request = match ticket {
            Some(ticket) => request.header("x-kubectl-mcp-peer", ticket),
            None => request,
        };
        let reply = stand.raw(request, "{}").await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{ticket:?} {reply:?}");
    }
    let session = stand.initialize("alice").await;
    let forged = [
        ("mcp-session-id", session.as_str()),
        ("x-kubectl-mcp-peer", "x"),
    ];
    let reply = stand.post("alice", &forged, LIST).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
}

#[tokio::test]
async fn a_stolen_id_resumes_no_stream() {
    let Some(path) = everything() else { return };
    let (server, folder) = (server(&path), key(1));
    let stand = pod(&server, folder.path(), None).await;
    let session = stand.initialize("alice").await;
    let resumed = async |who: &str| {
        let token = format!("Bearer mcps_{who}");
        let headers = [
            ("authorization", token.as_str()),
            ("mcp-session-id", session.as_str()),
            ("accept", "text/event-stream"),
            ("last-event-id", "made-up"),
        ];
        stand.send(Method::GET, &headers, "").await
    };
    assert_unknown(&whole(resumed("bob").await).await);
    let own = resumed("alice").await;
    assert_ne!(own.status(), StatusCode::NOT_FOUND);
    drop(own.into_body().frame());
}
