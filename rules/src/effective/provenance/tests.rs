//! What several policies say together, field by field, and from which of them it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::MCPPolicy;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use super::*;

fn policies(policies: &Value) -> PolicySet {
    let policies: Vec<(String, Value)> = serde_json::from_value(policies.clone()).unwrap();
    let policies: Vec<_> = policies
        .into_iter()
        .map(|(name, spec)| Arc::new(MCPPolicy::new(&name, serde_json::from_value(spec).unwrap())))
        .collect();
    PolicySet::select(&policies, "team-a", &BTreeMap::new())
}

/// Name, and the policies whose value counts.
fn line(found: &Provenance, field: &str) -> (Value, Vec<String>) {
    let line = found.lines.iter().find(|line| line.field == field);
    let line = line.unwrap_or_else(|| panic!("{field} is missing"));
    let counting = line.given.iter().filter(|given| given.counts);
    (
        line.holds.clone(),
        counting.map(|given| given.policy.clone()).collect(),
    )
}

#[test]
fn what_holds_comes_from_the_policies_that_decide() {
    let specific = json!({"matchLabels": {"kubernetes.io/metadata.name": "team-a"}});
    for (one, other, field, holds, from) in [
        (
            json!({"defaults": {"ingressHost": "a.example.com"}}),
            json!({"defaults": {"ingressHost": "b.example.com"}}),
            "defaults.ingressHost",
            json!("b.example.com"),
            vec!["team"],
        ),
        (
            json!({"defaults": {"ingressHost": "a.example.com"}}),
            json!({}),
            "defaults.ingressHost",
            json!("a.example.com"),
            vec!["all"],
        ),
        (
            json!({}),
            json!({}),
            "defaults.ingressClass",
            json!("traefik"),
            vec![],
        ),
        (
            json!({"defaults": {"labels": {"a": "1", "b": "1"}}}),
            json!({"defaults": {"labels": {"a": "2"}}}),
            "defaults.labels",
            json!({"a": "2", "b": "1"}),
            vec!["team", "all"],
        ),
        (
            json!({"images": {"allowedRegistries": ["ghcr.io/acme", "quay.io/acme"]}}),
            json!({"images": {"allowedRegistries": ["ghcr.io/acme/team-a", "ghcr.io/other", "quay.io"]}}),
            "images.allowedRegistries",
            json!(["ghcr.io/acme/team-a", "quay.io/acme"]),
            vec!["team", "all"],
        ),
        (
            json!({"images": {"allowedRegistries": ["ghcr.io/acme"]}}),
            json!({"images": {"allowedRegistries": ["ghcr.io/acme-evil"]}}),
            "images.allowedRegistries",
            json!([]),
            vec!["team", "all"],
        ),
        (
            json!({"images": {"allowedRegistries": ["ghcr.io/acme"]}}),
            json!({"images": {}}),
            "images.allowedRegistries",
            json!(["ghcr.io/acme"]),
            vec!["all"],
        ),
        (
            json!({"ingress": {"allowedHosts": ["*.example.com", "x.test"]}}),
            json!({"ingress": {"allowedHosts": ["a.example.com", "a.b.example.com"]}}),
            "ingress.allowedHosts",
            json!(["a.example.com"]),
            vec!["team", "all"],
        ),
        (
            json!({"ingress": {"allowedPathPrefixes": ["/{namespace}"]}}),
            json!({"ingress": {"allowedPathPrefixes": ["/team-a/mcp", "/team-ab"]}}),
            "ingress.allowedPathPrefixes",
            json!(["/team-a/mcp"]),
            vec!["team", "all"],
        ),
        (
            json!({"ingress": {"allowedAnnotations": ["a.io/*"]}}),
            json!({"ingress": {"allowedAnnotations": ["a.io/x", "b.io/x"]}}),
            "ingress.allowedAnnotations",
            json!(["a.io/x"]),
            vec!["team", "all"],
        ),
        (
            json!({"ingress": {}}),
            json!({"ingress": {"requireHost": false}}),
            "ingress.requireHost",
            json!(true),
            vec!["all"],
        ),
        (
            json!({"images": {"requireDigest": true}}),
            json!({"images": {"requireDigest": false}}),
            "images.requireDigest",
            json!(true),
            vec!["all"],
        ),
        (
            json!({"access": {"maxTrust": "high", "maxGrantLifetime": "90m"}}),
            json!({"access": {"maxTrust": "medium", "maxGrantLifetime": "2h"}}),
            "access.maxTrust",
            json!("medium"),
            vec!["team"],
        ),
        (
            json!({"access": {"maxGrantLifetime": "90m"}}),
            json!({"access": {"maxGrantLifetime": "2h"}}),
            "access.maxGrantLifetime",
            json!("90m"),
            vec!["all"],
        ),
        (
            json!({}),
            json!({}),
            "access.maxStaleness",
            json!("10m"),
            vec![],
        ),
        (
            json!({"access": {"fourEyesFor": ["high"]}}),
            json!({"access": {"fourEyesFor": ["medium", "high"]}}),
            "access.fourEyesFor",
            json!(["medium", "high"]),
            vec!["team", "all"],
        ),
        (
            json!({"limits": {"replicas": 3, "memory": "1Gi"}}),
            json!({"limits": {"replicas": 5, "memory": "900Mi"}}),
            "limits.replicas",
            json!(3),
            vec!["all"],
        ),
        (
            json!({"limits": {"memory": "1Gi"}}),
            json!({"limits": {"memory": "900Mi"}}),
            "limits.memory",
            json!("900Mi"),
            vec!["team"],
        ),
        (
            json!({"ingress": {"allowWildcardHosts": true}}),
            json!({}),
            "ingress.allowWildcardHosts",
            json!(true),
            vec!["all"],
        ),
        (
            json!({"ingress": {"allowWildcardHosts": true}}),
            json!({"ingress": {"allowWildcardHosts": false}}),
            "ingress.allowWildcardHosts",
            json!(false),
            vec!["team"],
        ),
        (
            json!({"workload": {"forbidHostAccess": false}}),
            json!({}),
            "workload.forbidHostAccess",
            json!(false),
            vec!["all"],
        ),
        (
            json!({"workload": {"forbidHostAccess": false}}),
            json!({"overrides": [{"rule": "MCP0310", "enforcement": "Enforce"}]}),
            "workload.forbidHostAccess",
            json!(true),
            vec![],
        ),
    ] {
        let mut narrow = other.clone();
        narrow["namespaceSelector"] = specific.clone();
        let found = provenance(
            &policies(&json!([["all", one], ["team", narrow]])),
            "team-a",
        );
        let from: Vec<String> = from.into_iter().map(str::to_owned).collect();
        assert_eq!(
            line(&found, field),
            (holds, from),
            "{field} of {one} and {other}"
        );
    }
}

#[test]
fn nothing_said_leaves_only_what_is_built_in() {
    let found = provenance(&PolicySet::default(), "team-a");
    assert!(found.rules.is_empty());
    assert!(found.lines.iter().all(|line| line.given.is_empty()));
    let fields: Vec<_> = found.lines.iter().map(|line| line.field).collect();
    assert!(fields.contains(&"defaults.pathTemplate") && !fields.contains(&"access.maxTrust"));
    assert!(found.by_default.iter().any(|meta| meta.code == "MCP0310"));
}

#[test]
fn each_rule_that_a_policy_mentions_says_who_set_its_enforcement() {
    let found = provenance(
        &policies(&json!([
            ["a", {"enforcement": "Warn", "images": {"allowedRegistries": ["ghcr.io"], "requireDigest": true}}],
            ["b", {"overrides": [{"rule": "MCP0102", "enforcement": "Audit"}], "images": {"allowedRegistries": ["ghcr.io"]}}],
        ])),
        "team-a",
    );
    let rule = |code| {
        found
            .rules
            .iter()
            .find(|rule| rule.meta.code == code)
            .unwrap()
    };
    assert_eq!(rule("MCP0102").enforcement, Enforcement::Warn);
    let said: Vec<_> = rule("MCP0102")
        .said
        .iter()
        .map(|said| (said.policy.as_str(), said.enforcement, said.overridden))
        .collect();
    assert_eq!(
        said,
        [
            ("a", Enforcement::Warn, false),
            ("b", Enforcement::Audit, true)
        ]
    );
    assert_eq!(rule("MCP0104").said.len(), 1);
}

/// A new field of the policy must be explained too.
#[test]
fn every_field_of_a_policy_is_explained() {
    let crd = serde_json::to_value(MCPPolicy::crd()).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let mut expected = BTreeSet::new();
    for (name, schema) in crd.pointer(spec).unwrap().as_object().unwrap() {
        match (name.as_str(), schema["properties"].as_object()) {
            ("namespaceSelector" | "excludeNamespaces" | "enforcement" | "overrides", _) => {}
            ("registry", _) | (_, None) => {
                expected.insert(name.clone());
            }
            (_, Some(fields)) => {
                expected.extend(fields.keys().map(|field| format!("{name}.{field}")));
            }
        }
    }
    let explained: BTreeSet<_> = FIELDS
        .iter()
        .map(|(field, ..)| (*field).to_owned())
        .collect();
    assert_eq!(explained, expected);
}
