//! A server with auth mode kubernetes on a real API server: the operator writes the bundle, the gateway runs under the
//! account that the operator made for it, and callers come with tokens that the API server made.

use std::fs;

use serde_json::{Value, json};
use tests::{Environment, Process, eventually, free_port, http};

use crate::platform::{Platform, Turn};

const SERVER: &str = "accounts";

#[test]
fn a_gateway_knows_service_accounts_by_tokens_for_its_own_audience() {
    let _turn = Turn::wait();
    let platform = Platform::bare();
    let environment = &platform.environment;
    let (_operator, _) = platform.start_operator();
    environment.with_namespace("accounts", |namespace| {
        create(environment, namespace, &server());
        for account in ["bot", "stranger"] {
            environment
                .kubectl(&["create", "serviceaccount", account, "-n", namespace])
                .expect_ok();
        }
        create(environment, namespace, &grant(namespace));
        let (port, _gateway) = start_gateway(environment, namespace);
        let ask = |name: &str, token: &str| {
            let head = format!(
                "POST /mcp HTTP/1.1\r\nHost: {SERVER}.{namespace}.svc\r\nContent-Type: application/json\r\n\
                 Accept: application/json, text/event-stream\r\n{name}: {token}"
            );
            http(("127.0.0.1", port), &head, CALL).unwrap_or_else(|error| error.to_string())
        };
        let says = |answer: &str, reason: &str| answer.contains(&format!("\"reason\":\"{reason}\""));
        let audience = format!("kubectl-mcp/{namespace}/{SERVER}");
        let bearer = |account: &str, audience: &str| {
            format!("Bearer {}", token(environment, namespace, account, audience))
        };

        // Nothing listens behind the gateway, so what passes is told that.
        let good = bearer("bot", &audience);
        eventually("the account with a grant passes", || {
            let answer = ask("Authorization", &good);
            if says(&answer, "upstream_unavailable") { Ok(()) } else { Err(answer) }
        });
        let proxied = token(environment, namespace, "bot", &audience);
        let answer = ask("X-MCP-Session-Token", &proxied);
        assert!(says(&answer, "upstream_unavailable"), "{answer}");
        let answer = ask("Authorization", &bearer("stranger", &audience));
        assert!(says(&answer, "no_matching_grant"), "{answer}");
        for other in ["", "kubectl-mcp/other/accounts", "https://kubernetes.default.svc"] {
            let answer = ask("Authorization", &bearer("bot", other));
            assert!(answer.starts_with("HTTP/1.1 401") && says(&answer, "invalid_token"), "{other}: {answer}");
        }
        let (signed, _) = good.rsplit_once('.').expect("it has three parts");
        let (_, foreign) = proxied.rsplit_once('.').expect("it has three parts");
        let answer = ask("Authorization", &format!("{signed}.{foreign}"));
        // Two tokens made within one second are the same token.
        let same = good.ends_with(foreign);
        assert!(same || says(&answer, "invalid_token"), "{answer}");
        let answer = ask("X-Nothing", "x");
        assert!(answer.contains(&format!("--audience {audience}")), "{answer}");
    });
}

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;

fn server() -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": SERVER},
        "spec": {"image": "registry.test/mcp/first:1", "ingressHost": "mcp.example.test", "auth": {"mode": "kubernetes"},
                 "tools": [{"name": "echo", "sideEffect": "read"}]}
    })
}

fn grant(namespace: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant", "metadata": {"name": "bot"},
        "spec": {"serverRef": {"name": SERVER}, "allowedSideEffects": ["read"], "toolRules": [{"name": "echo"}],
                 "subject": {"serviceAccount": {"namespace": namespace, "name": "bot"}}}
    })
}

fn create(environment: &Environment, namespace: &str, object: &Value) {
    environment
        .kubectl_with(&["create", "-n", namespace, "-f", "-"], &object.to_string())
        .expect_ok();
}

/// A token of an account; for the API server where no audience is given.
fn token(environment: &Environment, namespace: &str, account: &str, audience: &str) -> String {
    let mut arguments = vec!["create", "token", account, "-n", namespace];
    if !audience.is_empty() {
        arguments.extend(["--audience", audience]);
    }
    environment
        .kubectl(&arguments)
        .expect_ok()
        .trim()
        .to_owned()
}

/// A gateway with the rights that the operator gave to its account, and nothing else.
fn start_gateway(
    environment: &Environment,
    namespace: &str,
) -> (u16, (Process, tempfile::TempDir)) {
    let account = format!("{SERVER}-gateway");
    for object in [
        format!("configmap/{SERVER}-access"),
        format!("serviceaccount/{account}"),
        format!("rolebinding/{account}"),
    ] {
        eventually(&format!("{object} exists"), || {
            environment
                .get(&[&object, "-n", namespace])
                .ok_or_else(|| "not there".to_owned())
        });
    }
    let text = environment
        .kubectl(&[
            "config",
            "view",
            "--raw",
            "--flatten",
            "--minify",
            "-o",
            "json",
        ])
        .expect_ok();
    let mut config: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
    config["users"][0]["user"] = json!({"token": token(environment, namespace, &account, "")});
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, config.to_string()).expect("the folder is ours");
    let (port, admin) = (free_port(), free_port());
    let mut command = environment.command("mcp-gateway");
    command.env("KUBECONFIG", &kubeconfig).args([
        "serve".to_owned(),
        "--watch".to_owned(),
        format!("--listen=127.0.0.1:{port}"),
        format!("--admin=127.0.0.1:{admin}"),
        format!("--upstream=http://127.0.0.1:{}/mcp", free_port()),
        format!("--namespace={namespace}"),
        format!("--server={SERVER}"),
        format!("--bundle={}", folder.path().display()),
    ]);
    let process = Process::start("mcp-gateway", command);
    (port, (process, folder))
}
