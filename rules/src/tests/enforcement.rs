//! What becomes of a finding by the policies.

use serde_json::json;

use super::{errors, server, with_policies};
use crate::check;

#[test]
fn enforcement_of_the_policy_decides_what_a_policy_finding_does() {
    let object = server(
        json!({"image": "ghcr.io/evil/b:1", "tools": [{"name": "a"}], "ingressHost": "a.example.com"}),
    );
    for (enforcement, error, warning, audited) in [
        ("Enforce", true, false, false),
        ("Warn", false, true, false),
        ("Audit", false, false, true),
        ("Off", false, false, false),
    ] {
        let facts = with_policies(
            json!([["p", {"enforcement": enforcement, "images": {"allowedRegistries": ["ghcr.io/a"]}}]]),
        );
        let findings = check(Some(&object), None, &facts);
        let has = |mut findings: Box<dyn Iterator<Item = &crate::Finding> + '_>| {
            findings.any(|f| f.code == "MCP0102")
        };
        assert_eq!(has(Box::new(findings.errors())), error, "{enforcement}");
        assert_eq!(has(Box::new(findings.warnings())), warning, "{enforcement}");
        assert_eq!(has(Box::new(findings.audited())), audited, "{enforcement}");
    }
}

#[test]
fn a_rule_that_is_on_by_default_is_relaxed_only_by_all_that_mention_it() {
    let object = server(
        json!({"image": "ghcr.io/a/b:1", "ingressHost": "a.example.com", "ingressPath": "/metrics"}),
    );
    let off = json!({"overrides": [{"rule": "MCP0206", "enforcement": "Off"}]});
    let warn = json!({"overrides": [{"rule": "MCP0206", "enforcement": "Warn"}]});
    let silent = json!({"enforcement": "Off"});
    for (policies, refused) in [
        (json!([]), true),
        (json!([["a", silent]]), true),
        (json!([["a", silent], ["b", off]]), false),
        (json!([["a", warn], ["b", off]]), false),
        (
            json!([["a", off], ["b", {"overrides": [{"rule": "MCP0206", "enforcement": "Enforce"}]}]]),
            true,
        ),
    ] {
        let findings = check(Some(&object), None, &with_policies(policies.clone()));
        assert_eq!(findings.is_refused(), refused, "{policies}");
    }
}

#[test]
fn a_value_must_satisfy_every_policy() {
    let object = server(json!({"image": "ghcr.io/acme/b:1"}));
    let policies = json!([["a", {"images": {"allowedRegistries": ["ghcr.io"]}}], ["b", {"images": {"allowedRegistries": ["quay.io"]}}]]);
    assert_eq!(
        errors(&check(Some(&object), None, &with_policies(policies))),
        [("MCP0102", "spec.image")]
    );
}
