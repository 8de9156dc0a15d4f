//! What holds for every object, however hostile.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{nothing_there, with_policies};
use crate::{Facts, Kind, check, default, default_patch, questions};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(
            &[
                "ghcr.io/acme/x:1",
                "*.example.com",
                "/a/../b",
                "1h",
                "64Mi",
                "observe",
                "read",
                "destructive",
                "high",
                "oauth",
                "http",
                "0.0.0.0/0",
                "https://login.example.com",
                "http://169.254.169.254",
                "{{a}}/{b}",
                "2030-01-01T00:00:00Z"
            ][..]
        )
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Field names of ours, so that the values get somewhere, and anything else.
fn key() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "image",
        "imageTag",
        "ingressHost",
        "ingressPath",
        "tools",
        "name",
        "env",
        "value",
        "auth",
        "mode",
        "gateway",
        "enabled",
        "port",
        "session",
        "maxLifetime",
        "resources",
        "limits",
        "requests",
        "cpu",
        "rollout",
        "maxSurge",
        "serverRef",
        "subject",
        "humanID",
        "expiresAt",
        "tokenHash",
        "toolRules",
        "requiredTrust",
        "images",
        "allowedRegistries",
        "defaults",
        "overrides",
        "rule",
        "enforcement",
        "labels",
        "annotations",
        "pin",
        "volumes",
        "hostPath",
        "podTemplate",
        "policy",
        "replicas",
        "networkPolicy",
        "ingressFrom",
        "namespaceSelector",
        "matchLabels",
        "matchExpressions",
        "operator",
        "values",
        "oauth",
        "issuers",
        "url",
        "jwksURL",
        "audiences",
        "trustedProxies",
        "cidr",
        "rateLimits",
        "scope",
        "per",
        "audit",
        "sink",
        "apiKeySecretRef",
        "key",
        "egress",
        "allowed",
        "access",
        "allowedIssuers",
        "fourEyesFor",
        "effect",
        "maxTrust",
        "allowedSideEffects",
        "upstreamTokenSecretRef",
        "excludeNamespaces",
        "service",
        "path",
        "inputSchema",
        "content",
        "operations",
        "template",
        "variables",
        "source",
        "type",
        "syncPolicy",
    ];
    prop_oneof![4 => prop::sample::select(NAMES).prop_map(str::to_owned), 1 => ".{0,8}"]
}

fn any_object() -> impl Strategy<Value = Value> {
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    (prop::sample::select(kinds), any_json(), any_json()).prop_map(|(kind, metadata, spec)| {
        json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
    })
}

fn demanding() -> Facts {
    with_policies(json!([["default", {
        "images": {"allowedRegistries": ["ghcr.io/acme"], "requireDigest": true, "forbidMutableTags": true},
        "ingress": {"allowedHosts": ["*.example.com"], "requireTLS": true},
        "defaults": {"ingressHost": "mcp.example.com", "labels": {"a/b": "c~d"}, "resources": {"limits": {"cpu": "1"}}},
        "access": {"maxTrust": "low", "maxSessionLifetime": "1h", "fourEyesFor": ["low", "high"], "allowedIssuers": ["https://a.test"]},
        "egress": {"allowed": ["*.example.com", "10.0.0.0/8"]},
        "limits": {"cpu": "1", "replicas": 1}
    }]]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_whatever_comes(new in any_object(), old in any_object(), junk in any_json()) {
        for facts in [Facts::default(), nothing_there(), demanding()] {
            for (new, old) in [(Some(&new), None), (Some(&new), Some(&old)), (None, Some(&old)), (Some(&junk), Some(&new))] {
                questions(new, old, &facts);
                let findings = check(new, old, &facts);
                prop_assert_eq!(&findings, &check(new, old, &facts));
                let order: Vec<_> = findings.iter().map(|finding| (&finding.field, finding.code)).collect();
                prop_assert!(order.is_sorted(), "{:?}", order);
                for finding in &findings {
                    prop_assert!(finding.to_string().bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{finding}");
                    prop_assert!(finding.name.is_ascii() && finding.namespace.is_ascii());
                    prop_assert!(finding.warning_line().chars().count() <= crate::WARNING_LENGTH);
                }
            }
        }
    }

    #[test]
    fn defaulting_twice_changes_nothing_more(object in any_object(), old in any_object()) {
        for old in [None, Some(&old)] {
            let facts = demanding();
            let mut once = object.clone();
            default(&mut once, old, &facts);
            let mut twice = once.clone();
            default(&mut twice, old, &facts);
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn the_patch_does_what_defaulting_does(object in any_object()) {
        let facts = demanding();
        let mut direct = object.clone();
        default(&mut direct, None, &facts);
        let mut patched = object.clone();
        json_patch::patch(&mut patched, &default_patch(&object, None, &facts)).unwrap();
        prop_assert_eq!(direct, patched);
    }
}
