//! Whom the gateway waits for, and how long: slow callers, a server that hangs, an idle MCP session, a bundle that nobody
//! confirms.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use support::fixture::*;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

#[tokio::test]
async fn an_idle_session_is_deleted_at_the_server_and_one_in_use_is_not() {
    let mut world = world();
    world.settings.session_idle = Duration::from_secs(2);
    let (stand, fixture) = stand(world).await;
    let [idle, used] = [
        stand.initialize("alice").await,
        stand.initialize("alice").await,
    ];
    let stream = listening(&stand, &used).await;
    stand
        .until("the server is told", || async { deleted(&fixture) == 1 })
        .await;
    let header = [("mcp-session-id", idle.as_str())];
    let reply = stand.post("alice", &header, LIST).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::NOT_FOUND, "mcp_session_not_found")
    );
    let header = [("mcp-session-id", used.as_str())];
    let reply = stand.post("alice", &header, LIST).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    drop(stream);
    stand
        .until("the other one too", || async { deleted(&fixture) == 2 })
        .await;
}

#[tokio::test]
async fn a_bundle_that_nobody_confirms_decides_nothing_after_a_while_and_ends_what_goes_on() {
    let mut world = world();
    world.settings.ceilings.max_staleness = Duration::from_secs(8);
    let (stand, fixture) = stand(world).await;
    let session = stand.initialize("alice").await;
    let standing = listening(&stand, &session).await;
    let streaming = call(&stand, "stream").await;
    let header = [("mcp-session-id", session.as_str())];
    let long = background(&stand, &header, legacy_call(3, "hold"));
    until_held(&fixture).await;
    stand.lose_bundle();
    assert_eq!(rest(standing).await, ": open\n\n");
    assert!(rest(streaming).await.contains("policy_stale"));
    let long = tokio::time::timeout(PATIENCE, long).await.unwrap().unwrap();
    assert_eq!(long.reason(), "policy_stale");
    let own = [("authorization", "Bearer mcps_alice"), header[0]];
    for (method, body, status) in [
        (Method::POST, LIST, StatusCode::OK),
        (Method::GET, "", StatusCode::SERVICE_UNAVAILABLE),
        (Method::DELETE, "", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let reply = whole(stand.send(method.clone(), &own, body).await).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (status, "policy_stale"),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_server_that_hangs_makes_no_pod_ready_and_one_that_then_answers_does() {
    let (_fixture, healthy) = fixture().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let hanging = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&hanging);
    // The first two connections are taken and never answered.
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if seen.fetch_add(1, Ordering::SeqCst) < 2 {
                held.push(stream);
                continue;
            }
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", healthy)).await.unwrap();
                tokio::io::copy_bidirectional(&mut stream, &mut server)
                    .await
                    .ok();
            });
        }
    });
    let stand = Stand::in_front_of(world(), port);
    stand
        .until("the second attempt", || async {
            let ready = stand.admin("/readyz").await;
            let attempts = hanging.load(Ordering::SeqCst);
            assert!(
                ready.status != StatusCode::OK || attempts > 2,
                "ready after {attempts} attempts"
            );
            attempts >= 2
        })
        .await;
    stand
        .until("the gateway is ready", || async {
            stand.admin("/readyz").await.status == StatusCode::OK
        })
        .await;
    assert!(hanging.load(Ordering::SeqCst) > 2);
}

/// Sends `first`, then one byte of `rest` a second for ever; what the gateway said when it had enough.
async fn drip(to: SocketAddr, first: &str, rest: u8) -> String {
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut reads, mut writes) = stream.into_split();
    writes.write_all(first.as_bytes()).await.unwrap();
    let dripping = async {
        while writes.write_all(&[rest]).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // The gateway has closed its end; its answer may still be on its way.
        std::future::pending::<()>().await;
    };
    let mut said = Vec::new();
    let reading = async {
        // A reset is an end too.
        reads.read_to_end(&mut said).await.ok();
    };
    let ended = tokio::time::timeout(2 * PATIENCE, async {
        tokio::select! { () = reading => {}, () = dripping => {} }
    });
    ended.await.expect("the gateway waits for ever");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_head_or_a_body_that_drips_in_is_not_waited_for() {
    let (stand, _fixture) = stand(world()).await;
    let head = format!("POST /mcp HTTP/1.1\r\nHost: {}\r\n", stand.address);
    let body = format!(
        "{head}Authorization: Bearer mcps_alice\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{{"
    );
    let head = format!("{head}X-Slow: ");
    let (head, body) = tokio::join!(
        drip(stand.address, &head, b'a'),
        drip(stand.address, &body, b' ')
    );
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 408"),
        "{head}"
    );
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert!(body.contains("the body must come within 30 s"), "{body}");
    let after = call(&stand, "echo").await;
    assert_eq!(after.status(), StatusCode::OK);
}
