//! The same YAML gives the same codes at every door: `lint`, both doors of the webhook, and an object judged as it stands
//! (the operator, `policy test`). Only rules about who asks and about when may differ: at a door where nobody asks they
//! have nothing to say.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::{nothing_there, server_fact, with_policies};
use crate::{
    Facts, Finding, Findings, Known, Need, Operation, Severity, check, default, find, questions,
};

/// Code, field, severity and message of everything that was said.
type Said = BTreeSet<(&'static str, String, Severity, String)>;
/// Fields of a spec, by pointer, and the values that they may have.
type Fields = Vec<(&'static str, Vec<Value>)>;

fn server_fields() -> Fields {
    vec![
        (
            "/image",
            vec![
                json!("ghcr.io/acme/weather:1.2.3"),
                json!("ghcr.io/acme/weather"),
                json!("quay.io/evil/weather:latest"),
                json!("GHCR.io//x"),
                json!(5),
            ],
        ),
        ("/imageTag", vec![json!("1"), json!("a b")]),
        (
            "/registryOverride",
            vec![json!("quay.io"), json!("https://quay.io")],
        ),
        ("/useProvisionedRegistry", vec![json!(true)]),
        ("/imagePullSecrets", vec![json!(["pull"]), json!([])]),
        (
            "/ingressHost",
            vec![
                json!("mcp.example.com"),
                json!("mcp.example.org"),
                json!("*.example.com"),
                json!("10.0.0.1"),
                json!("mcp"),
            ],
        ),
        (
            "/ingressPath",
            vec![json!("/taken/mcp"), json!("/metrics"), json!("/a/../b")],
        ),
        ("/publicPathPrefix", vec![json!("weather")]),
        ("/ingressClass", vec![json!("nginx"), json!("traefik")]),
        ("/ingressTLSSecret", vec![json!("weather-tls")]),
        (
            "/ingressAnnotations",
            vec![json!({"nginx.ingress.kubernetes.io/configuration-snippet": "x"})],
        ),
        ("/replicas", vec![json!(2), json!(5000), json!("two")]),
        ("/port", vec![json!(8091), json!(80), json!(70000)]),
        ("/path", vec![json!("/mcp"), json!("mcp")]),
        ("/transport", vec![json!("stdio"), json!("sse")]),
        (
            "/resources",
            vec![
                json!({"limits": {"cpu": "4"}}),
                json!({"requests": {"cpu": "two"}}),
            ],
        ),
        ("/serviceAccountName", vec![json!("shared"), json!("own")]),
        (
            "/env",
            vec![
                json!([{"name": "API_TOKEN", "value": "hunter2-hunter2"}]),
                json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
            ],
        ),
        (
            "/volumes",
            vec![json!([{"name": "host", "hostPath": {"path": "/"}}])],
        ),
        (
            "/tools",
            vec![
                json!([{"name": "delete_all", "sideEffect": "read"}]),
                json!([{"name": "a b"}]),
                json!([{"name": "a", "pin": "x"}]),
                json!([]),
            ],
        ),
        (
            "/auth/mode",
            vec![
                json!("none"),
                json!("header"),
                json!("oauth"),
                json!("session"),
                json!("weird"),
            ],
        ),
        (
            "/auth/oauth",
            vec![
                json!({"issuers": [{"url": "http://localhost"}]}),
                json!({"issuers": [{"url": "https://login.example.com"}]}),
            ],
        ),
        (
            "/auth/trustedProxies",
            vec![
                json!([{"cidr": "0.0.0.0/0"}]),
                json!([{"cidr": "10.0.0.0/24"}]),
            ],
        ),
        ("/auth/humanIDHeader", vec![json!("Host"), json!("X-User")]),
        ("/policy/mode", vec![json!("observe")]),
        ("/policy/undeclaredTools", vec![json!("allow")]),
        ("/gateway/enabled", vec![json!(false)]),
        (
            "/session/maxLifetime",
            vec![json!("48h"), json!("0s"), json!("soon")],
        ),
        ("/session/idleTimeout", vec![json!("72h"), json!("5m")]),
        (
            "/rateLimits",
            vec![
                json!([{"scope": "tool", "requests": 0, "per": "1m"}]),
                json!([{"scope": "subject", "requests": 1, "per": "x"}]),
            ],
        ),
        (
            "/audit",
            vec![
                json!({"sink": "http"}),
                json!({"sink": "http", "url": "http://a.test"}),
                json!({"sink": "off"}),
            ],
        ),
        (
            "/rollout",
            vec![
                json!({"maxSurge": "0", "maxUnavailable": 0}),
                json!({"strategy": "Recreate"}),
            ],
        ),
        (
            "/autoscaling",
            vec![json!({"minReplicas": 1, "maxReplicas": 3})],
        ),
        ("/toolSelector", vec![json!({"matchLabels": {"a": "b"}})]),
        ("/unknownField", vec![json!(1)]),
    ]
}

fn policy_fields() -> Fields {
    vec![
        (
            "/enforcement",
            vec![
                json!("Warn"),
                json!("Audit"),
                json!("Off"),
                json!("Enforce"),
            ],
        ),
        (
            "/overrides",
            vec![
                json!([{"rule": "MCP0102", "enforcement": "Warn"}]),
                json!([{"rule": "MCP0206", "enforcement": "Off"}, {"rule": "MCP0413", "enforcement": "Audit"}]),
            ],
        ),
        (
            "/excludeNamespaces",
            vec![json!(["team-a"]), json!(["team-b"])],
        ),
        (
            "/namespaceSelector",
            vec![
                json!({"matchLabels": {"kubernetes.io/metadata.name": "team-a"}}),
                json!({"matchLabels": {"team": "b"}}),
            ],
        ),
        (
            "/images/allowedRegistries",
            vec![json!(["ghcr.io/acme"]), json!([])],
        ),
        ("/images/requireDigest", vec![json!(true)]),
        ("/images/forbidMutableTags", vec![json!(true)]),
        ("/ingress/allowedHosts", vec![json!(["*.example.com"])]),
        ("/ingress/requireTLS", vec![json!(true)]),
        ("/ingress/requireHost", vec![json!(false)]),
        ("/ingress/allowedClasses", vec![json!(["traefik"])]),
        (
            "/ingress/allowedPathPrefixes",
            vec![json!(["/{namespace}"])],
        ),
        (
            "/defaults/ingressHost",
            vec![json!("default.example.com"), json!("other.example.org")],
        ),
        ("/defaults/ingressTLSSecret", vec![json!("wildcard-tls")]),
        ("/defaults/resources", vec![json!({"limits": {"cpu": "3"}})]),
        ("/defaults/imagePullSecrets", vec![json!(["pull"])]),
        ("/defaults/labels", vec![json!({"team": "a"})]),
        ("/registry/host", vec![json!("registry.example.com")]),
        ("/access/requireGateway", vec![json!(true)]),
        (
            "/access/allowedAuthModes",
            vec![json!(["session"]), json!([])],
        ),
        (
            "/access/allowedIssuers",
            vec![json!(["https://login.example.com"]), json!([])],
        ),
        ("/access/forbidObserve", vec![json!(true)]),
        ("/access/maxTrust", vec![json!("low")]),
        ("/access/maxSessionLifetime", vec![json!("1h")]),
        ("/access/requireReason", vec![json!(true)]),
        ("/workload/forbidLiteralSecrets", vec![json!(true)]),
        ("/workload/allowedServiceAccounts", vec![json!(["own"])]),
        ("/limits/replicas", vec![json!(1)]),
        ("/limits/cpu", vec![json!("1")]),
        ("/egress/allowed", vec![json!(["audit.example.com"])]),
    ]
}

fn grant_fields() -> Fields {
    vec![
        ("/effect", vec![json!("Deny")]),
        (
            "/maxTrust",
            vec![json!("high"), json!("medium"), json!("very")],
        ),
        (
            "/allowedSideEffects",
            vec![json!(["read"]), json!(["read", "destructive"])],
        ),
        (
            "/toolRules",
            vec![
                json!([{"name": "*"}]),
                json!([{"name": "forcast"}]),
                json!([{"name": "forecast", "requiredTrust": "high"}]),
            ],
        ),
        ("/subject/agentID", vec![json!("bot")]),
        ("/subject/humanID", vec![json!("bob@example.com")]),
        ("/reason", vec![json!("ticket")]),
        ("/expiresAt", vec![json!("2027-01-01T00:00:00Z")]),
    ]
}

/// A spec of some of the fields.
fn spec(fields: Fields, likely: f64) -> impl Strategy<Value = Value> {
    let count = fields.len();
    prop::collection::vec(prop::option::weighted(likely, any::<Index>()), count).prop_map(
        move |picks| {
            let mut spec = json!({});
            for ((pointer, values), pick) in fields.iter().zip(picks) {
                let Some(pick) = pick else { continue };
                let mut place = &mut spec;
                for key in pointer[1..].split('/') {
                    place = &mut place[key];
                }
                *place = pick.get(values).clone();
            }
            spec
        },
    )
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let mut object = json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": "team-a"}});
    object["spec"] = spec;
    object
}

fn facts(policies: &[Value]) -> Facts {
    let named: Vec<_> = policies
        .iter()
        .enumerate()
        .map(|(index, spec)| json!([format!("p{index}"), spec]))
        .collect();
    let neighbour = |name: &str, namespace: &str, spec: Value| {
        let mut server = object("MCPServer", name, spec);
        server["metadata"]["namespace"] = json!(namespace);
        server_fact(&server)
    };
    Facts {
        servers: vec![
            neighbour("theirs", "team-b", json!({"image": "ghcr.io/b/c:1", "ingressHost": "mcp.example.com", "ingressPath": "/taken/mcp"})),
            neighbour("weather", "team-a", json!({"image": "ghcr.io/b/c:1", "serviceAccountName": "shared", "tools": [{"name": "forecast", "requiredTrust": "medium"}]})),
        ]
        .into(),
        ..with_policies(json!(named))
    }
}

/// What was said by rules that are not about who asks or about when.
fn said(findings: &Findings) -> Said {
    let timeless = |finding: &&Finding| {
        let meta = find(finding.code).unwrap().meta();
        meta.ratchets && !meta.needs.contains(&Need::Requester) && !meta.needs.contains(&Need::Time)
    };
    let tuple = |finding: &Finding| {
        (
            finding.code,
            finding.field.clone(),
            finding.severity,
            finding.message.clone(),
        )
    };
    findings.iter().filter(timeless).map(tuple).collect()
}

/// The object at every door: by whose name, and what was said.
fn at_every_door(object: &Value, facts: &Facts) -> Vec<(&'static str, Said)> {
    let lint = Facts {
        requester: Known::Unknown,
        ..facts.clone()
    };
    let mut linted = object.clone();
    default(&mut linted, None, &lint);
    let by_lint = check(Some(&linted), None, &lint);

    let mut webhook = Facts {
        operation: Some(Operation::Create),
        ..facts.clone()
    };
    let mut stored = object.clone();
    default(&mut stored, None, &webhook);
    let by_mutate = check(Some(&stored), None, &webhook);
    webhook.answers = questions(Some(&stored), None, &webhook)
        .into_iter()
        .map(|question| (question, true))
        .collect();
    let by_validate = check(Some(&stored), None, &webhook);

    let live = Facts {
        operation: Some(Operation::Live),
        requester: Known::Unknown,
        ..facts.clone()
    };
    let as_it_stands = check(Some(&stored), None, &live);
    vec![
        ("lint", said(&by_lint)),
        ("mutate", said(&by_mutate)),
        ("validate", said(&by_validate)),
        ("live", said(&as_it_stands)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_server_is_judged_alike_at_every_door(
        spec in spec(server_fields(), 0.25),
        policies in prop::collection::vec(spec(policy_fields(), 0.3), 0..3),
    ) {
        let doors = at_every_door(&object("MCPServer", "new", spec), &facts(&policies));
        for (door, said) in &doors[1..] {
            prop_assert_eq!(said, &doors[0].1, "{} and lint", door);
        }
    }

    #[test]
    fn a_grant_is_judged_alike_at_every_door(
        given in spec(grant_fields(), 0.5),
        policies in prop::collection::vec(spec(policy_fields(), 0.3), 0..3),
    ) {
        let mut given = given;
        given["serverRef"] = json!({"name": "weather"});
        if given.get("subject").is_none() {
            given["subject"] = json!({"group": "sre"});
        }
        let doors = at_every_door(&object("MCPAccessGrant", "new", given), &facts(&policies));
        for (door, said) in &doors[1..] {
            prop_assert_eq!(said, &doors[0].1, "{} and lint", door);
        }
    }

    #[test]
    fn a_policy_is_judged_alike_at_every_door(given in spec(policy_fields(), 0.4)) {
        let mut policy = object("MCPPolicy", "new", given);
        policy["metadata"].as_object_mut().unwrap().remove("namespace");
        // How many objects a policy breaks is asked when it is written, and not of one that stands.
        let without = |said: &Said| -> BTreeSet<_> {
            said.iter().filter(|(code, ..)| *code != "MCP0906").cloned().collect()
        };
        let doors = at_every_door(&policy, &nothing_there());
        for (door, said) in &doors[1..] {
            prop_assert_eq!(without(said), without(&doors[0].1), "{} and lint", door);
        }
    }
}

#[test]
fn the_generated_servers_meet_most_rules_about_servers() {
    // A property over objects that no rule has anything to say about would hold for any engine.
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut met = BTreeSet::new();
    for _ in 0..400 {
        let spec = spec(server_fields(), 0.25)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let policies = prop::collection::vec(self::spec(policy_fields(), 0.3), 0..3)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let doors = at_every_door(&object("MCPServer", "new", spec), &facts(&policies));
        met.extend(doors[0].1.iter().map(|(code, ..)| *code));
    }
    assert!(met.len() > 40, "{met:?}");
}
