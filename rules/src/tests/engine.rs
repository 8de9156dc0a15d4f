//! How findings come about: all at once, each precise, and none for what could not be looked up.

use serde_json::{Value, json};

use super::{errors, nothing_there, server, server_fact, with_policies};
use crate::{Facts, Known, Operation, check};

/// Five mistakes that anybody makes.
fn five_mistakes() -> Value {
    server(json!({
        "image": "registry.test/mcp-evil/everything:1.0.0",
        "imageTag": "1.0.0",
        "ingressHost": "mcp.example.org",
        "port": 8091,
        "env": [{"name": "API_TOKEN", "value": "hunter2-hunter2"}],
        "tools": [{"name": "echo", "sideEffect": "read"}]
    }))
}

fn strict() -> Facts {
    with_policies(json!([["default", {
        "images": {"allowedRegistries": ["registry.test/mcp"]},
        "ingress": {"allowedHosts": ["mcp.example.test"], "requireHost": true},
        "defaults": {"ingressHost": "mcp.example.test"},
        "workload": {"forbidLiteralSecrets": true}
    }]]))
}

#[test]
fn five_mistakes_come_out_at_once_each_with_field_code_and_hint() {
    let findings = check(Some(&five_mistakes()), None, &strict());
    assert_eq!(
        errors(&findings),
        [
            ("MCP0308", "spec.env[0].value"),
            ("MCP0102", "spec.image"),
            ("MCP0105", "spec.imageTag"),
            ("MCP0204", "spec.ingressHost"),
            ("MCP0304", "spec.port"),
        ]
    );
    assert!(findings.errors().all(|finding| finding.hint.is_some()));
    let lines: Vec<_> = findings.errors().map(ToString::to_string).collect();
    assert_eq!(
        lines[1],
        "spec.image: Invalid value: \"registry.test/mcp-evil/everything:1.0.0\": must be in an allowed registry; nearest \
         entry is 'registry.test/mcp' in MCPPolicy 'default' (MCP0102); hint: image: registry.test/mcp/everything:1.0.0"
    );
}

#[test]
fn what_the_hints_say_is_then_admitted() {
    let mut object = five_mistakes();
    object["spec"]["image"] = json!("registry.test/mcp/everything:1.0.0");
    object["spec"].as_object_mut().unwrap().remove("imageTag");
    object["spec"]["ingressHost"] = json!("mcp.example.test");
    object["spec"]["port"] = json!(8088);
    object["spec"]["env"][0] = json!({"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "new-secrets", "key": "API_TOKEN"}}});
    assert_eq!(errors(&check(Some(&object), None, &strict())), []);
}

#[test]
fn a_secret_value_is_never_printed() {
    for value in [
        json!("hunter2-hunter2"),
        json!(20_30_40),
        json!(["hunter2-hunter2"]),
    ] {
        let object = server(
            json!({"image": "ghcr.io/a/b:1", "env": [{"name": "API_TOKEN", "value": value}]}),
        );
        let text = format!("{:?}", check(Some(&object), None, &strict()));
        assert!(
            !text.contains("hunter2") && !text.contains("203040"),
            "{text}"
        );
    }
}

#[test]
fn schema_and_rules_speak_at_once() {
    let object = server(json!({
        "image": 5, "replicas": "two", "tools": [{"name": "a b"}, {"sideEffect": "eat"}], "ingressHost": "X.example.com"
    }));
    let findings = check(Some(&object), None, &nothing_there());
    assert_eq!(
        errors(&findings),
        [
            ("MCP0911", "spec.image"),
            ("MCP0201", "spec.ingressHost"),
            ("MCP0911", "spec.replicas"),
            ("MCP0501", "spec.tools[0].name"),
            ("MCP0911", "spec.tools[1].name"),
            ("MCP0911", "spec.tools[1].sideEffect"),
        ]
    );
}

#[test]
fn the_precise_rule_speaks_instead_of_the_schema() {
    let object = server(json!({"image": "ghcr.io/a/b:1", "port": 70000}));
    assert_eq!(
        errors(&check(Some(&object), None, &nothing_there())),
        [("MCP0304", "spec.port")]
    );
}

#[test]
fn unknown_facts_are_unchecked_and_never_pass_for_checked() {
    let object = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": "a", "namespace": "n"},
        "spec": {"image": "ghcr.io/acme/b:1", "ingressHost": "a.example.com"}
    });
    let findings = check(Some(&object), None, &Facts::default());
    let unchecked: Vec<_> = findings.unchecked().map(|finding| finding.code).collect();
    for code in ["MCP0102", "MCP0204", "MCP0205", "MCP0208", "MCP0303"] {
        assert!(unchecked.contains(&code), "{code}: {unchecked:?}");
    }
    assert!(!findings.is_refused());
}

#[test]
fn the_hint_of_a_taken_route_is_free() {
    let mut facts = nothing_there();
    let theirs = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": "new", "namespace": "team-b"},
        "spec": {"image": "ghcr.io/a/b:1", "ingressHost": "mcp.example.com"}
    });
    facts.servers = vec![server_fact(&theirs)].into();
    let mut object = server(json!({"image": "ghcr.io/a/b:1", "ingressHost": "mcp.example.com"}));
    let findings = check(Some(&object), None, &facts);
    let hint = findings.errors().next().unwrap().hint.clone().unwrap();
    assert_eq!(hint, "ingressPath: /team-a/new/mcp");
    object["spec"]["ingressPath"] = json!("/team-a/new/mcp");
    assert!(!check(Some(&object), None, &facts).is_refused());
}

#[test]
fn what_is_none_of_our_kinds_has_no_findings() {
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": 5});
    assert!(check(Some(&object), None, &nothing_there()).is_empty());
}

#[test]
fn an_object_judged_as_it_stands_is_not_asked_who_made_it_or_when() {
    let object = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession",
        "metadata": {"name": "s", "namespace": "team-a"},
        "spec": {"serverRef": {"name": "x"}, "subject": {"humanID": "bob"}, "tokenHash": "0".repeat(64),
                 "expiresAt": "2020-01-01T00:00:00Z"}
    });
    let facts = Facts {
        operation: Some(Operation::Live),
        requester: Known::Unknown,
        ..nothing_there()
    };
    let findings = check(Some(&object), None, &facts);
    assert!(
        !findings.is_refused() && findings.unchecked().next().is_none(),
        "{findings:?}"
    );
}

#[test]
fn a_server_whose_name_the_api_server_will_make_has_no_path_yet() {
    let mut object =
        server(json!({"image": "ghcr.io/acme/x:1.0.0", "ingressHost": "mcp.example.test"}));
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("name");
    metadata.insert("generateName".to_owned(), json!("x-"));
    assert_eq!(errors(&check(Some(&object), None, &nothing_there())), []);
}
