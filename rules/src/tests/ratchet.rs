//! What was already so before a change is only a warning.

use serde_json::json;

use super::{errors, nothing_there, server, with_policies};
use crate::{Severity, check, default, default_patch};

#[test]
fn what_was_wrong_before_is_only_a_warning_after() {
    let old = server(json!({"image": "ghcr.io/evil/b:1", "ingressHost": "a.example.com"}));
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    let facts = with_policies(json!([["p", {"images": {"allowedRegistries": ["ghcr.io/acme"]}}]]));
    let findings = check(Some(&new), Some(&old), &facts);
    assert!(!findings.is_refused(), "{:?}", errors(&findings));
    let kept = findings
        .iter()
        .find(|finding| finding.code == "MCP0102")
        .unwrap();
    assert_eq!(kept.severity, Severity::Warning);
}

#[test]
fn the_ratchet_compares_what_would_run_and_not_the_field() {
    let old = server(json!({"image": "ghcr.io/evil/b:1"}));
    let facts = with_policies(json!([["p", {"images": {"allowedRegistries": ["ghcr.io/acme"]}}]]));
    for (key, value) in [
        ("image", "ghcr.io/worse/b:1"),
        ("registryOverride", "worse.example.com"),
    ] {
        let mut new = old.clone();
        new["spec"][key] = json!(value);
        default(&mut new, Some(&old), &facts);
        assert!(
            errors(&check(Some(&new), Some(&old), &facts))
                .iter()
                .any(|(code, _)| *code == "MCP0102"),
            "{key}"
        );
    }
}

#[test]
fn a_changed_secret_is_not_the_old_finding() {
    let spec =
        |value| json!({"image": "ghcr.io/a/b:1", "env": [{"name": "API_TOKEN", "value": value}]});
    let facts = with_policies(json!([["p", {"workload": {"forbidLiteralSecrets": true}}]]));
    let (old, new) = (server(spec("one")), server(spec("two")));
    assert!(check(Some(&new), Some(&old), &facts).is_refused());
    assert!(!check(Some(&old), Some(&old), &facts).is_refused());
}

#[test]
fn rules_about_lifetimes_and_who_never_ratchet() {
    let session = |expires: &str| {
        let mut object = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession",
            "metadata": {"name": "s", "namespace": "team-a"},
            "spec": {"serverRef": {"name": "x"}, "subject": {"humanID": "alice@example.com"},
                     "tokenHash": "0".repeat(64), "expiresAt": expires}
        });
        default(&mut object, None, &nothing_there());
        object
    };
    let (old, new) = (
        session("2026-06-01T13:00:00Z"),
        session("2026-06-01T14:00:00Z"),
    );
    assert_eq!(
        errors(&check(Some(&new), Some(&old), &nothing_there())),
        [("MCP0705", "spec.expiresAt")]
    );
}

#[test]
fn an_object_that_is_being_deleted_may_lose_its_finalizers_whatever_the_policies_say() {
    let mut old = server(json!({"image": "ghcr.io/evil/b:1"}));
    old["metadata"]["deletionTimestamp"] = json!("2026-06-01T11:00:00Z");
    old["metadata"]["finalizers"] = json!(["example.com/f"]);
    let mut new = old.clone();
    new["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("finalizers");
    let facts = with_policies(json!([["p", {"images": {"allowedRegistries": ["ghcr.io/acme"]}}]]));
    assert!(check(Some(&new), Some(&old), &facts).is_empty());
    assert!(default_patch(&new, Some(&old), &facts).is_empty());
}
