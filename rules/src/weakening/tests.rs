mod again;

use std::sync::Arc;

use api::MCPServer;

use serde_json::json;

use super::*;
use crate::policy::PolicySet;

fn server(spec: &Value) -> Value {
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
           "metadata": {"name": "weather", "namespace": "team-a"}, "spec": spec})
}

/// A server with `more` beside what every server of these tests says.
fn with(more: &Value) -> Value {
    let mut spec = json!({
        "image": "ghcr.io/acme/weather:1",
        "tools": [{"name": "forecast", "requiredTrust": "medium", "sideEffect": "write", "scopes": ["weather"]}]
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    server(&spec)
}

fn facts(grants: Vec<Value>) -> Facts {
    let grants = grants
        .into_iter()
        .map(|grant| Arc::new(serde_json::from_value(grant).unwrap()));
    Facts {
        now: Known::Known("2026-06-01T12:00:00Z".parse().unwrap()),
        grants: Known::Known(Arc::new(grants.collect())),
        ..Facts::default()
    }
}

fn grant(more: &Value) -> Value {
    let mut spec = json!({"serverRef": {"name": "weather"}, "subject": {"humanID": "bob"}});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
           "metadata": {"name": "bob", "namespace": "team-a"}, "spec": spec})
}

fn fields(new: &Value, old: Option<&Value>, facts: &Facts) -> Vec<String> {
    match weakening(new, old, facts) {
        Weakening::Nothing => Vec::new(),
        Weakening::Unknown => vec!["unknown".to_owned()],
        Weakening::Loosens(loosened) => loosened.into_iter().map(|change| change.field).collect(),
    }
}

/// Strict, loose, and the field that is looser. The other way round nothing is.
fn pairs() -> Vec<(Value, Value, &'static str)> {
    let tool = |more: Value| {
        let mut tool = json!({"name": "forecast", "requiredTrust": "medium", "sideEffect": "write", "scopes": ["weather"]});
        for (key, value) in more.as_object().unwrap() {
            tool[key] = value.clone();
        }
        json!({"tools": [tool]})
    };
    let peer = |team: &str| json!({"podSelector": {"matchLabels": {"team": team}}});
    let peers = |peers: Value| json!({"networkPolicy": {"ingressFrom": peers}});
    let limit = |requests: i32| json!({"rateLimits": [{"scope": "server", "requests": requests, "per": "1m"}]});
    let oauth = |more: Value| json!({"auth": {"mode": "oauth", "oauth": more}});
    let none = json!({});
    vec![
        (
            none.clone(),
            json!({"policy": {"mode": "observe"}}),
            "spec.policy.mode",
        ),
        (
            none.clone(),
            json!({"policy": {"defaultDecision": "allow"}}),
            "spec.policy.defaultDecision",
        ),
        (
            none.clone(),
            json!({"policy": {"undeclaredTools": "allow"}}),
            "spec.policy.undeclaredTools",
        ),
        (
            json!({"policy": {"pins": "enforce"}}),
            json!({"policy": {"pins": "warn"}}),
            "spec.policy.pins",
        ),
        (
            none.clone(),
            json!({"auth": {"mode": "none"}}),
            "spec.auth.mode",
        ),
        (
            json!({"auth": {"mode": "kubernetes"}}),
            json!({"auth": {"mode": "header"}}),
            "spec.auth.mode",
        ),
        (
            none.clone(),
            json!({"gateway": {"enabled": false}}),
            "spec.gateway.enabled",
        ),
        (
            none.clone(),
            json!({"gateway": {"allowedHosts": ["a.test"]}}),
            "spec.gateway.allowedHosts[0]",
        ),
        (
            none.clone(),
            json!({"gateway": {"allowedOrigins": ["https://a.test"]}}),
            "spec.gateway.allowedOrigins[0]",
        ),
        (
            none.clone(),
            tool(json!({"requiredTrust": "low"})),
            "spec.tools[0].requiredTrust",
        ),
        (
            none.clone(),
            tool(json!({"sideEffect": "read"})),
            "spec.tools[0].sideEffect",
        ),
        (
            none.clone(),
            tool(json!({"scopes": []})),
            "spec.tools[0].scopes",
        ),
        (
            json!({"session": {"required": true}}),
            none.clone(),
            "spec.session.required",
        ),
        (
            none.clone(),
            json!({"session": {"maxLifetime": "48h"}}),
            "spec.session.maxLifetime",
        ),
        (
            none.clone(),
            json!({"session": {"idleTimeout": "2h"}}),
            "spec.session.idleTimeout",
        ),
        (
            none.clone(),
            json!({"audit": {"sink": "off"}}),
            "spec.audit.sink",
        ),
        (
            peers(json!([peer("a")])),
            none.clone(),
            "spec.networkPolicy.ingressFrom",
        ),
        (
            peers(json!([peer("a")])),
            peers(json!([peer("a"), peer("b")])),
            "spec.networkPolicy.ingressFrom[1]",
        ),
        (limit(10), none.clone(), "spec.rateLimits"),
        (limit(10), limit(20), "spec.rateLimits"),
        (
            oauth(json!({"requiredScopes": ["a"]})),
            oauth(json!({})),
            "spec.auth.oauth.requiredScopes",
        ),
        (
            oauth(json!({})),
            oauth(json!({"issuers": [{"url": "https://a.test"}]})),
            "spec.auth.oauth.issuers[0]",
        ),
        (
            json!({"auth": {"mode": "header"}}),
            json!({"auth": {"mode": "header", "trustedProxies": [{"cidr": "10.0.0.0/8"}]}}),
            "spec.auth.trustedProxies[0]",
        ),
    ]
}

#[test]
fn every_row_of_the_table_is_looser_one_way_and_not_the_other() {
    let facts = facts(vec![]);
    for (strict, loose, field) in pairs() {
        let (strict, loose) = (with(&strict), with(&loose));
        assert_eq!(fields(&loose, Some(&strict), &facts), [field], "{loose}");
        assert_eq!(fields(&strict, Some(&loose), &facts), [""; 0], "{strict}");
        assert_eq!(fields(&loose, Some(&loose), &facts), [""; 0], "{loose}");
        assert!(weaken(&loose, Some(&strict), &facts).is_some());
    }
}

#[test]
fn another_header_is_looser_both_ways() {
    let (one, two) = (
        with(&json!({})),
        with(&json!({"auth": {"humanIDHeader": "X-User"}})),
    );
    for (new, old) in [(&one, &two), (&two, &one)] {
        assert_eq!(
            fields(new, Some(old), &facts(vec![])),
            ["spec.auth.humanIDHeader"]
        );
    }
}

#[test]
fn a_further_tool_is_its_authors_to_declare_and_one_less_matters_only_where_undeclared_ones_are_allowed()
 {
    let more = json!({"tools": [
        {"name": "alerts", "sideEffect": "read"},
        {"name": "forecast", "requiredTrust": "medium", "sideEffect": "write", "scopes": ["weather"]}
    ]});
    assert_eq!(
        fields(&with(&more), Some(&with(&json!({}))), &facts(vec![])),
        [""; 0]
    );
    let fewer =
        |decision: &str| with(&json!({"tools": [], "policy": {"undeclaredTools": decision}}));
    let before = |decision: &str| with(&json!({"policy": {"undeclaredTools": decision}}));
    assert_eq!(
        fields(&fewer("deny"), Some(&before("deny")), &facts(vec![])),
        [""; 0]
    );
    assert_eq!(
        fields(&fewer("allow"), Some(&before("allow")), &facts(vec![])),
        ["spec.tools"]
    );
}

#[test]
fn a_creation_is_looser_than_the_default_only_where_a_live_grant_names_it() {
    let loose = with(&json!({"policy": {"mode": "observe"}}));
    for (held, looser) in [
        (vec![], false),
        (vec![grant(&json!({}))], true),
        (vec![grant(&json!({"effect": "Deny"}))], false),
        (vec![grant(&json!({"disabled": true}))], false),
        (
            vec![grant(&json!({"expiresAt": "2026-06-01T11:00:00Z"}))],
            false,
        ),
        (vec![grant(&json!({"serverRef": {"name": "other"}}))], false),
    ] {
        let facts = facts(held);
        assert_eq!(
            fields(&loose, None, &facts).is_empty(),
            !looser,
            "{:?}",
            facts.grants
        );
        assert_eq!(fields(&with(&json!({})), None, &facts), [""; 0]);
    }
    let unknown = Facts {
        grants: Known::Unknown,
        ..facts(vec![])
    };
    assert_eq!(weakening(&loose, None, &unknown), Weakening::Unknown);
    assert_eq!(
        weakening(&with(&json!({})), None, &unknown),
        Weakening::Nothing
    );
}

#[test]
fn nothing_is_looser_than_no_gateway() {
    let direct = with(&json!({"gateway": {"enabled": false}}));
    let observed = with(&json!({"policy": {"mode": "observe"}}));
    assert_eq!(fields(&observed, Some(&direct), &facts(vec![])), [""; 0]);
}

#[test]
fn the_policies_limit_counts_and_not_what_the_server_says_beyond_it() {
    let mut facts = facts(vec![]);
    let policy = json!({"access": {"maxSessionLifetime": "1h"}});
    facts.policies = vec![Arc::new(api::MCPPolicy::new(
        "p",
        serde_json::from_value(policy).unwrap(),
    ))]
    .into();
    let longer = with(&json!({"session": {"maxLifetime": "48h"}}));
    assert_eq!(fields(&longer, Some(&with(&json!({}))), &facts), [""; 0]);
}
