//! What one review costs, without the network: a valid MCPServer against 100 servers and 20 policies that all select its
//! namespace by its labels; and objects made to be slow. `cargo bench -p webhook` prints the CPU of each door.
//! The whole way, with TLS and a real API server, is measured by `cargo xtask bench`.

#![allow(
    clippy::panic,
    reason = "a benchmark that measures something else says so"
)]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use webhook::answer::answer;
use webhook::cache::{Change, Objects};
use webhook::judge::{self, Case, Door};
use webhook::review;
use webhook::snapshot::{Changed, Snapshot};

const SERVERS: usize = 100;
const POLICIES: usize = 20;
const ROUNDS: u32 = 20_000;

fn main() {
    let snapshot = snapshot();
    for (door, object) in [(Door::Mutate, given()), (Door::Validate, stored(&snapshot))] {
        let body = review(&object);
        assert!(
            review_once(&body, door, &snapshot).contains("\"allowed\":true"),
            "{}",
            review_once(&body, door, &snapshot)
        );
        for _ in 0..ROUNDS / 10 {
            black_box(review_once(&body, door, &snapshot));
        }
        let started = on_cpu();
        for _ in 0..ROUNDS {
            black_box(review_once(&body, door, &snapshot));
        }
        let each = on_cpu().saturating_sub(started) / ROUNDS;
        let each = each.as_secs_f64() * 1e6;
        say(&format!(
            "{:>8}  {each:>6.1} us of CPU per review of {} bytes",
            door.as_str(),
            body.len()
        ));
    }
    hostile(&snapshot);
}

#[expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]
fn say(line: &str) {
    println!("{line}");
}

/// Objects made to be slow: milliseconds of CPU for each.
fn hostile(snapshot: &Snapshot) {
    let many =
        |count: usize, entry: &dyn Fn(usize) -> Value| -> Value { (0..count).map(entry).collect() };
    let specs = [
        (
            "45,000 tools",
            json!({"image": "a", "tools": many(45_000, &|n| json!({"name": format!("t{n}")}))}),
        ),
        (
            "100,000 tools",
            json!({"image": "a", "tools": many(100_000, &|n| json!({"name": format!("t{n}")}))}),
        ),
        (
            "30,000 variables",
            json!({"image": "a", "env": many(30_000, &|n| json!({"name": format!("T{n}_TOKEN"), "value": "x"}))}),
        ),
        (
            "30,000 volumes",
            json!({"image": "a", "volumes": many(30_000, &|n| json!({"name": format!("v{n}")}))}),
        ),
        (
            "90,000 unknown fields",
            Value::Object((0..90_000).map(|n| (format!("f{n}"), json!(n))).collect()),
        ),
        (
            "90,000 annotations",
            json!({"image": "a", "ingressAnnotations": (0..90_000).map(|n| (format!("a{n}"), json!("x"))).collect::<serde_json::Map<_, _>>()}),
        ),
        (
            "a template of 30,000 containers",
            json!({"image": "a", "podTemplate": {"spec": {"containers": many(30_000, &|n| json!({"name": format!("c{n}")}))}}}),
        ),
        ("an image of 3 MiB", json!({"image": "a/".repeat(3 << 19)})),
        (
            "a URL of 3 MiB",
            json!({"remote": {"url": format!("https://{}", "a.".repeat(3 << 19))}}),
        ),
        (
            "a schema of 30,000 rules",
            json!({"image": "a", "rateLimits": many(20_000, &|_| json!({"scope": "server", "requests": 0, "per": "x"}))}),
        ),
    ];
    for (name, spec) in specs {
        let mut object = given();
        object["spec"] = spec;
        let body = review(&object);
        for door in [Door::Mutate, Door::Validate] {
            let started = on_cpu();
            let request = review::parse(body.as_bytes()).expect("the bench writes a review");
            let answer = match judge::read(&request, snapshot) {
                Ok(Case::Object(object)) => judged(door, &request, &object, snapshot),
                Ok(Case::Pass) => panic!("the bench writes an object"),
                Err(status) => format!("{status:?}"),
            };
            say(&format!(
                "{name}, {}: {:.0} ms, answer of {} bytes",
                door.as_str(),
                on_cpu().saturating_sub(started).as_secs_f64() * 1e3,
                answer.len()
            ));
        }
    }
}

/// How long this thread was on a processor: what others run beside it does not count.
fn on_cpu() -> Duration {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    let nanoseconds = line.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("its first number is nanoseconds"))
}

/// What the server does with a body, but for the network.
fn review_once(body: &str, door: Door, snapshot: &Snapshot) -> String {
    let request = review::parse(body.as_bytes()).expect("the bench writes a review");
    let Ok(Case::Object(object)) = judge::read(&request, snapshot) else {
        panic!("the bench writes an object")
    };
    judged(door, &request, &object, snapshot)
}

fn judged(
    door: Door,
    request: &review::Request<'_>,
    object: &judge::Object,
    snapshot: &Snapshot,
) -> String {
    let now = Timestamp::now();
    let response = match door {
        Door::Mutate => {
            let mutated = object
                .mutate(snapshot, now)
                .expect("a creation is defaulted");
            if mutated.findings.is_refused() {
                answer(&request.uid, &object.about(), &mutated.findings, None)
            } else {
                review::Response::allowed(&request.uid)
                    .with_patch(&mutated.patch)
                    .expect("a patch is JSON")
            }
        }
        Door::Validate => {
            let facts = object.facts(snapshot, now);
            let _ = object.questions(&facts);
            let verdict = object.validate(&facts);
            answer(&request.uid, &object.about(), &verdict.findings, None)
        }
    };
    serde_json::to_string(&response.into_review()).expect("an answer is JSON")
}

fn review(object: &Value) -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "kubectl-mcp.dev", "version": "v1alpha1", "kind": "MCPServer"},
        "resource": {"group": "kubectl-mcp.dev", "version": "v1alpha1", "resource": "mcpservers"},
        "requestKind": {"group": "kubectl-mcp.dev", "version": "v1alpha1", "kind": "MCPServer"},
        "requestResource": {"group": "kubectl-mcp.dev", "version": "v1alpha1", "resource": "mcpservers"},
        "name": "weather", "namespace": "team-0", "operation": "CREATE",
        "userInfo": {"username": "alice@example.com", "groups": ["team-0", "system:authenticated"]},
        "object": object, "oldObject": null, "dryRun": false,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-client-side-apply"}
    }})
    .to_string()
}

fn given() -> Value {
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
    "metadata": {"name": "weather", "namespace": "team-0", "creationTimestamp": "2026-06-01T12:00:00Z", "generation": 1,
        "uid": "0f9e5f3e-1111-4222-8333-444455556666",
        "managedFields": [{"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "kubectl-mcp.dev/v1alpha1",
            "time": "2026-06-01T12:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {".": {}, "f:image": {}, "f:tools": {".": {}, "k:{\"name\":\"forecast\"}": {".": {}, "f:name": {}}}}}}]},
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

/// The object as `/mutate` leaves it.
fn stored(snapshot: &Snapshot) -> Value {
    let mut object = given();
    let body = review(&object);
    let request = review::parse(body.as_bytes()).expect("the bench writes a review");
    let Ok(Case::Object(case)) = judge::read(&request, snapshot) else {
        panic!("the bench writes an object")
    };
    let mutated = case
        .mutate(snapshot, Timestamp::now())
        .expect("a creation is defaulted");
    let managed = object["metadata"]["managedFields"].take();
    object["metadata"]
        .as_object_mut()
        .expect("it is one")
        .remove("managedFields");
    json_patch::patch(&mut object, &mutated.patch).expect("the patch fits its object");
    object["metadata"]["managedFields"] = managed;
    object
}

fn snapshot() -> Snapshot {
    let mut objects = Objects::default();
    let mut take = |change| {
        objects.take(change);
    };
    for team in 0..10 {
        let labels = json!({"team": format!("{team}"), "stage": "production"});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("team-{team}"), "labels": labels}});
        take(Change::Namespace(Box::new(Event::Apply(
            serde_json::from_value(namespace).expect("a namespace"),
        ))));
    }
    let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "traefik"}});
    take(Change::Class(Box::new(Event::Apply(
        serde_json::from_value(class).expect("a class"),
    ))));
    for index in 0..POLICIES {
        let policy = json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": format!("policy-{index}")}, "spec": {
            "namespaceSelector": {"matchLabels": {"stage": "production"}},
            "enforcement": "Enforce",
            "defaults": {"ingressHost": "mcp.example.test"},
            "images": {"allowedRegistries": ["registry.test/mcp", "ghcr.io/acme"], "forbidMutableTags": true},
            "ingress": {"allowedHosts": ["mcp.example.test", "*.mcp.example.test"], "requireHost": true},
            "workload": {"forbidLiteralSecrets": true, "forbidHostAccess": true},
            "access": {"requireGateway": true, "maxSessionLifetime": "12h"},
            "limits": {"replicas": 5, "cpu": "4", "memory": "8Gi"}
        }});
        take(Change::Policy(Box::new(Event::Apply(
            serde_json::from_value(policy).expect("a policy"),
        ))));
    }
    for index in 0..SERVERS {
        let server = json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
            "metadata": {"name": format!("server-{index}"), "namespace": format!("team-{}", index % 10)},
            "spec": {"image": "registry.test/mcp/other:1.0.0", "ingressHost": "mcp.example.test", "tools": [{"name": "a"}, {"name": "b"}]}});
        take(Change::Server(Box::new(Event::Apply(
            serde_json::from_value(server).expect("a server"),
        ))));
    }
    Snapshot::default().rebuilt(&objects, &BTreeSet::from(Changed::ALL))
}
