//! The webhook through a real API server, as `kubectl` shows it.

use serde_json::json;
use tests::{Environment, eventually};

use crate::platform::{PAST, Platform};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/demo");

/// One story, because the webhook configurations are cluster-wide and there can be only one webhook behind them.
#[test]
fn a_bad_server_is_refused_with_every_mistake_and_a_good_one_gets_its_defaults() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    let mut webhook = platform.start_webhook();
    environment
        .kubectl(&["apply", "-f", &format!("{DEMO}/policy.yaml")])
        .expect_ok();
    environment.with_namespace("webhook", |namespace| {
        Platform::ask_in(environment, namespace);
        all_five_mistakes_at_once(environment, namespace);
        a_good_server_is_defaulted(environment, namespace);
        an_old_mistake_does_not_block_an_unrelated_edit(environment, namespace);
        a_stranger_cannot_make_a_session_for_somebody_else(environment, namespace);
        a_dry_run_is_judged_the_same(environment, namespace);
        webhook.kill();
        without_the_webhook_our_kinds_are_refused_and_others_are_not(environment, namespace);
    });
    environment
        .kubectl(&[&["delete", "mcppolicy", "default"], &PAST[..]].concat())
        .expect_ok();
}

fn all_five_mistakes_at_once(environment: &Environment, namespace: &str) {
    let bad = format!("{DEMO}/bad.yaml");
    let said = eventually("the API server asks the webhook", || {
        let said =
            environment.kubectl(&["create", "-n", namespace, "--dry-run=server", "-f", &bad]);
        if said.text().contains("MCP0") {
            Ok(said)
        } else {
            Err(said.text())
        }
    });
    let said = said.expect_failure();
    for code in ["MCP0102", "MCP0105", "MCP0204", "MCP0304", "MCP0308"] {
        assert!(said.contains(code), "{code} is missing in:\n{said}");
    }
    for field in [
        "spec.image",
        "spec.imageTag",
        "spec.ingressHost",
        "spec.port",
        "spec.env[0].value",
    ] {
        assert!(said.contains(field), "{field} is missing in:\n{said}");
    }
    assert!(
        !said.contains("demo-literal"),
        "a secret is printed:\n{said}"
    );
}

fn a_good_server_is_defaulted(environment: &Environment, namespace: &str) {
    environment
        .kubectl(&[
            "create",
            "-n",
            namespace,
            "-f",
            &format!("{DEMO}/everything.yaml"),
        ])
        .expect_ok();
    let server = environment
        .get(&["mcpserver", "everything", "-n", namespace])
        .expect("it was admitted");
    assert_eq!(server["spec"]["ingressHost"], "mcp.example.test");
    let annotations = &server["metadata"]["annotations"];
    assert_eq!(annotations["kubectl-mcp.dev/requested-by"], "admin");
    assert!(
        annotations["kubectl-mcp.dev/defaulted"]
            .as_str()
            .expect("it says so")
            .contains("ingressHost")
    );
    assert!(
        server["spec"].get("port").is_none(),
        "a plain default was persisted"
    );
}

/// Ratchet: a tightened policy lets labels be edited, but no new mistake in.
fn an_old_mistake_does_not_block_an_unrelated_edit(environment: &Environment, namespace: &str) {
    let tighten = r#"{"spec":{"images":{"allowedRegistries":["other.test"]}}}"#;
    environment
        .kubectl(&[
            "patch",
            "mcppolicy",
            "default",
            "--type=merge",
            "-p",
            tighten,
        ])
        .expect_ok();
    let create = || {
        environment.kubectl(&[
            "create",
            "-n",
            namespace,
            "--dry-run=server",
            "-f",
            &format!("{DEMO}/everything.yaml"),
        ])
    };
    eventually("the webhook sees the policy", || {
        let said = create().text();
        if said.contains("MCP0102") {
            Ok(())
        } else {
            Err(said)
        }
    });
    let label = environment.kubectl(&[
        "label",
        "mcpserver",
        "everything",
        "-n",
        namespace,
        "colour=blue",
    ]);
    assert!(
        label.text().contains("MCP0102"),
        "the old mistake is a warning: {}",
        label.text()
    );
    label.expect_ok();
    let worse = r#"{"spec":{"registryOverride":"evil.test"}}"#;
    let said = environment.kubectl(&[
        "patch",
        "mcpserver",
        "everything",
        "-n",
        namespace,
        "--type=merge",
        "-p",
        worse,
    ]);
    assert!(said.expect_failure().contains("MCP0102"));
    let relax = r#"{"spec":{"images":{"allowedRegistries":["registry.test"]}}}"#;
    environment
        .kubectl(&["patch", "mcppolicy", "default", "--type=merge", "-p", relax])
        .expect_ok();
}

fn a_stranger_cannot_make_a_session_for_somebody_else(environment: &Environment, namespace: &str) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "sessions"},
        "rules": [{"apiGroups": ["kubectl-mcp.dev"], "resources": ["mcpagentsessions"], "verbs": ["create", "get"]}]
    });
    environment
        .kubectl_with(&["create", "-n", namespace, "-f", "-"], &role.to_string())
        .expect_ok();
    environment
        .kubectl(&[
            "create",
            "rolebinding",
            "sessions",
            "-n",
            namespace,
            "--role=sessions",
            "--group=callers",
        ])
        .expect_ok();
    let session = |human: &str| {
        json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession", "metadata": {"generateName": "s-"},
            "spec": {"serverRef": {"name": "everything"}, "subject": {"humanID": human}, "tokenHash": "a".repeat(64),
                     "expiresAt": in_one_hour()}
        })
        .to_string()
    };
    let as_mallory = [
        "create",
        "-n",
        namespace,
        "--as=mallory",
        "--as-group=callers",
        "-f",
        "-",
    ];
    let said = environment
        .kubectl_with(&as_mallory, &session("alice"))
        .expect_failure();
    assert!(said.contains("MCP0701"), "{said}");
    environment
        .kubectl_with(&as_mallory, &session("mallory"))
        .expect_ok();
}

fn a_dry_run_is_judged_the_same(environment: &Environment, namespace: &str) {
    let bad = format!("{DEMO}/bad.yaml");
    let said = |dry: &[&str]| {
        environment
            .kubectl(&[&["create", "-n", namespace, "-f", bad.as_str()], dry].concat())
            .expect_failure()
    };
    assert_eq!(said(&[]), said(&["--dry-run=server"]));
}

fn without_the_webhook_our_kinds_are_refused_and_others_are_not(
    environment: &Environment,
    namespace: &str,
) {
    let good = std::fs::read_to_string(format!("{DEMO}/everything.yaml"))
        .expect("the demo is there")
        .replace("name: everything", "name: another");
    let said = environment
        .kubectl_with(&["create", "-n", namespace, "-f", "-"], &good)
        .expect_failure();
    assert!(
        said.contains("run-kubectl-mcp-check.kubectl-mcp.dev"),
        "the remedy is not named:\n{said}"
    );
    environment
        .kubectl(&["create", "configmap", "other", "-n", namespace])
        .expect_ok();
}

fn in_one_hour() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string()
}
