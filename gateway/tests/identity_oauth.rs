//! The gateway as an OAuth resource server, with tokens of an authorization server that nobody here wrote: npm's
//! oidc-provider.

#![allow(missing_docs, reason = "a test")]

mod support;

use api::{Subject, Trust};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::issuer::{OidcProvider, RESOURCE, trusting};
use support::recorder::Recorder;
use support::*;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const METADATA: &str =
    "https://mcp.example.com/.well-known/oauth-protected-resource/everything/mcp";

fn call(tool: &str) -> String {
    let params = json!({ "name": tool, "arguments": {} });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

async fn with_token(stand: &Stand, token: &str, body: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    stand
        .ask(&[("authorization", bearer.as_str()), ("x-test", "1")], body)
        .await
}

#[tokio::test]
async fn a_client_without_a_token_is_led_to_the_issuer() {
    let stand = Stand::alone(trusting("https://login.example.com"))
        .listening()
        .await;
    let reply = stand
        .ask(&[("content-type", "application/json")], PING)
        .await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (StatusCode::UNAUTHORIZED, "missing_bearer_token")
    );
    let challenge = format!(r#"Bearer scope="mcp:use", resource_metadata="{METADATA}""#);
    assert_eq!(reply.headers["www-authenticate"], challenge);
    for path in ["", "/mcp", "/everything/mcp"] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        let found = stand.at(Method::GET, &path, &[]).await;
        assert_eq!(found.status, StatusCode::OK, "{path}");
        assert_eq!(
            found.message(),
            json!({
                "resource": RESOURCE, "authorization_servers": ["https://login.example.com"],
                "bearer_methods_supported": ["header"], "resource_name": SERVER, "scopes_supported": ["mcp:use"],
            }),
            "whatever the Host says"
        );
        assert_eq!(
            stand.at(Method::POST, &path, &[]).await.status,
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
    let foreign = [("host", "evil.test")];
    let path = "/.well-known/oauth-protected-resource";
    assert_eq!(
        stand.at(Method::GET, path, &foreign).await.status,
        StatusCode::FORBIDDEN
    );
    let other = stand.at(Method::GET, &format!("{path}/other"), &[]).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn tokens_of_every_algorithm_say_who_calls_and_the_server_never_sees_one() {
    let Some(issuer) = OidcProvider::start().await else {
        return;
    };
    let (recorder, port) = Recorder::start().await;
    let stand = Stand::in_front_of(trusting(&issuer.url), port)
        .listening()
        .await;
    for algorithm in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
    ] {
        let token = issuer.token(algorithm, "mcp:use", RESOURCE).await;
        // The second time from the cache.
        for _ in 0..2 {
            let reply = with_token(&stand, &token, PING).await;
            assert_eq!(reply.status, StatusCode::OK, "{algorithm} {reply:?}");
            let header = |name| recorder.header(name);
            assert_eq!(header("x-mcp-human-id").as_deref(), Some(algorithm));
            assert_eq!(header("x-mcp-agent-id").as_deref(), Some("agent-7"));
            assert_eq!(header("x-mcp-team-id").as_deref(), Some("blue"));
            let sent = format!("{:?}", recorder.last());
            assert!(
                !sent.contains(&token) && !sent.contains("authorization"),
                "{sent}"
            );
        }
        // The API server's proxy keeps its own Host and drops Authorization.
        let proxied = [
            ("host", "127.0.0.1.kubernetes.test:6443"),
            ("x-mcp-session-token", token.as_str()),
        ];
        assert_eq!(stand.ask(&proxied, PING).await.status, StatusCode::OK);
        let lines = stand.audit(|line| line.to_string().contains(&token));
        assert!(lines.is_empty(), "{lines:?}");
    }
}

#[tokio::test]
async fn a_real_token_that_was_changed_or_is_for_another_server_is_refused() {
    let Some(issuer) = OidcProvider::start().await else {
        return;
    };
    let stand = Stand::alone(trusting(&issuer.url)).listening().await;
    let good = issuer.token("RS256", "mcp:use", RESOURCE).await;
    let reason = with_token(&stand, &good, PING).await.reason();
    assert_eq!(reason, "upstream_unavailable", "the good one passes");
    let parts: Vec<&str> = good.split('.').collect();
    let with_header = |header: Value| {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        format!("{header}.{}.{}", parts[1], parts[2])
    };
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let with_claim = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
        format!("{}.{claims}.{}", parts[0], parts[2])
    };
    let other_audience = issuer
        .token("RS256", "mcp:use", "https://mcp.example.com/other/mcp")
        .await;
    for token in [
        other_audience,
        with_header(json!({ "alg": "none" })),
        with_header(json!({ "alg": "HS256", "kid": "first-RS" })),
        with_header(json!({ "alg": "PS256", "kid": "first-RS" })),
        with_header(json!({ "alg": "RS256", "kid": "first-ES256" })),
        with_claim("sub", json!("root")),
        with_claim("scope", json!("mcp:use mcp:sum")),
        with_claim("iss", json!("https://login.example.com")),
        format!("{}.{}.", parts[0], parts[1]),
        "mcps_alice".to_owned(),
        "a".repeat(20_000),
    ] {
        let reply = with_token(&stand, &token, PING).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (StatusCode::UNAUTHORIZED, "invalid_token"),
            "{token}"
        );
        let challenge = reply.headers["www-authenticate"].to_str().unwrap();
        assert!(
            challenge.starts_with(r#"Bearer error="invalid_token""#)
                && challenge.contains(METADATA)
        );
        assert!(!reply.body.contains(&token));
    }
    let bearer = format!("Bearer {good}");
    let twice = [
        ("authorization", bearer.as_str()),
        ("x-mcp-session-token", good.as_str()),
    ];
    assert_eq!(
        stand.ask(&twice, PING).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn missing_scopes_are_asked_for_all_at_once() {
    let Some(issuer) = OidcProvider::start().await else {
        return;
    };
    let mut world = trusting(&issuer.url);
    world.server.spec.tools[1].scopes = vec!["mcp:sum".to_owned()];
    world.grant("ES256", &["get-sum", "echo"]);
    world.grants[0].spec.subject.issuer = Some(issuer.url.clone());
    let stand = Stand::alone(world).listening().await;
    let none = issuer.token("ES256", "mcp:sum", RESOURCE).await;
    let some = issuer.token("ES256", "mcp:use", RESOURCE).await;
    let all = issuer.token("ES256", "mcp:use mcp:sum", RESOURCE).await;
    for (token, body, scopes) in [
        (&none, LIST.to_owned(), "mcp:use"),
        (&some, call("get-sum"), "mcp:use mcp:sum"),
    ] {
        let reply = with_token(&stand, token, &body).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (StatusCode::FORBIDDEN, "insufficient_scope"),
            "{reply:?}"
        );
        let challenge = format!(
            r#"Bearer error="insufficient_scope", scope="{scopes}", resource_metadata="{METADATA}""#
        );
        assert_eq!(reply.headers["www-authenticate"], challenge);
    }
    for (token, body) in [(&some, call("echo")), (&all, call("get-sum"))] {
        let reply = with_token(&stand, token, &body).await;
        assert_eq!(reply.reason(), "upstream_unavailable", "{reply:?}");
    }
    // Scopes open nothing that no grant gives.
    let denied = with_token(&stand, &all, &call("get-env")).await;
    assert_eq!(
        (denied.status, denied.reason().as_str()),
        (StatusCode::OK, "tool_not_granted")
    );
}

#[tokio::test]
async fn a_grant_to_somebody_of_the_cluster_is_none_to_his_namesake_at_an_issuer() {
    let Some(issuer) = OidcProvider::start().await else {
        return;
    };
    let mut world = trusting(&issuer.url);
    world.grant("ES256", &["echo"]);
    let mut stand = Stand::alone(world).listening().await;
    let token = issuer.token("ES256", "mcp:use", RESOURCE).await;
    let denied = with_token(&stand, &token, &call("echo")).await;
    assert_eq!(denied.reason(), "no_matching_grant");
    stand.world.grants[0].spec.subject.issuer = Some(issuer.url.clone());
    stand.publish();
    stand
        .until("the grant to the issuer's person acts", || async {
            with_token(&stand, &token, &call("echo")).await.reason() == "upstream_unavailable"
        })
        .await;
}

#[tokio::test]
async fn keys_are_followed_when_they_rotate_and_kept_when_the_issuer_is_gone() {
    let Some(mut issuer) = OidcProvider::start().await else {
        return;
    };
    let stand = Stand::alone(trusting(&issuer.url)).listening().await;
    let passes = async |token: &str| {
        with_token(&stand, token, PING).await.reason() == "upstream_unavailable"
    };
    let old = issuer.token("PS256", "mcp:use", RESOURCE).await;
    assert!(passes(&old).await);
    issuer.stop();
    assert!(passes(&old).await, "the keys are kept");
    issuer.restart("second").await;
    let new = issuer.token("PS256", "mcp:use", RESOURCE).await;
    stand
        .until("the new key is known", || async { passes(&new).await })
        .await;
    assert!(
        !passes(&old).await,
        "the old key counts no more, nor what was checked with it"
    );
}

#[tokio::test]
async fn a_session_beside_a_token_must_be_of_the_same_person() {
    let Some(issuer) = OidcProvider::start().await else {
        return;
    };
    let mut world = trusting(&issuer.url);
    world.grant("ES256", &["echo"]);
    world.grants[0].spec.subject.issuer = Some(issuer.url.clone());
    world.grants[0].spec.max_trust = Trust::High;
    world.server.spec.tools[0].required_trust = Some(Trust::High);
    world.session("ES256");
    // A namesake of the cluster, and the person of the issuer.
    let mut own = world.sessions[2].clone();
    own.metadata.name = Some("own".to_owned());
    own.spec.token_hash = access::token_hash("mcps_own");
    own.spec.subject = Subject {
        issuer: Some(issuer.url.clone()),
        ..own.spec.subject
    };
    world.sessions.push(own);
    let mut stand = Stand::alone(world).listening().await;
    let bearer = format!(
        "Bearer {}",
        issuer.token("ES256", "mcp:use", RESOURCE).await
    );
    let ask = async |stand: &Stand, sessions: &[&str]| {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(sessions.iter().map(|token| ("x-mcp-agent-session", *token)));
        let reply = stand.ask(&headers, &call("echo")).await;
        (reply.status.as_u16(), reply.reason())
    };
    let expected = |status: u16, reason: &str| (status, reason.to_owned());
    assert_eq!(
        ask(&stand, &[]).await,
        expected(503, "upstream_unavailable")
    );
    // It consents to low trust only.
    assert_eq!(
        ask(&stand, &["mcps_own"]).await,
        expected(200, "trust_too_low")
    );
    assert_eq!(
        ask(&stand, &["mcps_ES256"]).await,
        expected(401, "session_of_another")
    );
    assert_eq!(
        ask(&stand, &["mcps_alice"]).await,
        expected(401, "session_of_another")
    );
    assert_eq!(ask(&stand, &["own"]).await, expected(401, "invalid_token"));
    assert_eq!(
        ask(&stand, &["mcps_own", "mcps_own"]).await,
        expected(400, "duplicate_token")
    );
    stand.world.settings.session_required = true;
    stand.publish();
    stand
        .until("a session is required", || async {
            ask(&stand, &[]).await == expected(401, "missing_session")
        })
        .await;
    stand.world.sessions.last_mut().unwrap().spec.revoked = true;
    stand.publish();
    stand
        .until("the revocation acts", || async {
            ask(&stand, &["mcps_own"]).await == expected(401, "session_revoked")
        })
        .await;
}
