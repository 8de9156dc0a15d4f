//! What the webhook costs: run by `cargo xtask bench`, which builds it for release and brings up an API server.
//!
//! Three tables: reviews over TLS with kept-alive connections (`wrk` on the same processors), what the two webhooks add
//! to a dry-run create through the API server, and what 10,000 servers weigh. Figures are printed, never asserted.

#[allow(dead_code, reason = "the benchmark of the gateway needs more of it")]
mod load;
#[allow(dead_code, reason = "the tests of the API layer need more of it")]
#[path = "../api/platform.rs"]
mod platform;
mod through;

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tests::{Environment, Https, eventually};

use load::{Proc, Target, wrk};
use platform::{FIXTURES, Platform, WEBHOOK_LABEL};

const NAMESPACES: usize = 10;
const POLICIES: usize = 20;
const SERVERS: usize = 100;
const MANY: usize = 10_000;
const EACH: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;

fn main() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    prepare(environment);
    let webhook = platform.start_webhook();
    let process = Proc::new(webhook.id());
    cached(webhook.admin, SERVERS);

    say(format!(
        "A valid MCPServer against {SERVERS} servers and {POLICIES} policies, {} s each, median of {ROUNDS}:",
        EACH.as_secs()
    ));
    say("| endpoint | connections | reviews/s | p50 ms | p99 ms | CPU s per 10,000 | RSS MiB |");
    say("|---|---|---|---|---|---|---|");
    let folder = tempfile::tempdir().expect("a folder");
    let https = https(environment, webhook.port);
    for (path, object) in [("mutate", given()), ("validate", mutated(environment))] {
        let body = folder.path().join(format!("{path}.json"));
        std::fs::write(&body, review(&object)).expect("the body is written");
        is_allowed(&https, path, &review(&object));
        for connections in [1, 8, 32] {
            let url = format!("https://127.0.0.1:{}/{path}", webhook.port);
            let row = wrk(&target(&url, &body, &process), connections, EACH, ROUNDS);
            say(format!("| /{path} | {connections} | {row} |"));
        }
    }

    say("\n500 sequential dry-run creates through the API server, side by side, median of each:");
    say(through::table(environment, &given()));

    through::create_many(environment, MANY, &server);
    cached(webhook.admin, SERVERS + MANY);
    let url = format!("https://127.0.0.1:{}/validate", webhook.port);
    let body = folder.path().join("validate.json");
    let row = wrk(&target(&url, &body, &process), 32, EACH, ROUNDS);
    say(format!(
        "\nWith {} servers cached: RSS {:.1} MiB, peak {:.1} MiB; /validate at 32 connections: {row}",
        SERVERS + MANY,
        process.rss(),
        process.peak()
    ));
}

fn target<'t>(url: &'t str, body: &'t Path, process: &'t Proc) -> Target<'t> {
    Target {
        url,
        body,
        headers: "Accept: application/json",
        process,
    }
}

/// Makes sure that the body is one that is allowed: a refusal would be another thing to measure.
fn is_allowed(https: &Https, path: &str, body: &str) {
    let (_, answer) = https
        .post(&format!("/{path}"), body.as_bytes())
        .expect("an answer");
    assert!(
        answer.contains("\"allowed\":true"),
        "/{path} answered:\n{answer}"
    );
}

/// A client that trusts the authority which the webhook published.
fn https(environment: &Environment, port: u16) -> Https {
    let configuration = environment
        .get(&["validatingwebhookconfiguration", "mcp-webhook"])
        .expect("the webhook is installed");
    let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str();
    let authorities = base64::engine::general_purpose::STANDARD.decode(bundle.unwrap_or_default());
    Https::trusting(port, &authorities.expect("caBundle is base64"))
}

#[allow(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]
fn say(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// Waits until the webhook sees so many servers.
fn cached(admin: u16, servers: usize) {
    eventually("the webhook sees the servers", || {
        let metrics = Platform::metrics(admin);
        let line = format!("mcp_webhook_cached_objects{{kind=\"MCPServer\"}} {servers}");
        if metrics.contains(&line) {
            Ok(())
        } else {
            Err(metrics
                .lines()
                .find(|line| line.contains("MCPServer"))
                .unwrap_or_default()
                .to_owned())
        }
    });
}

/// Namespaces, policies that all select them, and servers.
fn prepare(environment: &Environment) {
    let mut items = Vec::new();
    for index in 0..NAMESPACES {
        let labels = json!({"stage": "production", WEBHOOK_LABEL: "true"});
        items.push(json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": format!("bench-{index}"), "labels": labels}}));
    }
    items.push(json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "bench-without", "labels": {"stage": "production"}}}));
    for index in 0..POLICIES {
        items.push(json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
            "metadata": {"name": format!("bench-{index}")}, "spec": {
                "namespaceSelector": {"matchLabels": {"stage": "production"}},
                "enforcement": "Enforce",
                "defaults": {"ingressHost": "mcp.example.test"},
                "images": {"allowedRegistries": ["registry.test/mcp", "ghcr.io/acme"], "forbidMutableTags": true},
                "ingress": {"allowedHosts": ["mcp.example.test", "*.mcp.example.test"], "requireHost": true},
                "workload": {"forbidLiteralSecrets": true, "forbidHostAccess": true},
                "access": {"requireGateway": true, "maxSessionLifetime": "12h"},
                "limits": {"replicas": 5, "cpu": "4", "memory": "8Gi"}
            }}));
    }
    items.extend((0..SERVERS).map(|index| server("server", index)));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let arguments = [
        "apply",
        "--server-side",
        "-f",
        "-",
        "--as",
        FIXTURES,
        "--as-group=system:masters",
    ];
    environment.kubectl_with(&arguments, &list).expect_ok();
}

/// One of many servers, as it would be stored.
fn server(name: &str, index: usize) -> Value {
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": format!("{name}-{index}"), "namespace": format!("bench-{}", index % NAMESPACES),
            "annotations": {"kubectl-mcp.dev/requested-by": "alice@example.com",
                "kubectl-mcp.dev/requested-by-groups": "[\"team-a\",\"system:authenticated\"]"}},
        "spec": {"image": "registry.test/mcp/other:1.0.0", "ingressHost": "mcp.example.test",
            "tools": [{"name": "search", "description": "Searches everything"},
                {"name": "write_note", "requiredTrust": "medium", "sideEffect": "write"}]}})
}

fn given() -> Value {
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
    "metadata": {"name": "weather", "namespace": "bench-0"},
    "spec": {
        "description": "Forecasts for the whole country",
        "image": "registry.test/mcp/weather:1.4.2",
        "port": 8080, "replicas": 2,
        "env": [{"name": "LOG_LEVEL", "value": "info"},
            {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "weather", "key": "api-key"}}}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "tools": [{"name": "forecast", "description": "Tomorrow's weather"},
            {"name": "report_storm", "requiredTrust": "medium", "sideEffect": "write"}]
    }})
}

/// The same as the API server has it when it asks `/validate`.
fn mutated(environment: &Environment) -> Value {
    let arguments = [
        "create",
        "--dry-run=server",
        "-o",
        "json",
        "--show-managed-fields",
        "-f",
        "-",
    ];
    let said = environment
        .kubectl_with(&arguments, &given().to_string())
        .expect_ok();
    serde_json::from_str(&said).expect("kubectl prints JSON")
}

fn review(object: &Value) -> String {
    let kind = json!({"group": "kubectl-mcp.dev", "version": "v1alpha1", "kind": "MCPServer"});
    let resource =
        json!({"group": "kubectl-mcp.dev", "version": "v1alpha1", "resource": "mcpservers"});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "name": "weather", "namespace": "bench-0", "operation": "CREATE",
        "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
        "object": object, "oldObject": null, "dryRun": true,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create"}
    }})
    .to_string()
}
