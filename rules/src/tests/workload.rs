//! What the rules of images and workloads say where a fixture cannot say it: unknown facts, bounds, the ratchet, what is
//! never quoted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{errors, nothing_there, server};
use crate::{Facts, Findings, Known, Question, SecretFact, check, questions};

/// The codes and fields of what could not be looked up.
fn unchecked(findings: &Findings) -> Vec<&str> {
    findings.unchecked().map(|finding| finding.code).collect()
}

fn with_secret(name: &str) -> Value {
    server(json!({
        "image": "ghcr.io/acme/weather:1.2.3",
        "ingressHost": "mcp.example.com",
        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": name, "key": "token"}}}]
    }))
}

fn remote(url: &str) -> Value {
    server(json!({"remote": {"url": url}, "ingressHost": "mcp.example.com"}))
}

fn with_template(template: &Value) -> Value {
    server(json!({
        "image": "ghcr.io/acme/weather:1.2.3", "ingressHost": "mcp.example.com", "podTemplate": template
    }))
}

/// The facts with one answer to every question about this change.
fn answered(new: &Value, old: Option<&Value>, answer: bool, facts: Facts) -> Facts {
    let answers = questions(Some(new), old, &facts)
        .into_iter()
        .map(|question| (question, answer))
        .collect();
    Facts { answers, ..facts }
}

fn secrets_unknown() -> Facts {
    Facts {
        secrets: Known::Unknown,
        config_maps: Known::Unknown,
        ..nothing_there()
    }
}

#[test]
fn where_secrets_are_unknown_the_question_decides_and_the_missing_one_is_unchecked() {
    let object = with_secret("weather-api");
    let facts = secrets_unknown();
    assert_eq!(
        questions(Some(&object), None, &facts),
        [Question {
            verb: "get",
            group: "",
            resource: "secrets",
            namespace: "team-a".to_owned(),
            name: "weather-api".to_owned()
        }]
    );
    let allowed = check(
        Some(&object),
        None,
        &answered(&object, None, true, facts.clone()),
    );
    assert_eq!(errors(&allowed), []);
    assert_eq!(unchecked(&allowed), ["MCP0309"]);
    let denied = check(
        Some(&object),
        None,
        &answered(&object, None, false, facts.clone()),
    );
    assert!(denied.is_forbidden());
    let unasked = check(Some(&object), None, &facts);
    assert_eq!(unchecked(&unasked), ["MCP0309", "MCP0321"]);
}

#[test]
fn a_secret_that_is_labelled_for_the_server_is_not_asked_about() {
    let object = with_secret("weather-api");
    let labels = [("kubectl-mcp.dev/server".to_owned(), "new".to_owned())];
    let secret = SecretFact {
        kind: "Opaque".to_owned(),
        keys: ["token".to_owned()].into(),
        labels: labels.into(),
    };
    let facts = Facts {
        secrets: BTreeMap::from([("weather-api".to_owned(), secret)]).into(),
        ..nothing_there()
    };
    assert_eq!(questions(Some(&object), None, &facts), []);
}

#[test]
fn who_names_very_many_secrets_is_asked_once_about_all() {
    let env: Vec<Value> = (0..1000)
        .map(|n| {
            let reference = json!({"name": format!("secret-{n}"), "key": "k"});
            json!({"name": format!("A{n}"), "valueFrom": {"secretKeyRef": reference}})
        })
        .collect();
    let object = server(json!({
        "image": "ghcr.io/acme/weather:1.2.3", "ingressHost": "mcp.example.com", "env": env
    }));
    let facts = secrets_unknown();
    let asked = questions(Some(&object), None, &facts);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].name, "");
    let findings = check(
        Some(&object),
        None,
        &answered(&object, None, false, facts.clone()),
    );
    assert_eq!(
        errors(&findings),
        [("MCP0321", "spec.env[0].valueFrom.secretKeyRef.name")]
    );
}

#[test]
fn what_an_object_names_already_is_not_asked_about_again() {
    let old = with_secret("weather-api");
    let mut new = old.clone();
    let again = new["spec"]["env"][0].clone();
    new["spec"]["env"].as_array_mut().unwrap().push(again);
    new["spec"]["env"][1]["name"] = json!("AGAIN");
    assert_eq!(questions(Some(&new), Some(&old), &secrets_unknown()), []);
    // All keys of it are more than the one that was named.
    for name in ["weather-api", "database"] {
        new["spec"]["envFrom"] = json!([{"secretRef": {"name": name}}]);
        let asked = questions(Some(&new), Some(&old), &secrets_unknown());
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].name, name);
    }
    let mut going = old.clone();
    going["metadata"]["deletionTimestamp"] = json!("2026-06-01T12:00:00Z");
    assert_eq!(questions(Some(&new), Some(&going), &secrets_unknown()), []);
}

#[test]
fn what_only_a_policy_could_allow_is_unchecked_without_policies() {
    let facts = Facts {
        policies: Known::Unknown,
        ..nothing_there()
    };
    for (url, refused) in [
        ("https://10.1.2.3/mcp", false),
        ("http://mcp.example.org/mcp", false),
        ("https://127.0.0.1/mcp", true),
        ("http://169.254.169.254/mcp", true),
    ] {
        let findings = check(Some(&remote(url)), None, &facts);
        let found = errors(&findings).contains(&("MCP0317", "spec.remote.url"));
        assert_eq!(found, refused, "{url}");
        assert_eq!(unchecked(&findings).contains(&"MCP0317"), !refused, "{url}");
    }
}

#[test]
fn an_old_excess_does_not_let_another_one_in() {
    let hosts = |name: &str| {
        with_template(&json!({"spec": {"hostAliases": [{"ip": "127.0.0.1", "hostnames": [name]}]}}))
    };
    let (old, other) = (hosts("a.example.com"), hosts("b.example.com"));
    let judge = |new: &Value| check(Some(new), Some(&old), &nothing_there());
    let excess = ("MCP0310", "spec.podTemplate.spec.hostAliases");
    assert!(errors(&judge(&other)).contains(&excess));
    let same = judge(&old);
    assert!(!errors(&same).contains(&excess));
    assert!(same.warnings().any(|finding| finding.code == excess.0));
}

#[test]
fn nothing_that_may_be_a_secret_is_quoted() {
    for object in [
        remote("https://user:hunter2@mcp.example.org/mcp"),
        remote("http://mcp.example.org/mcp?api_key=hunter2"),
        remote("hunter2@mcp.example.org"),
        with_template(
            &json!({"spec": {"containers": [{"name": "server", "env": [{"name": "TOKEN", "value": "hunter2"}]}]}}),
        ),
        with_template(&json!({"spec": {"containers": [{"name": "x", "env": "hunter2"}]}})),
        with_template(
            &json!({"spec": {"containers": [{"name": "x", "env": [{"name": "TOKEN", "value": "hunter2"}]}]}}),
        ),
        with_template(&json!({"spec": {"other": "hunter2"}})),
        with_template(&json!({"metadata": {"annotations": {"kubectl-mcp.dev/x": "hunter2"}}})),
    ] {
        let findings = check(Some(&object), None, &nothing_there());
        assert!(findings.is_refused());
        for finding in &findings {
            assert!(!finding.to_string().contains("hunter2"), "{finding}");
        }
    }
}

#[test]
fn a_template_that_does_not_decode_is_named_by_its_smallest_part() {
    for (template, field) in [
        (
            json!({"spec": {"containers": "x"}}),
            "spec.podTemplate.spec.containers",
        ),
        (
            json!({"spec": {"tolerations": [{"key": 1}]}}),
            "spec.podTemplate.spec.tolerations",
        ),
        (
            json!({"metadata": {"labels": []}}),
            "spec.podTemplate.metadata.labels",
        ),
        (json!({"spec": []}), "spec.podTemplate.spec"),
        (
            json!({"spec": {"containers": [{"name": "server"}, {"name": "x", "image": "y:1", "args": "z"}]}}),
            "spec.podTemplate.spec.containers[1].args",
        ),
    ] {
        let findings = check(Some(&with_template(&template)), None, &nothing_there());
        let found = errors(&findings);
        assert!(found.contains(&("MCP0311", field)), "{template}: {found:?}");
    }
}

#[test]
fn a_password_in_an_image_a_host_or_a_registry_is_not_repeated() {
    let policy = |spec: Value| {
        json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
               "metadata": {"name": "default"}, "spec": spec})
    };
    let catalogue = |source: Value| {
        json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPRegistry",
               "metadata": {"name": "c"}, "spec": {"source": source}})
    };
    let image = |image: &str| server(json!({"image": image, "ingressHost": "mcp.example.com"}));
    let host =
        |host: &str| server(json!({"image": "ghcr.io/acme/weather:1.2.3", "ingressHost": host}));
    let registry = |registry: &str| {
        server(
            json!({"image": "acme/weather:1.2.3", "ingressHost": "mcp.example.com", "registryOverride": registry}),
        )
    };
    let digest = "0".repeat(64);
    for object in [
        image("https://bob:7777@ghcr.io/acme/weather"),
        image("bob:7777@ghcr.io/acme/weather"),
        image(&format!("bob:7777@ghcr.io/acme/weather@sha256:{digest}")),
        image("ghcr.io/acme/weather?token=7777"),
        host("https://bob:7777@mcp.example.com"),
        host("https://7777@mcp.example.com"),
        host("bob:7777@mcp.example.com"),
        host("bob:7777@b\u{fc}cher.example.com"),
        host("mcp.example.com?token=7777"),
        registry("https://bob:7777@ghcr.io"),
        registry("bob:7777@ghcr.io/acme"),
        registry("bob:7777@GHCR.io"),
        registry("ghcr.io/acme?token=7777"),
        policy(json!({"images": {"allowedRegistries": ["bob:7777@ghcr.io"]}})),
        policy(json!({"registry": {"host": "https://bob:7777@ghcr.io"}})),
        policy(json!({"ingress": {"allowedHosts": ["https://bob:7777@mcp.example.com"]}})),
        policy(json!({"gateway": {"image": "https://bob:7777@ghcr.io/acme/gateway"}})),
        policy(json!({"egress": {"allowed": ["https://bob:7777@mcp.example.com"]}})),
        policy(json!({"egress": {"allowed": ["bob:7777@mcp.example.com"]}})),
        catalogue(json!({"type": "URL", "url": {"url": "HTTPS://mcp.example.com/x?token=7777"}})),
        catalogue(
            json!({"type": "Git", "git": {"repository": "git@github.com:acme/x?token=7777"}}),
        ),
        catalogue(
            json!({"type": "Git", "git": {"repository": "ssh://git@github.com/acme/x?token=7777"}}),
        ),
        catalogue(
            json!({"type": "Git", "git": {"repository": "https://bob:7777@github.com/acme/x"}}),
        ),
    ] {
        let findings = check(Some(&object), None, &nothing_there());
        assert!(findings.is_refused(), "{object}");
        for finding in &findings {
            assert!(!finding.to_string().contains("7777"), "{finding}");
        }
    }
}

#[test]
fn a_digest_is_no_password() {
    let object = server(
        json!({"image": "ghcr.io/acme/weather@sha256:12", "ingressHost": "mcp.example.com"}),
    );
    let findings = check(Some(&object), None, &nothing_there());
    let quoted = findings.errors().find(|finding| finding.code == "MCP0101");
    let quoted = quoted.and_then(|finding| finding.value.as_deref());
    assert_eq!(quoted, Some("ghcr.io/acme/weather@sha256:12"));
}

#[test]
fn a_server_elsewhere_has_nothing_that_runs_here() {
    let judged = |remote: Value, beside: Value| {
        let mut spec = json!({"remote": remote, "ingressHost": "mcp.example.com"});
        spec.as_object_mut()
            .unwrap()
            .extend(beside.as_object().unwrap().clone());
        let findings = check(Some(&server(spec)), None, &Facts::default());
        let found = errors(&findings);
        found
            .into_iter()
            .map(|(code, field)| (code.to_owned(), field.to_owned()))
            .collect::<Vec<_>>()
    };
    let url = || json!({"url": "https://mcp.example.org/mcp"});
    let service = || json!({"service": {"name": "old", "port": 8080}});
    let refused = |field: &str| vec![("MCP0301".to_owned(), format!("spec.{field}"))];
    for (field, value) in [
        ("command", json!(["serve"])),
        ("env", json!([{"name": "A", "value": "b"}])),
        ("port", json!(9000)),
        ("serverToken", json!(true)),
    ] {
        assert_eq!(
            judged(url(), json!({field: value})),
            refused(field),
            "{field}"
        );
    }
    assert_eq!(judged(url(), json!({"path": "/mcp"})), refused("path"));
    assert_eq!(
        judged(url(), json!({"gateway": {"enabled": false}})),
        refused("gateway.enabled")
    );
    assert_eq!(
        judged(service(), json!({"transport": "stdio"}))[0].0,
        "MCP0301"
    );
    for beside in [
        json!({}),
        json!({"transport": "sse"}),
        json!({"protocol": {"translate": "always"}}),
    ] {
        assert!(judged(url(), beside.clone()).is_empty(), "{beside}");
    }
    assert!(judged(service(), json!({"path": "/sse", "transport": "sse"})).is_empty());
    let itself = json!({"service": {"name": "new", "port": 80}});
    assert_eq!(judged(itself, json!({})), refused("remote.service.name"));
}

#[test]
fn a_header_for_a_server_elsewhere_is_nobody_elses() {
    let judged = |names: &[&str]| {
        let headers: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "secretKeyRef": {"name": "weather", "key": "k"}}))
            .collect();
        let remote = json!({"url": "https://mcp.example.org/mcp", "headersFromSecret": headers});
        let findings = check(
            Some(&server(
                json!({"remote": remote, "ingressHost": "mcp.example.com"}),
            )),
            None,
            &Facts::default(),
        );
        errors(&findings)
            .iter()
            .filter(|(code, _)| *code == "MCP0405")
            .map(|(_, field)| (*field).to_owned())
            .collect::<Vec<_>>()
    };
    assert!(judged(&["Authorization", "X-Api-Key"]).is_empty());
    for name in ["Host", "mcp-session-id", "Content-Length", "Origin"] {
        assert_eq!(
            judged(&[name]),
            ["spec.remote.headersFromSecret[0].name"],
            "{name}"
        );
    }
    assert_eq!(
        judged(&["X-Api-Key", "x-api-key"]),
        ["spec.remote.headersFromSecret[1].name"]
    );
}
