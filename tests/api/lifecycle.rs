//! What comes after an object was created: scaling, its status, its way out; and objects without a name.

use serde_json::{Value, json};
use tests::{Environment, eventually};

use crate::denials::grant_rights;
use crate::door::{Door, delete, teams, write};
use crate::platform::Platform;

const TEAM: &str = "team-lifecycle";
const MEMBER: [&str; 3] = [
    "--as=alice@example.com",
    "--as-group=team-a",
    "--as-group=test:requesters",
];
const GRANTER: &str = "--as-group=test:granters";

fn server(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": name, "namespace": TEAM},
        "spec": {"image": image, "ingressHost": "lifecycle.example.com", "ingressPath": format!("/{name}"),
                 "tools": [{"name": "forecast", "sideEffect": "read"}]}
    })
}

fn policy(spec: &Value) -> Value {
    let mut policy = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": TEAM}, "spec": spec
    });
    policy["spec"]["namespaceSelector"] =
        json!({"matchLabels": {"kubernetes.io/metadata.name": TEAM}});
    policy
}

/// One story, because all of it needs the one webhook.
#[test]
fn an_object_is_judged_for_as_long_as_it_lives() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    teams(environment, &[TEAM]);
    grant_rights(environment);
    write(environment, &policy(&json!({"limits": {"replicas": 3}})));
    let webhook = platform.start_webhook();
    let door = Door::of(environment, &webhook);
    write(environment, &server("weather", "ghcr.io/acme/weather:1"));
    door.catch_up();
    a_server_is_scaled_within_its_limits(environment);
    a_name_that_is_still_to_be_made_is_no_obstacle(environment);
    a_server_on_its_way_out_may_lose_its_finalizer_and_nothing_else(environment);
    a_denial_is_deleted_only_by_whom_may_grant(environment, &door);
    a_status_is_written_whatever_the_rules_say(environment, &door);
    a_dry_run_of_every_verb_is_judged_the_same(environment);
    delete(
        environment,
        &["mcpservers,mcpaccessgrants", "--all", "-n", TEAM],
    );
    delete(environment, &["mcppolicy", TEAM]);
}

fn replicas(environment: &Environment) -> Value {
    environment
        .get(&["mcpserver", "weather", "-n", TEAM])
        .expect("it is there")["spec"]["replicas"]
        .clone()
}

fn a_server_is_scaled_within_its_limits(environment: &Environment) {
    let scale = |replicas: &str| {
        environment.kubectl(&[
            "scale",
            "mcpserver",
            "weather",
            "-n",
            TEAM,
            &format!("--replicas={replicas}"),
        ])
    };
    for allowed in ["0", "1"] {
        let said = scale(allowed);
        assert!(
            !said.text().contains("Warning"),
            "an autoscaler would log this for ever: {}",
            said.text()
        );
        said.expect_ok();
        assert_eq!(replicas(environment).to_string(), allowed);
    }
    let said = scale("4").expect_failure();
    assert!(said.contains("(MCP0316)"), "{said}");
    assert_eq!(replicas(environment), 1);
}

fn a_name_that_is_still_to_be_made_is_no_obstacle(environment: &Environment) {
    let mut nameless = server("x", "ghcr.io/acme/weather:1");
    nameless["metadata"] = json!({"generateName": "forecast-", "namespace": TEAM});
    nameless["spec"]["ingressPath"] = "/generated".into();
    let create =
        |object: &Value| environment.kubectl_with(&["create", "-f", "-"], &object.to_string());
    let out = create(&nameless).expect_ok();
    assert!(
        out.starts_with("mcpserver.kubectl-mcp.dev/forecast-"),
        "{out}"
    );
    nameless["spec"]["image"] = "ghcr.io/acme/Weather:1".into();
    let said = create(&nameless).expect_failure();
    assert!(
        said.contains("(MCP0101)") && said.contains("forecast-"),
        "{said}"
    );
}

fn a_server_on_its_way_out_may_lose_its_finalizer_and_nothing_else(environment: &Environment) {
    let mut leaving = server("leaving", "ghcr.io/acme/weather:1");
    leaving["metadata"]["finalizers"] = json!(["test.kubectl-mcp.dev/hold"]);
    write(environment, &leaving);
    environment
        .kubectl(&["delete", "mcpserver", "leaving", "-n", TEAM, "--wait=false"])
        .expect_ok();
    let patch = |patch: &str| {
        environment.kubectl(&[
            "patch",
            "mcpserver",
            "leaving",
            "-n",
            TEAM,
            "--type=merge",
            "-p",
            patch,
        ])
    };
    patch(r#"{"metadata":{"labels":{"colour":"blue"}}}"#).expect_ok();
    let said = patch(r#"{"spec":{"image":"ghcr.io/acme/weather:2"}}"#).expect_failure();
    assert!(said.contains("(MCP0912)"), "{said}");
    patch(r#"{"metadata":{"finalizers":null}}"#).expect_ok();
    eventually("the server is gone", || {
        environment
            .get(&["mcpserver", "leaving", "-n", TEAM])
            .map_or(Ok(()), |_| Err("still there".to_owned()))
    });
}

fn a_denial_is_deleted_only_by_whom_may_grant(environment: &Environment, door: &Door<'_>) {
    let denial = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
        "metadata": {"name": "no-bob", "namespace": TEAM},
        "spec": {"serverRef": {"name": "weather"}, "effect": "Deny", "subject": {"humanID": "bob@example.com"}}
    });
    write(environment, &denial);
    door.catch_up();
    let delete = ["delete", "mcpaccessgrant", "no-bob", "-n", TEAM];
    let said = environment
        .kubectl(&[&delete[..], &MEMBER].concat())
        .expect_failure();
    assert!(
        said.contains("(MCP0607)") && said.contains("Forbidden"),
        "{said}"
    );
    environment
        .kubectl(&[&delete[..], &MEMBER, &[GRANTER]].concat())
        .expect_ok();
}

fn a_status_is_written_whatever_the_rules_say(environment: &Environment, door: &Door<'_>) {
    write(
        environment,
        &policy(
            &json!({"limits": {"replicas": 3}, "images": {"allowedRegistries": ["other.test"]}}),
        ),
    );
    door.catch_up();
    let status = r#"{"status":{"message":"seen"},"spec":{"image":"evil.test/x:1"}}"#;
    let arguments = [
        "patch",
        "mcpserver",
        "weather",
        "-n",
        TEAM,
        "--type=merge",
        "--subresource=status",
        "-p",
        status,
    ];
    environment.kubectl(&arguments).expect_ok();
    let server = environment
        .get(&["mcpserver", "weather", "-n", TEAM])
        .expect("it is there");
    assert_eq!(server["status"]["message"], "seen");
    assert_eq!(
        server["spec"]["image"], "ghcr.io/acme/weather:1",
        "a status changes no spec"
    );
}

fn a_dry_run_of_every_verb_is_judged_the_same(environment: &Environment) {
    let bad = server("bad", "ghcr.io/acme/Bad:1").to_string();
    let file = |verb: &str, dry: &[&str]| {
        environment
            .kubectl_with(&[&[verb, "-f", "-"], dry].concat(), &bad)
            .expect_failure()
    };
    let plain = |arguments: &[&str], dry: &[&str]| {
        environment
            .kubectl(&[arguments, dry].concat())
            .expect_failure()
    };
    let dry = ["--dry-run=server"];
    for verb in ["create", "apply"] {
        assert_eq!(file(verb, &[]), file(verb, &dry), "{verb}");
    }
    let scale = ["scale", "mcpserver", "weather", "-n", TEAM, "--replicas=4"];
    assert_eq!(plain(&scale, &[]), plain(&scale, &dry));
    let patch = [
        "patch",
        "mcpserver",
        "weather",
        "-n",
        TEAM,
        "--type=merge",
        "-p",
        r#"{"spec":{"port":8091}}"#,
    ];
    assert_eq!(plain(&patch, &[]), plain(&patch, &dry));
}
