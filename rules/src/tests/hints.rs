//! What a hint says to write is not refused itself.

use serde_json::{Value, json};

use super::{server, server_fact, with_policies};
use crate::{Facts, Finding, Findings, check};

fn weather(more: &Value) -> Value {
    let mut spec = json!({
        "image": "ghcr.io/acme/weather:1.2.3", "ingressHost": "mcp.example.com",
        "tools": [{"name": "forecast", "sideEffect": "read"}]
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    server(spec)
}

#[track_caller]
fn finding<'a>(findings: &'a Findings, code: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.code == code);
    found.unwrap_or_else(|| panic!("no {code}: {findings:#?}"))
}

fn prefixes(lists: &[Value]) -> Facts {
    let named = lists.iter().enumerate();
    let policies =
        named.map(|(n, list)| json!([format!("p{n}"), {"ingress": {"allowedPathPrefixes": list}}]));
    with_policies(policies.collect())
}

/// The path that the hint of the rule says, judged again in the place of the other.
#[track_caller]
fn followed(code: &str, more: &Value, facts: &Facts, expected: &str) {
    let findings = check(Some(&weather(more)), None, facts);
    let hint = finding(&findings, code).hint.clone().unwrap_or_default();
    assert_eq!(hint, format!("ingressPath: {expected}"), "{code}");
    let again = check(
        Some(&weather(&json!({"ingressPath": expected}))),
        None,
        facts,
    );
    assert!(!again.is_refused(), "{again:#?}");
}

#[test]
fn a_path_in_a_hint_is_below_what_every_policy_allows() {
    let team = [json!(["/x", "/team/{namespace}"]), json!(["/team/"])];
    let metrics = json!({"ingressPath": "/metrics"});
    followed(
        "MCP0206",
        &metrics,
        &prefixes(&team),
        "/team/team-a/new/mcp",
    );
    followed("MCP0206", &metrics, &prefixes(&[]), "/new/mcp");
    followed(
        "MCP0206",
        &metrics,
        &prefixes(&[json!(["/healthz", "/x"])]),
        "/x/new/mcp",
    );
    followed(
        "MCP0210",
        &json!({"ingressPath": "/y"}),
        &prefixes(&team),
        "/team/team-a/new/mcp",
    );
}

#[test]
fn a_free_path_in_a_hint_is_allowed_too() {
    let old = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": "old", "namespace": "team-b"},
        "spec": {"image": "ghcr.io/acme/weather:1.2.3", "ingressHost": "mcp.example.com", "ingressPath": "/team/new"}
    });
    let facts = Facts {
        servers: vec![server_fact(&old)].into(),
        ..prefixes(&[json!(["/team"])])
    };
    let taken = json!({"ingressPath": "/team/new"});
    followed("MCP0205", &taken, &facts, "/team/team-a/new/mcp");
}

#[test]
fn where_no_path_is_allowed_by_every_policy_none_is_hinted() {
    let facts = prefixes(&[json!(["/a"]), json!(["/b"])]);
    let findings = check(
        Some(&weather(&json!({"ingressPath": "/metrics"}))),
        None,
        &facts,
    );
    assert_eq!(finding(&findings, "MCP0206").hint, None);
}

#[test]
fn nobody_is_told_to_take_the_whole_host() {
    followed(
        "MCP0203",
        &json!({"ingressPath": ""}),
        &prefixes(&[]),
        "/new/mcp",
    );
    followed(
        "MCP0203",
        &json!({"ingressPath": "a/b"}),
        &prefixes(&[]),
        "/a/b",
    );
}

#[test]
fn a_prefix_is_replaced_and_not_joined_by_a_second_path() {
    let object = weather(&json!({"publicPathPrefix": "metrics"}));
    let findings = check(Some(&object), None, &prefixes(&[]));
    assert_eq!(
        finding(&findings, "MCP0206").hint.as_deref(),
        Some("ingressPath: /new/mcp, in the place of publicPathPrefix")
    );
}

#[test]
fn a_mode_in_a_hint_is_allowed_by_every_policy_and_needs_little_else() {
    for (lists, expected) in [
        (vec![json!(["oauth", "session"])], "mode: session"),
        (
            vec![json!(["none", "session"]), json!(["session"])],
            "mode: session",
        ),
        (vec![json!(["oauth"])], "mode: oauth"),
        (
            vec![json!(["oauth"]), json!(["session"])],
            "ask a platform engineer to add session to access.allowedAuthModes",
        ),
    ] {
        let named = lists.iter().enumerate();
        let policies =
            named.map(|(n, list)| json!([format!("p{n}"), {"access": {"allowedAuthModes": list}}]));
        let facts = with_policies(policies.collect());
        let findings = check(
            Some(&weather(&json!({"auth": {"mode": "header"}}))),
            None,
            &facts,
        );
        assert_eq!(
            finding(&findings, "MCP0403").hint.as_deref(),
            Some(expected),
            "{lists:?}"
        );
    }
}
