//! What the tests of the two routes share: a cluster, requests and a way to send them.

mod answers;
mod hostile;
mod policies;

use axum::http::Request as Http;
use base64::Engine as _;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::cache::{Change, Objects};
use crate::snapshot::Changed;

const YES: &str = r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","metadata":{},"spec":{},"status":{"allowed":true}}"#;
const NO: &str = r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","metadata":{},"spec":{},"status":{"allowed":false}}"#;

/// An API server that gives this answer to every question, or none.
fn asker(reply: Option<&'static str>, deadline: Duration) -> Asker {
    let service = tower::service_fn(move |_: http::Request<kube::client::Body>| async move {
        let Some(reply) = reply else {
            return std::future::pending().await;
        };
        Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::from(
            reply.as_bytes().to_vec(),
        )))
    });
    Asker::new(
        Client::new(service, "default"),
        deadline,
        Metrics::default(),
    )
}

fn parsed<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

fn policy() -> Value {
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": "default"}, "spec": {
        "enforcement": "Enforce",
        "defaults": {"ingressHost": "mcp.example.test"},
        "images": {"allowedRegistries": ["registry.test/mcp"]},
        "ingress": {"allowedHosts": ["mcp.example.test"], "requireHost": true},
        "workload": {"forbidLiteralSecrets": true}
    }})
}

fn server(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": name, "namespace": "team-a"}, "spec": spec})
}

fn good() -> Value {
    server(
        "weather",
        &json!({"image": "registry.test/mcp/weather:1.0.0", "tools": [{"name": "forecast"}]}),
    )
}

/// As it would be stored: with defaults and stamps.
fn stored() -> Value {
    let mut object = good();
    object["metadata"]["annotations"] = json!({
        "kubectl-mcp.dev/requested-by": "alice",
        "kubectl-mcp.dev/requested-by-groups": "[\"team-a\"]",
        "kubectl-mcp.dev/edited-by": "alice",
        "kubectl-mcp.dev/defaulted": "{\"spec.ingressHost\":\"default\"}",
    });
    object["spec"]["ingressHost"] = "mcp.example.test".into();
    object
}

fn bad() -> Value {
    server(
        "bad",
        &json!({
            "image": "registry.test/mcp-evil/weather:1.0.0",
            "imageTag": "2.0.0",
            "ingressHost": "other.example.test",
            "port": 8091,
            "env": [{"name": "API_TOKEN", "value": "s3cr3t-value"}],
            "tools": [{"name": "forecast"}],
        }),
    )
}

fn session(human: &str) -> Value {
    let expires = Timestamp::now() + jiff::SignedDuration::from_mins(30);
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession",
        "metadata": {"name": "s", "namespace": "team-a", "annotations": {
            "kubectl-mcp.dev/requested-by": "alice", "kubectl-mcp.dev/requested-by-groups": "[]"}},
        "spec": {"serverRef": {"name": "weather"}, "subject": {"humanID": human}, "consentedTrust": "low",
            "expiresAt": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "tokenHash": "a".repeat(64)}})
}

fn snapshot() -> Snapshot {
    let mut objects = Objects::default();
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}});
    let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "traefik"}});
    objects.take(Change::Policy(Box::new(Event::Apply(parsed(policy())))));
    objects.take(Change::Server(Box::new(Event::Apply(parsed(stored())))));
    objects.take(Change::Namespace(Box::new(Event::Apply(parsed(namespace)))));
    objects.take(Change::Class(Box::new(Event::Apply(parsed(class)))));
    Snapshot::default().rebuilt(&objects, &Changed::ALL.into())
}

fn app_with(asker: Asker, concurrency: u32) -> Arc<App> {
    let published = Published::default();
    published.store(Some(Arc::new(snapshot())));
    Arc::new(App::new(
        published,
        asker,
        Metrics::default(),
        concurrency,
        CancellationToken::new(),
    ))
}

fn app() -> Arc<App> {
    app_with(asker(Some(NO), Duration::from_millis(500)), 8)
}

fn resource(kind: &str) -> String {
    let known = rules::Kind::ALL
        .into_iter()
        .find(|known| known.as_str() == kind);
    known.map_or_else(
        || format!("{}s", kind.to_lowercase()),
        |known| known.plural().to_owned(),
    )
}

fn review(operation: &str, object: Option<&Value>, old: Option<&Value>) -> Value {
    let judged = object.or(old).unwrap();
    let kind = judged["kind"].as_str().unwrap();
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "7d0ff8a5-1", "operation": operation,
        "kind": {"group": "kubectl-mcp.dev", "version": "v1alpha1", "kind": kind},
        "resource": {"group": "kubectl-mcp.dev", "version": "v1alpha1", "resource": resource(kind)},
        "name": judged["metadata"]["name"], "namespace": "team-a",
        "userInfo": {"username": "alice", "groups": ["team-a"]},
        "object": object, "oldObject": old, "dryRun": false,
    }})
}

async fn send(app: &Arc<App>, path: &str, body: impl Into<Body>) -> HttpResponse {
    let request = Http::post(path)
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap();
    router(Arc::clone(app)).oneshot(request).await.unwrap()
}

async fn json_of(response: HttpResponse) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// The response inside the review.
async fn ask(app: &Arc<App>, path: &str, review: &Value) -> Value {
    let answer = json_of(send(app, path, review.to_string()).await).await;
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    answer["response"].clone()
}

fn codes_of(response: &Value) -> Vec<String> {
    let annotation = response["auditAnnotations"]["refused-by"]
        .as_str()
        .unwrap_or_default();
    annotation.split(',').map(str::to_owned).collect()
}

fn apply(object: &Value, response: &Value) -> Value {
    let mut object = object.clone();
    let text = response["patch"].as_str().expect("there is a patch");
    assert_eq!(response["patchType"], "JSONPatch");
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    json_patch::patch(
        &mut object,
        &serde_json::from_slice::<json_patch::Patch>(&bytes).unwrap(),
    )
    .unwrap();
    object
}
