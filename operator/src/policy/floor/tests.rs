//! What is built, as YAML, and which actions a policy gets. A change of a snapshot changes what every cluster refuses.

use std::sync::Arc;

use api::MCPPolicy;
use serde_json::{Value, json};

use super::build::{Part, name, parts};
use super::scope::Action;

fn policy(name: &str, spec: &Value) -> Arc<MCPPolicy> {
    let object = json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
                        "metadata": {"name": name, "uid": "u1"}, "spec": spec});
    Arc::new(serde_json::from_value(object).unwrap())
}

fn alone(spec: &Value) -> Vec<Part> {
    let policy = policy("p", spec);
    parts(&policy, std::slice::from_ref(&policy))
}

fn actions(parts: &[Part]) -> Vec<Action> {
    parts.iter().map(|part| part.action).collect()
}

/// The codes of what an action holds.
fn codes(parts: &[Part], action: Action) -> Vec<String> {
    let part = parts.iter().find(|part| part.action == action);
    let validations = part.and_then(|part| part.policy.spec.as_ref()?.validations.as_ref());
    let messages = validations
        .into_iter()
        .flatten()
        .filter_map(|v| v.message.as_ref());
    messages.map(|message| message[..7].to_owned()).collect()
}

fn expression(parts: &[Part], code: &str) -> Option<String> {
    parts
        .iter()
        .filter_map(|part| part.policy.spec.as_ref()?.validations.as_ref())
        .flatten()
        .find(|v| {
            v.message
                .as_ref()
                .is_some_and(|message| message.starts_with(code))
        })
        .map(|v| v.expression.clone())
}

#[test]
fn everything_that_a_policy_can_say_is_held() {
    let parts = alone(&json!({
        "namespaceSelector": {"matchLabels": {"mcp": "yes"}}, "excludeNamespaces": ["kube-system"],
        "registry": {"host": "registry.test:5000"},
        "images": {"allowedRegistries": ["ghcr.io/acme", "registry.test:5000"], "requireDigest": true},
        "ingress": {"allowedHosts": ["mcp.example.com", "*.example.com"], "requireTLS": true,
                    "allowedClasses": ["traefik"], "allowedPathPrefixes": ["/{namespace}"],
                    "allowedAnnotations": ["cert-manager.io/issuer", "example.com/*"]},
        "access": {"requireGateway": true, "allowedAuthModes": ["session", "oauth"], "forbidObserve": true,
                   "maxTrust": "medium", "maxGrantLifetime": "720h", "maxSessionLifetime": "8h", "requireReason": true},
        "workload": {"allowedServiceAccounts": ["runner"]},
        "limits": {"replicas": 3, "toolsPerServer": 10}
    }));
    assert_eq!(actions(&parts), [Action::Deny]);
    insta::assert_yaml_snapshot!("deny", (&parts[0].policy, &parts[0].binding));
}

#[test]
fn each_rule_goes_where_its_enforcement_says() {
    let parts = alone(&json!({
        "overrides": [{"rule": "MCP0102", "enforcement": "Audit"}, {"rule": "MCP0104", "enforcement": "Warn"},
                      {"rule": "MCP0204", "enforcement": "Off"}],
        "images": {"allowedRegistries": ["ghcr.io"], "requireDigest": true},
        "ingress": {"allowedHosts": ["a.example.com"], "requireHost": false}, "access": {"maxTrust": "low"}
    }));
    assert_eq!(actions(&parts), Action::ALL);
    assert_eq!(codes(&parts, Action::Audit), ["MCP0102"]);
    assert_eq!(codes(&parts, Action::Warn), ["MCP0104"]);
    assert!(codes(&parts, Action::Deny).contains(&"MCP0606".to_owned()));
    assert!(!codes(&parts, Action::Deny).contains(&"MCP0204".to_owned()));
}

#[test]
fn a_policy_that_does_not_enforce_refuses_nothing() {
    for (enforcement, expected) in [
        ("Warn", vec![Action::Warn]),
        ("Audit", vec![Action::Audit]),
        ("Off", vec![]),
    ] {
        let parts = alone(&json!({"enforcement": enforcement, "images": {"requireDigest": true}}));
        assert_eq!(actions(&parts), expected, "{enforcement}");
    }
}

#[test]
fn what_another_policy_may_give_is_not_asked_for() {
    let asks = json!({"ingress": {"requireTLS": true}});
    let strict = policy("strict", &asks);
    assert!(expression(&parts(&strict, std::slice::from_ref(&strict)), "MCP0209").is_some());
    assert!(expression(&parts(&strict, std::slice::from_ref(&strict)), "MCP0202").is_some());
    let giving = policy(
        "giving",
        &json!({"defaults": {"ingressTLSSecret": "tls", "ingressHost": "a.example.com"}}),
    );
    let both = parts(&strict, &[Arc::clone(&strict), giving]);
    assert_eq!(expression(&both, "MCP0209"), None);
    assert_eq!(expression(&both, "MCP0202"), None);
}

#[test]
fn a_policy_that_can_never_meet_has_no_say() {
    let team = |team: &str, more: Value| {
        let mut spec = json!({"namespaceSelector": {"matchLabels": {"team": team}}});
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        policy(team, &spec)
    };
    let strict = team("a", json!({"ingress": {"requireTLS": true}}));
    let elsewhere = team("b", json!({"defaults": {"ingressTLSSecret": "tls"}}));
    assert!(
        expression(
            &parts(&strict, &[Arc::clone(&strict), elsewhere]),
            "MCP0209"
        )
        .is_some()
    );
}

#[test]
fn where_no_policy_lists_annotations_the_harmless_ones_are_left() {
    let plain = policy("plain", &json!({}));
    let alone = expression(&parts(&plain, &[]), "MCP0207").unwrap();
    for harmless in ["'cert-manager.io/issuer'", "'app.kubernetes.io/'"] {
        assert!(alone.contains(harmless), "{alone}");
    }
    assert!(!alone.contains("'example.com/"), "{alone}");
    let listing = policy(
        "listing",
        &json!({"ingress": {"allowedAnnotations": ["example.com/one", "example.com/some-*"]}}),
    );
    let all = [Arc::clone(&plain), Arc::clone(&listing)];
    let both = expression(&parts(&plain, &all), "MCP0207").unwrap();
    for allowed in [
        "'cert-manager.io/issuer'",
        "'example.com/one'",
        "'example.com/some-'",
    ] {
        assert!(both.contains(allowed), "{both}");
    }
    let its_own = expression(&parts(&listing, &all), "MCP0207").unwrap();
    assert!(its_own.contains("'example.com/one'"), "{its_own}");
    assert!(!its_own.contains("cert-manager.io"), "{its_own}");
}

/// What an action matches.
fn matched(parts: &[Part], action: Action) -> Vec<String> {
    let part = parts.iter().find(|part| part.action == action);
    let rules = part.and_then(|part| {
        let constraints = part.policy.spec.as_ref()?.match_constraints.as_ref()?;
        constraints.resource_rules.clone()
    });
    let rules = rules.into_iter().flatten();
    rules.filter_map(|rule| rule.resources).flatten().collect()
}

#[test]
fn scaling_is_held_and_never_warned_about() {
    let limited =
        |overrides: Value| alone(&json!({"limits": {"replicas": 3}, "overrides": overrides}));
    let scale = "mcpservers/scale";
    let enforced = limited(json!([]));
    assert!(matched(&enforced, Action::Deny).contains(&scale.to_owned()));
    let warned = limited(json!([{"rule": "MCP0316", "enforcement": "Warn"}]));
    assert_eq!(matched(&warned, Action::Warn), ["mcpservers"]);
    assert_eq!(matched(&warned, Action::Audit), [scale]);
    let unlimited = alone(&json!({}));
    assert!(!matched(&unlimited, Action::Deny).contains(&scale.to_owned()));
}

#[test]
fn what_holds_without_being_mentioned_is_relaxed_by_whoever_may() {
    let plain = policy("plain", &json!({}));
    assert!(codes(&parts(&plain, &[]), Action::Deny).contains(&"MCP0206".to_owned()));
    let relaxing = policy(
        "relaxing",
        &json!({"overrides": [{"rule": "MCP0206", "enforcement": "Warn"}]}),
    );
    let both = parts(&plain, &[Arc::clone(&plain), relaxing]);
    assert_eq!(codes(&both, Action::Warn), ["MCP0206"]);
    assert!(!codes(&both, Action::Deny).contains(&"MCP0206".to_owned()));
}

#[test]
fn a_constant_stays_a_constant() {
    let parts = alone(&json!({"images": {"allowedRegistries": ["x'), true) || ('"]}}));
    let expression = expression(&parts, "MCP0102").unwrap();
    assert!(
        expression.contains(r"['x\'), true) || (\'/']"),
        "{expression}"
    );
}

#[test]
fn a_long_name_is_cut_and_stays_its_own() {
    let (one, other) = (
        format!("{}a", "x".repeat(250)),
        format!("{}b", "x".repeat(250)),
    );
    let names = [
        name(&one, Action::Deny),
        name(&other, Action::Deny),
        name(&one, Action::Warn),
    ];
    for (at, name) in names.iter().enumerate() {
        assert!(name.len() <= 253, "{name}");
        assert!(!names[at + 1..].contains(name), "{name}");
    }
    assert_eq!(
        name("default", Action::Deny),
        "kubectl-mcp-floor-default-deny"
    );
}
