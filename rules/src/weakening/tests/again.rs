//! Ways around: a server that is deleted and made again, a tool that goes and comes back, two changes in a row.

use api::names::SERVER_AS_GRANTED;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::Value;

use super::*;
use crate::facts::ServerFact;

fn fact(server: &Value) -> ServerFact {
    let server: MCPServer = serde_json::from_value(server.clone()).unwrap();
    ServerFact::new(&server, &PolicySet::default())
}

/// A grant that was given while there was this server.
fn given_for(server: Option<&Value>, mut grant: Value) -> Value {
    let facts = Facts {
        servers: server.map(fact).into_iter().collect::<Vec<_>>().into(),
        ..facts(vec![])
    };
    crate::default(&mut grant, None, &facts);
    grant
}

/// What the grant keeps of its server.
fn kept(grant: &Value) -> Value {
    let text = grant["metadata"]["annotations"][SERVER_AS_GRANTED].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

#[test]
fn for_every_row_a_server_that_is_made_again_is_as_strict_as_when_it_was_granted() {
    for (strict, loose, field) in pairs() {
        let (strict, loose) = (with(&strict), with(&loose));
        let blank = facts(vec![grant(&json!({}))]);
        let granted = facts(vec![given_for(Some(&strict), grant(&json!({})))]);
        let found = fields(&loose, None, &granted);
        assert!(
            found.iter().any(|found| found == field),
            "{field}: {loose}: {found:?}"
        );
        // What stood there may be made again: only what is looser than the default needs the verb, as ever.
        assert_eq!(
            fields(&strict, None, &granted),
            fields(&strict, None, &blank),
            "{strict}"
        );
        assert_eq!(fields(&loose, None, &facts(vec![])), [""; 0], "{loose}");
    }
}

#[test]
fn for_every_row_of_tools_a_tool_that_comes_back_asks_for_what_it_asked() {
    let without = with(&json!({"tools": []}));
    let rows: Vec<_> = pairs()
        .into_iter()
        .filter(|(_, _, field)| field.starts_with("spec.tools"))
        .collect();
    assert_eq!(rows.len(), 3);
    for (strict, loose, field) in rows {
        let (strict, loose) = (with(&strict), with(&loose));
        for rules in [
            json!([]),
            json!([{"name": "forecast"}]),
            json!([{"name": "fore*"}]),
        ] {
            let granted = facts(vec![given_for(
                Some(&strict),
                grant(&json!({"toolRules": rules})),
            )]);
            assert_eq!(fields(&without, Some(&strict), &granted), [""; 0]);
            assert_eq!(fields(&loose, Some(&without), &granted), [field], "{rules}");
            assert_eq!(fields(&strict, Some(&without), &granted), [""; 0]);
        }
        let other = facts(vec![given_for(
            Some(&strict),
            grant(&json!({"toolRules": [{"name": "other"}]})),
        )]);
        assert_eq!(fields(&loose, Some(&without), &other), [""; 0]);
    }
}

#[test]
fn a_grant_keeps_what_its_rules_speak_of_and_only_what_is_stricter_than_the_default() {
    let server = with(&json!({
        "tools": [
            {"name": "forecast", "description": "for people", "requiredTrust": "medium", "labels": {"a": "b"}},
            {"name": "alerts", "requiredTrust": "low", "sideEffect": "read"},
            {"name": "wipe", "sideEffect": "destructive", "scopes": ["admin"]}
        ],
        "session": {"required": true, "maxLifetime": "48h", "idleTimeout": "10m"},
        "policy": {"mode": "observe"}
    }));
    let all = given_for(Some(&server), grant(&json!({})));
    assert_eq!(
        kept(&all),
        json!({
            "session": {"required": true, "idleTimeout": "10m"},
            "tools": [
                {"name": "forecast", "requiredTrust": "medium"},
                {"name": "wipe", "sideEffect": "destructive", "scopes": ["admin"]}
            ]
        })
    );
    let rules = json!({"toolRules": [{"name": "fore*"}, {"name": "wipe", "decision": "deny"}]});
    assert_eq!(
        kept(&given_for(Some(&server), grant(&rules)))["tools"],
        json!([{"name": "forecast", "requiredTrust": "medium"}])
    );
    let plain = with(&json!({"tools": [{"name": "forecast"}]}));
    for (server, more) in [
        (Some(&server), json!({"effect": "Deny"})),
        (Some(&plain), json!({})),
        (None, json!({})),
    ] {
        assert_eq!(
            kept(&given_for(server, grant(&more))),
            Value::Null,
            "{more}"
        );
    }
}

#[test]
fn nobody_writes_what_a_grant_keeps_and_a_change_forgets_nothing_that_is_gone() {
    let server = with(&json!({}));
    let facts = |server: Option<&Value>| Facts {
        servers: server.map(fact).into_iter().collect::<Vec<_>>().into(),
        ..facts(vec![])
    };
    let mut forged = grant(&json!({}));
    forged["metadata"]["annotations"] = json!({SERVER_AS_GRANTED: "{}"});
    let created = given_for(Some(&server), forged);
    let asked = json!([{"name": "forecast", "requiredTrust": "medium", "sideEffect": "write", "scopes": ["weather"]}]);
    assert_eq!(kept(&created)["tools"], asked);
    let gone = with(&json!({"tools": []}));
    for (there, spec) in [
        (None, json!({"reason": "other"})),
        (Some(&gone), json!({"maxTrust": "high"})),
        (Some(&server), json!({})),
        (Some(&gone), json!({})),
    ] {
        let mut changed = grant(&spec);
        changed["metadata"]["annotations"] =
            json!({SERVER_AS_GRANTED: "{\"policy\":{\"mode\":\"observe\"}}"});
        crate::default(&mut changed, Some(&created), &facts(there));
        assert_eq!(kept(&changed)["tools"], asked, "{spec}");
        assert_eq!(kept(&changed)["policy"], Value::Null);
    }
}

#[test]
fn an_annotation_of_any_text_is_read_without_harm_and_never_excuses_what_is_looser_than_the_default()
 {
    let loose = with(&json!({"policy": {"mode": "observe"}}));
    for text in [
        "",
        "null",
        "[]",
        "{\"tools\": 5}",
        "{\"policy\":{\"mode\":\"observe\"}}",
        "{\"tools\":[{\"name\":\"forecast\"}]}",
    ] {
        let mut grant = grant(&json!({}));
        grant["metadata"]["annotations"] = json!({SERVER_AS_GRANTED: text});
        assert_eq!(
            fields(&loose, None, &facts(vec![grant])),
            ["spec.policy.mode"],
            "{text}"
        );
    }
}

#[test]
fn a_server_of_many_long_tools_is_kept_within_what_an_annotation_may_hold() {
    let scopes: Vec<String> = (0..16)
        .map(|index| format!("{index}{}", "s".repeat(250)))
        .collect();
    let tools: Vec<Value> = (0..512).map(|index| json!({"name": format!("tool-{index:03}"), "requiredTrust": "high", "scopes": scopes})).collect();
    let granted = given_for(Some(&with(&json!({"tools": tools}))), grant(&json!({})));
    let text = granted["metadata"]["annotations"][SERVER_AS_GRANTED]
        .as_str()
        .unwrap();
    assert!(
        text.len() <= 48 << 10 && text.contains("tool-000"),
        "{}",
        text.len()
    );
}

/// What each part of a server may say: every value of the table.
fn parts() -> Vec<(&'static str, Vec<Value>)> {
    let tool = |trust: &str, effect: &str, scopes: Value| json!([{"name": "forecast", "requiredTrust": trust, "sideEffect": effect, "scopes": scopes}]);
    let peer = |team: &str| json!({"podSelector": {"matchLabels": {"team": team}}});
    let limit =
        |requests: i32, per: &str| json!({"scope": "server", "requests": requests, "per": per});
    vec![
        (
            "tools",
            vec![
                json!([]),
                tool("low", "read", json!([])),
                tool("medium", "write", json!(["a"])),
                tool("high", "write", json!(["a", "b"])),
            ],
        ),
        (
            "policy",
            vec![
                json!({}),
                json!({"mode": "observe"}),
                json!({"undeclaredTools": "allow"}),
                json!({"defaultDecision": "allow"}),
                json!({"pins": "enforce"}),
                json!({"pins": "warn"}),
            ],
        ),
        (
            "auth",
            vec![
                json!({}),
                json!({"mode": "none"}),
                json!({"mode": "oauth", "oauth": {"requiredScopes": ["a"]}}),
                json!({"mode": "oauth", "oauth": {"issuers": [{"url": "https://a.test"}]}}),
            ],
        ),
        (
            "session",
            vec![
                json!({}),
                json!({"required": true}),
                json!({"maxLifetime": "1h"}),
                json!({"maxLifetime": "48h", "idleTimeout": "10m"}),
            ],
        ),
        (
            "rateLimits",
            vec![
                json!([]),
                json!([limit(10, "1m")]),
                json!([limit(10, "60s")]),
                json!([limit(20, "1m")]),
                json!([limit(5, "1m"), limit(20, "1m")]),
            ],
        ),
        (
            "audit",
            vec![
                json!({}),
                json!({"sink": "off"}),
                json!({"sink": "http", "url": "https://a.test"}),
                json!({"redact": ["password"]}),
            ],
        ),
        (
            "networkPolicy",
            vec![
                json!({}),
                json!({"ingressFrom": []}),
                json!({"ingressFrom": [peer("a")]}),
                json!({"ingressFrom": [peer("a"), peer("b")]}),
            ],
        ),
        (
            "gateway",
            vec![
                json!({}),
                json!({"enabled": false}),
                json!({"allowedHosts": ["a.test"]}),
            ],
        ),
    ]
}

/// A server, and the same after one and after two changes, each of one part.
fn changes() -> impl Strategy<Value = [Value; 3]> {
    let parts = parts();
    let first = prop::collection::vec(any::<prop::sample::Index>(), parts.len());
    let change = || (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    // Half of the second changes are of the same part as the first: that is where ways around are.
    (first, change(), change(), any::<bool>()).prop_map(move |(first, one, two, same)| {
        let mut spec = json!({"image": "ghcr.io/acme/weather:1"});
        for ((part, values), index) in parts.iter().zip(&first) {
            spec[*part] = index.get(values).clone();
        }
        let changed = |spec: &Value, part: &prop::sample::Index, value: &prop::sample::Index| {
            let (part, values) = part.get(&parts);
            let mut changed = spec.clone();
            changed[*part] = value.get(values).clone();
            changed
        };
        let second = changed(&spec, &one.0, &one.1);
        let third = changed(&second, if same { &one.0 } else { &two.0 }, &two.1);
        [server(&spec), server(&second), server(&third)]
    })
}

#[test]
fn two_changes_that_need_no_verb_do_together_what_one_may_do() {
    let mut harmless = 0;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..1500 {
        let [first, second, third] = changes().new_tree(&mut runner).unwrap().current();
        let granted = facts(vec![given_for(Some(&first), grant(&json!({})))]);
        if fields(&second, Some(&first), &granted).is_empty()
            && fields(&third, Some(&second), &granted).is_empty()
        {
            harmless += 1;
            assert_eq!(
                fields(&third, Some(&first), &granted),
                [""; 0],
                "{first}\n{second}\n{third}"
            );
        }
    }
    assert!(
        harmless > 150,
        "only {harmless} pairs of changes needed no verb"
    );
}

#[test]
fn to_delete_a_server_and_make_it_again_does_no_more_than_to_change_it() {
    let mut harmless = 0;
    let with = |part: &str, value: &Value| {
        let mut spec = json!({"image": "ghcr.io/acme/weather:1"});
        spec[part] = value.clone();
        server(&spec)
    };
    for (part, values) in parts() {
        for (before, after) in values
            .iter()
            .flat_map(|before| values.iter().map(move |after| (before, after)))
        {
            let (first, again) = (with(part, before), with(part, after));
            let granted = facts(vec![given_for(Some(&first), grant(&json!({})))]);
            if fields(&again, None, &granted).is_empty() {
                harmless += 1;
                assert_eq!(
                    fields(&again, Some(&first), &granted),
                    [""; 0],
                    "{first}\n{again}"
                );
            }
        }
    }
    assert!(harmless > 40, "only {harmless} servers needed no verb");
}
