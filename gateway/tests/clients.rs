//! Real SDK clients in front of the gateway: a denial reaches the person who asked, and the client's session lives on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows only test functions as tests"
)]
#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows only test functions as tests"
)]
#![allow(clippy::large_futures, reason = "nobody counts the bytes of a test")]

mod sdk;
mod support;

use std::time::Instant;

use sdk::client::{Client, Sdk};
use sdk::{PATIENCE, fixture, parts};
use serde_json::json;
use support::{Stand, World};

const GRANTED: &str = "test_simple_text";
const OTHER: &str = "test_error_handling";

/// The fixture server, with two tools in its inventory and a grant of one to alice.
fn world() -> World {
    let mut world = World::new();
    world.server.spec.tools = [GRANTED, OTHER]
        .map(|name| api::Tool {
            name: name.to_owned(),
            side_effect: Some(api::SideEffect::Read),
            ..api::Tool::default()
        })
        .into();
    world.grant("alice", &[GRANTED]);
    world
}

/// A client is denied a tool, goes on, gets a grant while it is connected, and uses it.
async fn denied_then_granted(sdk: Sdk, era: &str, version: &str) {
    let Some(parts) = parts() else { return };
    let (_server, port) = fixture(&parts);
    let mut stand = Stand::in_front_of(world(), port).listening().await;
    let url = format!("http://{}/mcp", stand.address);
    let connected = Client::connect(&parts, sdk, era, &url, Some("mcps_alice")).await;
    let mut client = connected.unwrap_or_else(|error| panic!("{sdk:?} {era}: {error}"));
    assert_eq!(client.version, version);
    assert_eq!(client.tools().await.unwrap(), [GRANTED]);

    let denied = client.tool("call", OTHER, json!({})).await.unwrap();
    let error = &denied["error"];
    assert_eq!(error["code"], -31403, "{denied}");
    assert_eq!(error["data"]["reason"], "tool_not_granted", "{denied}");
    let command = "kubectl mcp grant create --server everything --subject human:alice --tool test_error_handling --side-effect read --trust low -n team-a";
    assert!(
        error["message"].as_str().unwrap().contains(command),
        "{denied}"
    );

    let text = json!("This is a simple text response for testing.");
    let allowed = client.tool("call", GRANTED, json!({})).await.unwrap();
    assert_eq!(allowed["text"], text, "the client goes on: {allowed}");

    stand.world.grant("alice", &[OTHER]);
    stand.publish();
    let began = Instant::now();
    loop {
        let mut tools = client.tools().await.unwrap();
        tools.sort();
        if tools == [OTHER, GRANTED] {
            break;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "the grant does not show: {tools:?}"
        );
    }
    let granted = client.tool("call", OTHER, json!({})).await.unwrap();
    assert_eq!(granted["failed"], true, "the tool itself fails: {granted}");
    let sessions = stand.audit(|line| line["method"] == "initialize");
    assert_eq!(
        sessions.len(),
        usize::from(era == "legacy"),
        "it never came back as a new client"
    );
}

#[tokio::test]
async fn a_python_client_of_the_legacy_era_is_told_and_goes_on() {
    denied_then_granted(Sdk::Python, "legacy", "2025-11-25").await;
}

#[tokio::test]
async fn a_python_client_of_the_modern_era_is_told_and_goes_on() {
    denied_then_granted(Sdk::Python, "modern", "2026-07-28").await;
}

#[tokio::test]
async fn a_typescript_client_of_the_legacy_era_is_told_and_goes_on() {
    denied_then_granted(Sdk::TypeScript, "legacy", "2025-11-25").await;
}

#[tokio::test]
async fn a_typescript_client_of_the_modern_era_is_told_and_goes_on() {
    denied_then_granted(Sdk::TypeScript, "modern", "2026-07-28").await;
}

#[tokio::test]
async fn an_old_typescript_client_is_told_and_goes_on() {
    denied_then_granted(Sdk::TypeScript1, "legacy", "2025-11-25").await;
}

#[tokio::test]
async fn a_rust_client_of_the_legacy_era_is_told_and_goes_on() {
    denied_then_granted(Sdk::Rust, "legacy", "2025-11-25").await;
}

#[tokio::test]
async fn a_rust_client_of_the_modern_era_is_told_and_goes_on() {
    denied_then_granted(Sdk::Rust, "modern", "2026-07-28").await;
}
