//! Each field that the floor knows: one object that it lets through and one that it refuses, by create and by update.

use serde_json::{Value, json};
use tests::Environment;

use super::{Team, server};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn strict() -> Value {
    json!({
        "registry": {"host": "registry.test:5000"},
        "images": {"allowedRegistries": ["ghcr.io/acme", "registry.test:5000/mcp", "it's \\ \"odd\"\n"], "requireDigest": true},
        "ingress": {"allowedHosts": ["mcp.example.com", "*.apps.example.com"], "requireTLS": true,
                    "allowedClasses": ["traefik", "internal"], "allowedPathPrefixes": ["/{namespace}", "/open/"],
                    "allowedAnnotations": ["cert-manager.io/issuer", "example.com/*"]},
        "access": {"requireGateway": true, "allowedAuthModes": ["session", "oauth"], "forbidObserve": true,
                   "maxTrust": "medium", "maxGrantLifetime": "720h", "maxSessionLifetime": "8h", "requireReason": true,
                   "teams": [{"name": "blue", "groups": ["blue-people"]}]},
        "workload": {"allowedServiceAccounts": ["runner"]},
        "limits": {"replicas": 3, "toolsPerServer": 2}
    })
}

fn good() -> Value {
    json!({"image": format!("ghcr.io/acme/x@{DIGEST}"), "ingressHost": "mcp.example.com", "ingressPath": "/open/x",
           "ingressTLSSecret": "tls"})
}

/// An object of the kind with some fields changed; null takes one away.
fn but(base: &Value, more: &Value) -> Value {
    let mut spec = base.clone();
    for (key, value) in more.as_object().expect("an object") {
        if value.is_null() {
            spec.as_object_mut().expect("an object").remove(key);
        } else {
            spec[key] = value.clone();
        }
    }
    spec
}

fn in_hours(hours: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours)).to_string()
}

/// What differs from the good server, and the code of the refusal; none when it is fine, too.
fn servers(namespace: &str) -> Vec<(Value, Option<&'static str>)> {
    let tool = |name: &str| json!({"name": name});
    vec![
        (json!({}), None),
        (
            json!({"image": format!("ghcr.io/acmeevil/x@{DIGEST}")}),
            Some("MCP0102"),
        ),
        (json!({"image": "ghcr.io/acme/x:1"}), Some("MCP0104")),
        (json!({"image": "ghcr.io/acme/x/"}), Some("MCP0101")),
        (
            json!({"image": format!("mcp/x@{DIGEST}"), "registryOverride": "registry.test:5000"}),
            None,
        ),
        (
            json!({"image": format!("quay.io/mcp/x@{DIGEST}"), "useProvisionedRegistry": true}),
            None,
        ),
        (
            json!({"image": format!("quay.io/other/x@{DIGEST}"), "useProvisionedRegistry": true}),
            Some("MCP0102"),
        ),
        (json!({"registryOverride": "evil.test"}), Some("MCP0102")),
        (json!({"ingressHost": "one.apps.example.com"}), None),
        (
            json!({"ingressHost": "two.one.apps.example.com"}),
            Some("MCP0204"),
        ),
        (json!({"ingressHost": "apps.example.com"}), Some("MCP0204")),
        (
            json!({"ingressHost": "*.apps.example.com"}),
            Some("MCP0212"),
        ),
        (json!({"ingressHost": "MCP.example.com"}), Some("MCP0201")),
        (json!({"ingressHost": null}), Some("MCP0202")),
        (
            json!({"ingressHost": null, "ingressTLSSecret": null, "gatewayRef": {"name": "g"}}),
            None,
        ),
        (json!({"ingressTLSSecret": null}), Some("MCP0209")),
        (json!({"ingressClass": "internal"}), None),
        (json!({"ingressClass": "other"}), Some("MCP0208")),
        (json!({"ingressPath": format!("/{namespace}")}), None),
        (
            json!({"ingressPath": null, "publicPathPrefix": format!("/{namespace}/a")}),
            None,
        ),
        (
            json!({"ingressPath": null, "publicPathPrefix": "elsewhere"}),
            Some("MCP0210"),
        ),
        (json!({"ingressPath": "/opener"}), Some("MCP0210")),
        (json!({"ingressPath": "/open/../x"}), Some("MCP0203")),
        (json!({"ingressPath": "/metrics/x"}), Some("MCP0206")),
        (json!({"path": "mcp"}), Some("MCP0203")),
        (
            json!({"ingressAnnotations": {"example.com/a": "1", "cert-manager.io/issuer": "x"}}),
            None,
        ),
        (
            json!({"ingressAnnotations": {"nginx.ingress.kubernetes.io/configuration-snippet": "x"}}),
            Some("MCP0207"),
        ),
        (json!({"gateway": {"enabled": false}}), Some("MCP0401")),
        (
            json!({"auth": {"mode": "oauth", "oauth": {"issuers": [{"url": "https://id.example.com", "audiences": ["a"]}]}}}),
            None,
        ),
        (json!({"auth": {"mode": "none"}}), Some("MCP0403")),
        (json!({"policy": {"mode": "observe"}}), Some("MCP0406")),
        (
            json!({"policy": {"defaultDecision": "allow"}}),
            Some("MCP0406"),
        ),
        (json!({"serviceAccountName": "runner"}), None),
        (json!({"serviceAccountName": "default"}), Some("MCP0318")),
        (json!({"replicas": 3}), None),
        (json!({"replicas": 4}), Some("MCP0316")),
        (
            json!({"tools": [tool("a"), tool("b"), tool("c")]}),
            Some("MCP0316"),
        ),
        (
            json!({"image": null, "remote": {"url": "https://mcp.example.org"}}),
            None,
        ),
    ]
}

fn grants() -> Vec<(Value, Option<&'static str>)> {
    vec![
        (json!({}), None),
        (json!({"maxTrust": "high"}), Some("MCP0606")),
        (
            json!({"effect": "Deny", "maxTrust": "high", "expiresAt": null}),
            None,
        ),
        (json!({"expiresAt": in_hours(721)}), Some("MCP0605")),
        (json!({"expiresAt": null}), Some("MCP0605")),
        (json!({"reason": null}), Some("MCP0609")),
        (json!({"reason": " \n"}), Some("MCP0609")),
    ]
}

fn sessions() -> Vec<(Value, Option<&'static str>)> {
    vec![
        (json!({}), None),
        (json!({"expiresAt": in_hours(9)}), Some("MCP0703")),
    ]
}

pub(super) fn every_field_that_the_floor_knows_is_held(environment: &Environment) {
    let team = Team::new(environment, "checks", &strict());
    let grant = json!({"serverRef": {"name": "s"}, "subject": {"humanID": "alice"}, "allowedSideEffects": ["read"],
                       "reason": "she asked", "expiresAt": in_hours(24)});
    let session = json!({"serverRef": {"name": "s"}, "subject": {"humanID": "alice"}, "tokenHash": "a".repeat(64),
                         "expiresAt": in_hours(7)});
    let mut wrong = Vec::new();
    for (kind, base, cases) in [
        ("MCPServer", good(), servers(&team.name)),
        ("MCPAccessGrant", grant, grants()),
        ("MCPAgentSession", session.clone(), sessions()),
    ] {
        let objects: Vec<Value> = cases
            .iter()
            .enumerate()
            .map(|(index, (more, _))| {
                let mut object = server(&format!("case-{index}"), &but(&base, more));
                object["kind"] = kind.into();
                object
            })
            .collect();
        let refused = team.put(&objects);
        for (index, (more, expected)) in cases.iter().enumerate() {
            let found = refused.get(&format!("case-{index}"));
            let fits = match expected {
                None => found.is_none(),
                Some(code) => found.is_some_and(|text| text.contains(&format!("{code}: spec."))),
            };
            if !fits {
                wrong.push(format!("{kind} {more}: {expected:?}, found {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    a_team_is_claimed_only_by_its_groups(&team, &session);
}

fn a_team_is_claimed_only_by_its_groups(team: &Team<'_>, session: &Value) {
    let role = [
        "create",
        "role",
        "sessions",
        "--verb=create",
        "--resource=mcpagentsessions.kubectl-mcp.dev",
    ];
    team.kubectl(&role).expect_ok();
    team.kubectl(&[
        "create",
        "rolebinding",
        "sessions",
        "--role=sessions",
        "--user=alice",
    ])
    .expect_ok();
    let spec = but(
        session,
        &json!({"subject": {"humanID": "alice", "teamID": "blue"}}),
    );
    let mut object = server("claimed", &spec);
    object["kind"] = "MCPAgentSession".into();
    let put = |group: &str| {
        let arguments = [
            "create",
            "-n",
            &team.name,
            "--dry-run=server",
            "--as=alice",
            "--as-group",
            group,
            "-f",
            "-",
        ];
        team.environment
            .kubectl_with(&arguments, &object.to_string())
    };
    put("blue-people").expect_ok();
    let said = put("red-people").expect_failure();
    assert!(said.contains("MCP0701"), "{said}");
}

pub(super) fn an_update_passes_that_leaves_alone_what_a_check_reads(environment: &Environment) {
    let team = Team::new(
        environment,
        "updates",
        &json!({"images": {"allowedRegistries": ["old.test"]}}),
    );
    let image = "old.test/mcp/x:1";
    let bare =
        json!({"image": image, "ingressHost": "a.example.com", "policy": {"mode": "observe"}});
    team.send("create", &server("old", &bare)).expect_ok();
    team.set(&but(
        &strict(),
        &json!({"registry": null, "limits": {"replicas": 0}}),
    ));
    team.await_condition();
    tests::eventually("the API server holds the new floor", || {
        let refused = team.put(&[server(
            "probe",
            &json!({"image": image, "ingressHost": "mcp.example.com"}),
        )]);
        if refused.is_empty() {
            Err("not yet".to_owned())
        } else {
            Ok(())
        }
    });
    team.kubectl(&["label", "mcpserver", "old", "colour=blue"])
        .expect_ok();
    let patch = |patch: Value| {
        team.kubectl(&[
            "patch",
            "mcpserver",
            "old",
            "--type=merge",
            "-p",
            &patch.to_string(),
        ])
    };
    for harmless in [
        json!({"spec": {"description": "still the same"}}),
        json!({"spec": {"tools": [{"name": "a"}]}}),
        json!({"spec": {"image": "old.test/mcp/x", "imageTag": "1"}}),
        json!({"spec": {"image": "mcp/x", "registryOverride": "old.test"}}),
        json!({"spec": {"ingressClass": "traefik", "replicas": 1, "ingressPath": "/old/mcp"}}),
    ] {
        let said = patch(harmless.clone());
        assert!(said.ok, "{harmless}: {}", said.text());
    }
    for (worse, code) in [
        (json!({"spec": {"imageTag": "2"}}), "MCP0102"),
        (
            json!({"spec": {"registryOverride": "evil.test"}}),
            "MCP0102",
        ),
        (json!({"spec": {"ingressHost": "b.example.com"}}), "MCP0204"),
        (json!({"spec": {"ingressClass": "other"}}), "MCP0208"),
        (json!({"spec": {"ingressPath": "/elsewhere"}}), "MCP0210"),
        (json!({"spec": {"replicas": 2}}), "MCP0316"),
        (
            json!({"spec": {"policy": {"defaultDecision": "allow"}}}),
            "MCP0406",
        ),
    ] {
        let said = patch(worse.clone()).expect_failure();
        assert!(said.contains(code), "{worse}: {said}");
    }
}

pub(super) fn annotations_are_held_where_no_policy_lists_them(environment: &Environment) {
    let snippet = "nginx.ingress.kubernetes.io/configuration-snippet";
    let team = Team::unguarded(environment, "unlisted", &json!({"enforcement": "Off"}));
    let spec = |annotations: Value| json!({"image": "ghcr.io/a/x:1", "ingressHost": "a.example.com", "ingressAnnotations": annotations});
    let old = server("old", &spec(json!({snippet: "x"})));
    team.send("create", &old).expect_ok();
    team.set(&json!({"ingress": {"requireTLS": false}}));
    team.await_floor();
    let harmless = json!({"cert-manager.io/cluster-issuer": "letsencrypt", "app.kubernetes.io/part-of": "weather",
                          "nginx.ingress.kubernetes.io/ssl-redirect": "true"});
    let objects = [
        server("harmless", &spec(harmless)),
        server("none", &spec(json!({}))),
        server("snippet", &spec(json!({snippet: "x"}))),
        server(
            "beside",
            &spec(json!({"cert-manager.io/issuer": "a", "cert-manager.io/issuers": "b"})),
        ),
    ];
    let refused = team.put(&objects);
    let names: Vec<&str> = refused.keys().map(String::as_str).collect();
    assert_eq!(names, ["beside", "snippet"], "{refused:?}");
    for (name, text) in &refused {
        assert!(
            text.contains("MCP0207: spec.ingressAnnotations"),
            "{name}: {text}"
        );
    }
    let patch = |annotations: Value| {
        let patch = json!({"spec": {"ingressAnnotations": annotations}}).to_string();
        team.kubectl(&["patch", "mcpserver", "old", "--type=merge", "-p", &patch])
    };
    team.kubectl(&["label", "mcpserver", "old", "colour=blue"])
        .expect_ok();
    patch(json!({"cert-manager.io/issuer": "a"})).expect_ok();
    let said = patch(json!({snippet: "y"})).expect_failure();
    assert!(said.contains("MCP0207"), "{said}");
}

pub(super) fn scaling_keeps_to_the_limit(environment: &Environment) {
    let team = Team::unguarded(environment, "scale", &json!({"enforcement": "Off"}));
    let many = json!({"image": "ghcr.io/a/x:1", "ingressHost": "a.example.com", "replicas": 9});
    team.send("create", &server("old", &many)).expect_ok();
    // More than the limit asks for: nothing else of it may refuse a Scale, which shows none of its fields.
    team.set(
        &json!({"images": {"requireDigest": true}, "ingress": {"requireTLS": true}, "limits": {"replicas": 3}}),
    );
    team.await_floor();
    let scale = |replicas: &str| {
        let replicas = format!("--replicas={replicas}");
        team.kubectl(&["scale", "mcpserver", "old", &replicas])
    };
    scale("9").expect_ok();
    for above in ["50", "4"] {
        let said = scale(above).expect_failure();
        assert!(said.contains("MCP0316: spec.replicas"), "{above}: {said}");
    }
    for within in ["3", "0", "1"] {
        scale(within).expect_ok();
    }
    let said = scale("50").expect_failure();
    assert!(said.contains("MCP0316: spec.replicas"), "{said}");
    let patch = [
        "patch",
        "mcpserver",
        "old",
        "--subresource=scale",
        "--type=merge",
        "-p",
        r#"{"spec":{"replicas":50}}"#,
    ];
    let said = team.kubectl(&patch).expect_failure();
    assert!(said.contains("MCP0316: spec.replicas"), "{said}");
}

pub(super) fn two_policies_must_both_be_met(environment: &Environment) {
    let team = Team::new(
        environment,
        "both",
        &json!({"images": {"allowedRegistries": ["ghcr.io", "quay.io"]}}),
    );
    let mut other =
        team.policy(&json!({"images": {"allowedRegistries": ["quay.io", "docker.io"]}}));
    let second = format!("{}-2", team.name);
    other["metadata"]["name"] = second.clone().into();
    environment
        .kubectl_with(&["create", "-f", "-"], &other.to_string())
        .expect_ok();
    let images = ["ghcr.io/a/x:1", "quay.io/a/x:1", "a/x:1"];
    let objects: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(index, image)| server(&format!("image-{index}"), &json!({"image": image})))
        .collect();
    tests::eventually("only what both allow passes", || {
        let refused: Vec<String> = team.put(&objects).into_keys().collect();
        if refused == ["image-0", "image-2"] {
            Ok(())
        } else {
            Err(format!("{refused:?}"))
        }
    });
    environment
        .kubectl(&["delete", "mcppolicy", &second])
        .expect_ok();
}
