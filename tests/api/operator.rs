//! The operator against a real API server: what it makes, what it leaves alone, and what it says.

use serde_json::{Value, json};
use tests::{Environment, eventually};

use crate::platform::{Platform, Turn};

/// One story, because two operators would share one lease.
#[test]
fn a_server_becomes_objects_and_a_status_that_tells_the_truth() {
    let _turn = Turn::wait();
    let platform = Platform::bare();
    let environment = &platform.environment;
    let (_operator, admin) = platform.start_operator();
    environment.with_namespace("operator", |namespace| {
        create(environment, namespace, &server("first", "/first/mcp"));
        everything_is_made_and_owned(environment, namespace);
        the_status_says_what_is_missing(environment, namespace);
        a_grant_reaches_the_bundle_and_not_the_pods(environment, namespace);
        what_is_deleted_comes_back_and_what_others_wrote_stays(environment, namespace);
        what_somebody_loosened_is_put_back(environment, namespace);
        somebody_elses_object_is_never_taken(environment, namespace);
        the_older_server_keeps_its_path(environment, namespace);
        an_invalid_server_gets_the_sentence_of_the_rule_and_nothing_else(environment, namespace);
        nothing_is_written_when_nothing_changed(environment, namespace, admin);
    });
}

fn server(name: &str, path: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": name},
        "spec": {"image": "registry.test/mcp/first:1", "ingressHost": "mcp.example.test", "ingressPath": path,
                 "tools": [{"name": "echo", "sideEffect": "read"}]}
    })
}

fn create(environment: &Environment, namespace: &str, object: &Value) {
    environment
        .kubectl_with(&["create", "-n", namespace, "-f", "-"], &object.to_string())
        .expect_ok();
}

fn condition(environment: &Environment, namespace: &str, name: &str, type_: &str) -> Option<Value> {
    let server = environment.get(&["mcpserver", name, "-n", namespace])?;
    server["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == type_)
        .cloned()
}

fn await_condition(
    environment: &Environment,
    namespace: &str,
    name: &str,
    type_: &str,
    reason: &str,
) -> String {
    eventually(&format!("{name} has {type_} with reason {reason}"), || {
        let found = condition(environment, namespace, name, type_);
        match &found {
            Some(c) if c["reason"] == reason => {
                Ok(c["message"].as_str().unwrap_or_default().to_owned())
            }
            _ => Err(format!("{found:?}")),
        }
    })
}

fn everything_is_made_and_owned(environment: &Environment, namespace: &str) {
    let objects = [
        "configmap/first-access",
        "secret/first-upstream",
        "serviceaccount/first-gateway",
        "role/first-gateway",
        "rolebinding/first-gateway",
        "networkpolicy/first",
        "service/first",
        "deployment/first",
        "ingress/first",
    ];
    for object in objects {
        let found = eventually(&format!("{object} exists"), || {
            environment
                .get(&[object, "-n", namespace])
                .ok_or_else(|| "not there".to_owned())
        });
        assert_eq!(
            found["metadata"]["ownerReferences"][0]["kind"], "MCPServer",
            "{object}"
        );
    }
}

fn the_status_says_what_is_missing(environment: &Environment, namespace: &str) {
    await_condition(environment, namespace, "first", "Accepted", "Accepted");
    await_condition(
        environment,
        namespace,
        "first",
        "DeploymentReady",
        "Unschedulable",
    );
    await_condition(
        environment,
        namespace,
        "first",
        "IngressReady",
        "RulesPresent",
    );
    let server = environment
        .get(&["mcpserver", "first", "-n", namespace])
        .expect("it is there");
    assert_eq!(server["status"]["url"], "http://mcp.example.test/first/mcp");
    assert_ne!(server["status"]["phase"], "Ready", "no pod can run here");
    assert_eq!(server["status"]["gatewayReady"], false);
}

fn bundle(environment: &Environment, namespace: &str) -> Value {
    let map = environment
        .get(&["configmap", "first-access", "-n", namespace])
        .expect("the bundle is there");
    serde_json::from_str(map["data"]["access.json"].as_str().expect("it has the key"))
        .expect("it is JSON")
}

fn a_grant_reaches_the_bundle_and_not_the_pods(environment: &Environment, namespace: &str) {
    let generation = |kind: &str| {
        environment
            .get(&[kind, "-n", namespace])
            .expect("it is there")["metadata"]["generation"]
            .clone()
    };
    let (before, pods) = (
        bundle(environment, namespace),
        generation("deployment/first"),
    );
    let grant = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant", "metadata": {"name": "alice"},
        "spec": {"serverRef": {"name": "first"}, "subject": {"humanID": "alice"}, "allowedSideEffects": ["read"],
                 "toolRules": [{"name": "echo"}, {"name": "no-such-tool"}]}
    });
    create(environment, namespace, &grant);
    let after = eventually("the grant is in the bundle", || {
        let bundle = bundle(environment, namespace);
        if bundle.to_string().contains("alice") {
            Ok(bundle)
        } else {
            Err(bundle.to_string())
        }
    });
    assert!(
        after["sequence"].as_u64() > before["sequence"].as_u64(),
        "the sequence grows"
    );
    assert_eq!(
        generation("deployment/first"),
        pods,
        "a grant must not roll the pods"
    );
    let status = eventually("the grant has a status", || {
        let grant = environment
            .get(&["mcpaccessgrant", "alice", "-n", namespace])
            .expect("it is there");
        if grant["status"]["matchedTools"] == 1 {
            Ok(grant["status"].clone())
        } else {
            Err(grant.to_string())
        }
    });
    assert_eq!(status["deadRules"], json!(["no-such-tool"]));
}

fn what_is_deleted_comes_back_and_what_others_wrote_stays(
    environment: &Environment,
    namespace: &str,
) {
    environment
        .kubectl(&[
            "annotate",
            "deployment",
            "first",
            "-n",
            namespace,
            "example.com/theirs=1",
        ])
        .expect_ok();
    let uid = environment
        .get(&["service/first", "-n", namespace])
        .expect("it is there")["metadata"]["uid"]
        .clone();
    environment
        .kubectl(&["delete", "service", "first", "-n", namespace])
        .expect_ok();
    eventually("the Service is made again", || {
        match environment.get(&["service/first", "-n", namespace]) {
            Some(service) if service["metadata"]["uid"] != uid => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    environment
        .kubectl(&[
            "scale",
            "deployment",
            "first",
            "-n",
            namespace,
            "--replicas=7",
        ])
        .expect_ok();
    eventually("our own field is put back", || {
        let deployment = environment
            .get(&["deployment/first", "-n", namespace])
            .expect("it is there");
        let theirs = &deployment["metadata"]["annotations"]["example.com/theirs"];
        assert_eq!(theirs, "1", "an annotation of somebody else is gone");
        if deployment["spec"]["replicas"] == 1 {
            Ok(())
        } else {
            Err(deployment["spec"]["replicas"].to_string())
        }
    });
}

/// Hardening and selectors are ours: whoever loosens them is put right, also by leaving a field out.
fn what_somebody_loosened_is_put_back(environment: &Environment, namespace: &str) {
    let patch = |object: &str, patch: &str| {
        environment
            .kubectl(&[
                "patch",
                object,
                "-n",
                namespace,
                "--type=merge",
                "-p",
                patch,
            ])
            .expect_ok();
    };
    patch("service/first", r#"{"spec":{"selector":{"foo":"bar"}}}"#);
    patch(
        "deployment/first",
        r#"{"spec":{"template":{"spec":{"automountServiceAccountToken":null}}}}"#,
    );
    eventually("selector and hardening are put back", || {
        let get = |object| {
            environment
                .get(&[object, "-n", namespace])
                .expect("it is there")
        };
        let selector = get("service/first")["spec"]["selector"].clone();
        let automount =
            get("deployment/first")["spec"]["template"]["spec"]["automountServiceAccountToken"]
                .clone();
        if selector["foo"].is_null() && automount == false {
            Ok(())
        } else {
            Err(format!("{selector} {automount}"))
        }
    });
}

fn somebody_elses_object_is_never_taken(environment: &Environment, namespace: &str) {
    environment
        .kubectl(&[
            "create",
            "service",
            "clusterip",
            "taken",
            "-n",
            namespace,
            "--tcp=80:80",
        ])
        .expect_ok();
    let before = environment
        .get(&["service/taken", "-n", namespace])
        .expect("it is there");
    create(environment, namespace, &server("taken", "/taken/mcp"));
    let message = await_condition(environment, namespace, "taken", "Accepted", "NameConflict");
    assert!(message.contains("Service taken"), "{message}");
    assert_eq!(
        environment
            .get(&["service/taken", "-n", namespace])
            .expect("it is there"),
        before
    );
    assert!(
        environment
            .get(&["deployment/taken", "-n", namespace])
            .is_none(),
        "half a server was built"
    );
}

fn the_older_server_keeps_its_path(environment: &Environment, namespace: &str) {
    environment.with_namespace("rival", |rival| {
        create(environment, rival, &server("second", "/first/mcp"));
        let message = await_condition(environment, rival, "second", "Accepted", "HostPathConflict");
        assert!(message.contains("MCP0205"), "{message}");
        assert!(
            environment.get(&["ingress/second", "-n", rival]).is_none(),
            "the path was taken"
        );
        let first = condition(environment, namespace, "first", "Accepted").expect("it is there");
        assert_eq!(first["status"], "True", "the older server lost its path");
    });
}

fn an_invalid_server_gets_the_sentence_of_the_rule_and_nothing_else(
    environment: &Environment,
    namespace: &str,
) {
    let mut bad = server("bad", "/bad/mcp");
    bad["spec"]["image"] = json!("https://registry.test/mcp/first");
    create(environment, namespace, &bad);
    let message = await_condition(environment, namespace, "bad", "Accepted", "Invalid");
    assert!(message.contains("MCP0101"), "{message}");
    assert!(
        environment
            .get(&["deployment/bad", "-n", namespace])
            .is_none()
    );
}

fn nothing_is_written_when_nothing_changed(environment: &Environment, namespace: &str, admin: u16) {
    let counters = |name: &str, label: &str| -> f64 {
        let metrics = Platform::metrics(admin);
        let lines = metrics
            .lines()
            .filter(|l| l.starts_with(name) && l.contains(label));
        lines
            .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    let reconciles = || counters("mcp_operator_reconcile_seconds_count", "MCPServer");
    let touch = |value: &str| {
        let seen = reconciles();
        let annotation = format!("example.com/touched={value}");
        environment
            .kubectl(&[
                "annotate",
                "mcpserver",
                "first",
                "-n",
                namespace,
                "--overwrite",
                &annotation,
            ])
            .expect_ok();
        eventually("the server is reconciled", || {
            if reconciles() > seen {
                Ok(())
            } else {
                Err("not yet".to_owned())
            }
        });
    };
    touch("once");
    let before = counters("mcp_operator_writes_total", "");
    touch("twice");
    assert!(
        (counters("mcp_operator_writes_total", "") - before).abs() < f64::EPSILON,
        "a reconcile wrote without a change"
    );
}
