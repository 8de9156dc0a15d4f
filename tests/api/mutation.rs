//! `/mutate` through a real API server: called again after another mutation it adds nothing, and a dry run stores
//! nothing else than the real one does.

use serde_json::{Value, json};
use tests::{Environment, eventually};

use crate::platform::{Platform, WEBHOOK_LABEL};

/// Writes down the host that it sees: none before our default, and so another text after it.
const SEEN: &str = "Object{spec: Object.spec{description: has(object.spec.ingressHost) ? 'seen with ' + object.spec.ingressHost : 'seen without'}}";

/// A policy that gives the servers of the test's namespace a host.
fn policy(name: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": name},
        "spec": {
            "namespaceSelector": {"matchLabels": {WEBHOOK_LABEL: "true"}},
            "defaults": {"ingressHost": "mcp.example.test", "labels": {"defaulted": "yes"}},
            "ingress": {"allowedHosts": ["mcp.example.test"]},
        },
    })
}

/// Somebody else's mutation, which depends on our default: it comes before our webhook and again after it.
fn second_mutation(name: &str) -> [Value; 2] {
    let resources = json!([{
        "apiGroups": ["kubectl-mcp.dev"], "apiVersions": ["v1alpha1"], "operations": ["CREATE"], "resources": ["mcpservers"],
    }]);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {WEBHOOK_LABEL: "true"}}, "resourceRules": resources,
            },
            "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
            "mutations": [{
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {"expression": SEEN},
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name},
    });
    [policy, binding]
}

fn server(name: &str) -> String {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": name},
        "spec": {"image": "registry.test/mcp/everything:1.0.0", "tools": [{"name": "echo", "sideEffect": "read"}]},
    })
    .to_string()
}

fn created(environment: &Environment, namespace: &str, name: &str, arguments: &[&str]) -> Value {
    let arguments = [
        &["create", "-n", namespace, "-o", "json", "-f", "-"],
        arguments,
    ]
    .concat();
    let text = environment
        .kubectl_with(&arguments, &server(name))
        .expect_ok();
    serde_json::from_str(&text).expect("kubectl prints JSON")
}

/// What is different for every object that is created.
fn without_identity(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().expect("it has metadata");
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
    ] {
        metadata.remove(field);
    }
    object
}

#[test]
fn a_second_call_of_mutate_adds_nothing_and_a_dry_run_is_identical() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    let webhook = platform.start_webhook();
    let name = format!("test-mutation-{}", std::process::id());
    let mutation = second_mutation(&name);
    let cleanup = Cleanup(environment, &name);
    platform.apply(&policy(&name));
    environment.with_namespace("mutation", |namespace| {
        Platform::ask_in(environment, namespace);
        eventually("our default is there", || {
            let server = created(environment, namespace, "early", &["--dry-run=server"]);
            if server["spec"]["ingressHost"] == "mcp.example.test" {
                Ok(())
            } else {
                Err(server.to_string())
            }
        });
        for object in &mutation {
            platform.apply(object);
        }
        eventually("the other mutation is there", || {
            let server = created(environment, namespace, "early", &["--dry-run=server"]);
            if server["spec"]["description"] == "seen with mcp.example.test" {
                Ok(())
            } else {
                Err(server.to_string())
            }
        });

        let calls = || decisions(webhook.admin);
        let before = calls();
        let dry = created(environment, namespace, "one", &["--dry-run=server"]);
        assert_eq!(
            calls() - before,
            2,
            "it is called again after the other mutation"
        );
        let real = created(environment, namespace, "one", &[]);
        assert_eq!(calls() - before, 4);
        assert_eq!(without_identity(dry), without_identity(real.clone()));

        assert_eq!(real["spec"]["description"], "seen with mcp.example.test");
        let annotations = &real["metadata"]["annotations"];
        let defaulted = annotations["kubectl-mcp.dev/defaulted"]
            .as_str()
            .expect("it says what it filled in");
        assert_eq!(defaulted.matches("ingressHost").count(), 1, "{defaulted}");
        assert!(
            !defaulted.contains("description"),
            "that was not ours: {defaulted}"
        );
        assert_eq!(annotations["kubectl-mcp.dev/requested-by"], "admin");
        assert_eq!(real["metadata"]["labels"]["defaulted"], "yes");
        assert_no_patch(environment, webhook.port, &real, namespace);
    });
    drop(cleanup);
}

/// The same object sent to `/mutate` directly, as it was stored: nothing is left to fill in.
fn assert_no_patch(environment: &Environment, port: u16, stored: &Value, namespace: &str) {
    let trusted = crate::certificates::bundle(environment, "mutatingwebhookconfiguration");
    let server = tests::Server::trusting(port, trusted.expect("a bundle").as_bytes());
    let kind = json!({"group": "kubectl-mcp.dev", "version": "v1alpha1", "kind": "MCPServer"});
    let resource =
        json!({"group": "kubectl-mcp.dev", "version": "v1alpha1", "resource": "mcpservers"});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "11111111-2222-3333-4444-555555555555", "kind": kind, "resource": resource, "requestKind": kind,
            "requestResource": resource, "name": "one", "namespace": namespace, "operation": "CREATE",
            "userInfo": {"username": "admin", "groups": groups(stored)},
            "object": stored, "oldObject": null, "dryRun": true, "options": null,
        },
    });
    let mut kept = server.connect().expect("it listens");
    let answer = kept
        .post("/mutate", &review.to_string())
        .expect("it answers");
    let answer: Value = serde_json::from_str(&answer.body).expect("it answers JSON");
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    assert_eq!(answer["response"].get("patch"), None, "{answer}");
}

/// The groups as the stamp has them, so that the stamp needs no change.
fn groups(stored: &Value) -> Value {
    let stamp = stored["metadata"]["annotations"]["kubectl-mcp.dev/requested-by-groups"].as_str();
    stamp
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_else(|| json!([]))
}

/// How often `/mutate` decided about a server.
fn decisions(admin: u16) -> u64 {
    let text = Platform::metrics(admin);
    let counts = text.lines().filter(|line| {
        line.starts_with("mcp_webhook_decision_seconds_count")
            && line.contains("door=\"mutate\"")
            && line.contains("kind=\"MCPServer\"")
    });
    counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

struct Cleanup<'a>(&'a Environment, &'a str);

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        for kind in [
            "mutatingadmissionpolicybinding",
            "mutatingadmissionpolicy",
            "mcppolicy",
        ] {
            self.0
                .kubectl(&["delete", kind, self.1, "--ignore-not-found"]);
        }
    }
}
