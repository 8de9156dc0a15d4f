//! What is left of a decision: lines in the API server's audit log, and figures in the webhook's metrics.

use std::fs;

use serde_json::{Value, json};
use tests::{Environment, eventually};

use crate::door::{Door, delete, teams, write};
use crate::platform::{Platform, Webhook};

/// What the API server puts before the keys of the validating webhook.
const HOOK: &str = "run-kubectl-mcp-check.kubectl-mcp.dev";
const SECRET: &str = "not-a-real-token";

/// A policy for one team, whose rules about literal secrets and host names have this enforcement.
fn policy(team: &str, enforcement: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": team},
        "spec": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team}},
                 "enforcement": enforcement,
                 "workload": {"forbidLiteralSecrets": true}, "ingress": {"allowedHosts": ["mcp.example.com"]}}
    })
}

fn server(team: &str, name: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": name, "namespace": team},
        "spec": {"image": "ghcr.io/acme/weather:1", "ingressHost": "mcp.other.example", "ingressPath": format!("/{team}"),
                 "tools": [{"name": "forecast", "sideEffect": "read"}],
                 "env": [{"name": "API_TOKEN", "value": SECRET}]}
    })
}

#[test]
fn what_a_policy_lets_pass_stands_in_the_audit_log_and_in_the_metrics() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    let modes = [
        ("team-warned", "Warn"),
        ("team-audited", "Audit"),
        ("team-enforced", "Enforce"),
    ];
    teams(environment, &modes.map(|(team, _)| team));
    let webhook = platform.start_webhook();
    let door = Door::of(environment, &webhook);
    for (team, mode) in modes {
        write(environment, &policy(team, mode));
    }
    door.catch_up();
    let name = format!("audit-{}", std::process::id());
    let create = |team: &str| {
        environment.kubectl_with(&["create", "-f", "-"], &server(team, &name).to_string())
    };

    let warned = create("team-warned");
    assert!(
        warned.err.contains("Warning: MCP0308") && warned.err.contains("Warning: MCP0204"),
        "{}",
        warned.text()
    );
    warned.expect_ok();
    let audited = create("team-audited");
    assert!(
        !audited.err.contains("MCP0308") && !audited.err.contains("MCP0204"),
        "{}",
        audited.text()
    );
    audited.expect_ok();
    assert!(
        create("team-enforced")
            .expect_failure()
            .contains("(MCP0308)")
    );

    for team in ["team-warned", "team-audited"] {
        let annotations = annotations(environment, team, &name, "MCP0308");
        let said = |code: &str| {
            annotations[format!("{HOOK}/{code}")]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        assert!(
            said("MCP0308").starts_with("spec.env[0].value: "),
            "{annotations}"
        );
        assert!(
            said("MCP0204").starts_with("spec.ingressHost: Invalid value: \"mcp.other.example\": "),
            "{annotations}"
        );
        assert!(!annotations.to_string().contains(SECRET), "{annotations}");
    }
    let refused = annotations_of(
        environment,
        "team-enforced",
        &name,
        "default.kubectl-mcp.dev/refused-by",
    );
    assert_eq!(
        refused["default.kubectl-mcp.dev/refused-by"],
        "MCP0204,MCP0308"
    );
    metrics_tell_what_and_never_who(&webhook, &name);
    for (team, _) in modes {
        delete(environment, &["mcpservers", "--all", "-n", team]);
        delete(environment, &["mcppolicy", team]);
    }
}

fn annotations(environment: &Environment, team: &str, name: &str, code: &str) -> Value {
    annotations_of(environment, team, name, &format!("{HOOK}/{code}"))
}

/// The annotations of the line of the audit log about a creation, once it has this one.
fn annotations_of(environment: &Environment, team: &str, name: &str, key: &str) -> Value {
    let log = environment
        .kubeconfig
        .parent()
        .expect("it is in the cluster's folder")
        .join("logs/audit.log");
    eventually(
        &format!("{key} of {team}/{name} is in the audit log"),
        || {
            let text = fs::read_to_string(&log).map_err(|error| error.to_string())?;
            let lines = text
                .lines()
                .filter(|line| line.contains(name) && line.contains(team));
            let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
            events
                .filter(|event| {
                    event["verb"] == "create" && event["objectRef"]["resource"] == "mcpservers"
                })
                .find(|event| event["annotations"].get(key).is_some())
                .map(|event| event["annotations"].clone())
                .ok_or_else(|| "not there".to_owned())
        },
    )
}

fn metrics_tell_what_and_never_who(webhook: &Webhook, name: &str) {
    let metrics = Platform::metrics(webhook.admin);
    let has = |parts: &[&str]| {
        assert!(
            metrics
                .lines()
                .any(|line| parts.iter().all(|part| line.contains(part))),
            "no line with {parts:?} in:\n{metrics}"
        );
    };
    let decision = "mcp_webhook_decision_seconds_bucket{";
    has(&[
        decision,
        r#"kind="MCPServer""#,
        r#"operation="CREATE""#,
        r#"decision="deny""#,
        r#"code="MCP0308""#,
        r#"le="0.0001""#,
    ]);
    has(&[
        decision,
        r#"kind="MCPServer""#,
        r#"operation="CREATE""#,
        r#"decision="allow""#,
        r#"code="none""#,
    ]);
    has(&[
        "mcp_webhook_findings_total{",
        r#"code="MCP0308""#,
        r#"severity="error""#,
    ]);
    has(&[
        "mcp_webhook_findings_total{",
        r#"code="MCP0308""#,
        r#"severity="warning""#,
    ]);
    has(&[
        "mcp_webhook_findings_total{",
        r#"code="MCP0308""#,
        r#"severity="audit""#,
    ]);
    for word in [
        name,
        "team-audited",
        "team-enforced",
        "admin",
        "mcp.other.example",
    ] {
        assert!(!metrics.contains(word), "the metrics hold {word}");
    }
}
