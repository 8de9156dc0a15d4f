//! Who calls, by every other way than a session, and what nobody may say of himself.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use access::ProxyEntry;
use api::AuthMode;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use support::issuer::{KeyServer, trusting};
use support::recorder::Recorder;
use support::*;

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

#[tokio::test]
async fn unknown_keys_let_the_issuer_be_asked_once_and_not_once_for_each_request() {
    let issuer = KeyServer::new();
    issuer.start().await;
    let stand = Stand::alone(trusting(&issuer.url)).listening().await;
    let good = format!("Bearer {}", issuer.token("k1", "alice", 600));
    let reply = stand.ask(&[("authorization", &good)], PING).await;
    assert_eq!(reply.reason(), "upstream_unavailable");
    let before = issuer.asked();
    let flood = (0..200).map(|number| {
        let token = format!(
            "Bearer {}",
            issuer.token(&format!("no-{number}"), "alice", 600)
        );
        let stand = &stand;
        async move { stand.ask(&[("authorization", &token)], PING).await.status }
    });
    let answers = futures::future::join_all(flood).await;
    assert!(
        answers
            .iter()
            .all(|status| *status == StatusCode::UNAUTHORIZED)
    );
    // One question is allowed every ten seconds; the flood is over in much less, but a machine may be slow.
    assert!(
        issuer.asked() - before <= 4,
        "asked {} times",
        issuer.asked()
    );
}

#[tokio::test]
async fn without_keys_nobody_is_taken_and_nobody_is_called_a_liar() {
    let issuer = KeyServer::new();
    let stand = Stand::alone(trusting(&issuer.url)).listening().await;
    let token = format!("Bearer {}", issuer.token("k1", "alice", 600));
    let reply = stand.ask(&[("authorization", &token)], PING).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "issuer_unavailable")
    );
    issuer.start().await;
    stand
        .until("the keys are asked for again", || async {
            stand.ask(&[("authorization", &token)], PING).await.reason() == "upstream_unavailable"
        })
        .await;
}

#[tokio::test]
async fn plain_http_is_no_way_to_an_issuer_without_the_flag_for_tests() {
    let issuer = KeyServer::new();
    issuer.start().await;
    let mut world = trusting(&issuer.url);
    world.flags.clear();
    let stand = Stand::alone(world).listening().await;
    let token = format!("Bearer {}", issuer.token("k1", "alice", 600));
    let reply = stand.ask(&[("authorization", &token)], PING).await;
    assert_eq!(reply.reason(), "issuer_unavailable");
    assert_eq!(issuer.asked(), 0);
}

#[tokio::test]
async fn what_callers_say_of_themselves_never_reaches_the_server() {
    let issuer = KeyServer::new();
    issuer.start().await;
    let token = format!("Bearer {}", issuer.token("k1", "carol", 600));
    let (recorder, port) = Recorder::start().await;
    let said = [
        ("x-mcp-human-id", "root"),
        ("x-mcp-agent-id", "root"),
        ("x-mcp-team-id", "root"),
        ("x-user", "root"),
        ("x_mcp_human_id", "root"),
        ("x-forwarded-user", "root"),
        ("x-remote-user", "root"),
        ("impersonate-user", "root"),
        ("forwarded", "for=root"),
        ("cookie", "root"),
        ("proxy-authorization", "root"),
        ("mcp-session-id-x", "root"),
        ("x-test", "1"),
    ];
    for mode in [AuthMode::Session, AuthMode::OAuth, AuthMode::None] {
        let mut world = trusting(&issuer.url);
        world.settings.auth = mode;
        world.settings.headers.human = "X-User".to_owned();
        let stand = Stand::in_front_of(world, port).listening().await;
        let (credential, human) = match mode {
            AuthMode::Session => ("Bearer mcps_alice", "alice"),
            AuthMode::OAuth => (token.as_str(), "carol"),
            _ => ("Bearer root", "system:anonymous"),
        };
        let mut headers = said.to_vec();
        headers.push(("authorization", credential));
        // Beside an OAuth token it would be asked for its holder.
        if mode == AuthMode::Session {
            headers.push(("x-mcp-agent-session", "root"));
        }
        let reply = stand.ask(&headers, PING).await;
        assert_eq!(reply.status, StatusCode::OK, "{mode} {reply:?}");
        assert_eq!(recorder.header("x-user").as_deref(), Some(human), "{mode}");
        let sent = format!("{:?}", recorder.last());
        assert!(!sent.contains("root"), "{mode} {sent}");
        assert!(!sent.contains(credential), "{mode} {sent}");
    }
}

#[tokio::test]
async fn without_authentication_the_service_proxy_is_passed_with_a_session() {
    let (recorder, port) = Recorder::start().await;
    let mut world = World::new();
    world.settings.auth = AuthMode::None;
    let stand = Stand::in_front_of(world, port).listening().await;
    let ask = async |headers: &[(&str, &str)]| {
        let reply = stand.ask(headers, PING).await;
        (
            reply.status.as_u16(),
            reply.message()["error"]["data"]["reason"].clone(),
        )
    };
    let (host, test) = (("host", "kubernetes.test:6443"), ("x-test", "1"));
    assert_eq!(ask(&[test]).await.0, 200);
    assert_eq!(ask(&[host]).await, (403, "host_not_allowed".into()));
    let session = ("x-mcp-session-token", "mcps_alice");
    assert_eq!(ask(&[host, session, test]).await.0, 200);
    assert_eq!(
        recorder.header("x-mcp-human-id").as_deref(),
        Some("system:anonymous")
    );
    let forged = ("x-mcp-session-token", "mcps_mallory");
    assert_eq!(ask(&[host, forged]).await, (401, "invalid_token".into()));
    assert_eq!(
        ask(&[host, session, session]).await,
        (400, "duplicate_token".into())
    );
}

/// Another address of this machine than loopback.
fn outside() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: this only asks which address would be used.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Posts to the gateway, which listens on loopback, from another address of this machine.
async fn from(address: IpAddr, stand: &Stand, headers: &[(&str, &str)]) -> Reply {
    let mut connector = HttpConnector::new();
    connector.set_local_address(Some(address));
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let mut request = Request::post(format!("http://{}/mcp", stand.address))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("x-test", "1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(PING))).unwrap();
    whole(client.request(request).await.unwrap()).await
}

#[tokio::test]
async fn headers_are_believed_from_trusted_proxies_only_and_never_from_loopback() {
    let (recorder, port) = Recorder::start().await;
    let outside = outside();
    let mut world = World::new();
    world.settings.auth = AuthMode::Header;
    world.settings.proxies = Some(ProxyEntry {
        networks: outside
            .iter()
            .map(ToString::to_string)
            .chain(["127.0.0.0/8".to_owned()])
            .collect(),
        by_labels: false,
    });
    let mut stand = Stand::in_front_of(world, port).listening().await;
    let human = ("x-mcp-human-id", "alice");
    let reply = stand.ask(&[human], PING).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::UNAUTHORIZED, "untrusted_proxy")
    );
    // A token of a session is no identity here, and brings nobody past the Host.
    let proxied = [
        ("host", "kubernetes.test"),
        ("x-mcp-session-token", "mcps_alice"),
        human,
    ];
    assert_eq!(stand.ask(&proxied, PING).await.reason(), "host_not_allowed");
    let Some(outside) = outside else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "a machine of CI must have another address than loopback"
        );
        return;
    };
    let agent = ("x-mcp-agent-id", "a1");
    let reply = from(outside, &stand, &[human, agent]).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(recorder.header("x-mcp-human-id").as_deref(), Some("alice"));
    assert_eq!(recorder.header("x-mcp-agent-id").as_deref(), Some("a1"));
    for (headers, status, reason) in [
        (vec![], 401, "missing_identity"),
        (vec![agent], 401, "missing_identity"),
        (vec![human, human], 400, "duplicate_identity"),
        (vec![human, agent, agent], 400, "duplicate_identity"),
        (
            vec![human, ("x-mcp-agent-session", "mcps_bob")],
            401,
            "session_of_another",
        ),
    ] {
        let reply = from(outside, &stand, &headers).await;
        assert_eq!(
            (reply.status.as_u16(), reply.reason().as_str()),
            (status, reason),
            "{headers:?}"
        );
    }
    let beside = [human, ("x-mcp-agent-session", "mcps_alice")];
    assert_eq!(from(outside, &stand, &beside).await.status, StatusCode::OK);
    stand.world.settings.proxies = Some(ProxyEntry {
        networks: vec!["203.0.113.77".to_owned()],
        by_labels: false,
    });
    stand.publish();
    stand
        .until("the other proxy is trusted no more", || async {
            from(outside, &stand, &[human]).await.reason() == "untrusted_proxy"
        })
        .await;
}

#[tokio::test]
async fn a_stream_ends_with_the_token_by_which_it_was_opened() {
    let issuer = KeyServer::new();
    issuer.start().await;
    let stream = axum::Router::new().fallback(|| async {
        let events = futures::stream::once(async {
            Ok::<_, std::convert::Infallible>(Bytes::from(": open\n\n"))
        });
        let body = axum::body::Body::from_stream(futures::StreamExt::chain(
            events,
            futures::stream::pending(),
        ));
        ([("content-type", "text/event-stream")], body)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, stream).await });
    let stand = Stand::in_front_of(trusting(&issuer.url), port)
        .listening()
        .await;
    // Over for 56 seconds, which the allowance for clocks still takes for four more.
    let short = format!("Bearer {}", issuer.token("k1", "alice", -56));
    let long = format!("Bearer {}", issuer.token("k1", "alice", 600));
    let open = async |token: &str| {
        let response = stand
            .send(Method::POST, &[("authorization", token)], PING)
            .await;
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body()
    };
    let (first, mut second) = (open(&short).await, open(&long).await);
    let ended = tokio::time::timeout(Duration::from_secs(60), first.collect()).await;
    assert!(ended.is_ok(), "the stream goes on without a token");
    let refused = stand.ask(&[("authorization", &short)], PING).await;
    assert_eq!(refused.reason(), "invalid_token");
    assert!(second.frame().await.is_some());
    let more = tokio::time::timeout(Duration::from_millis(100), second.frame()).await;
    assert!(more.is_err(), "the other stream is open");
}
