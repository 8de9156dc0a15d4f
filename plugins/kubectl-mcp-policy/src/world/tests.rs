//! What the rules say where the tools, prompts and resources of a namespace are known, in part or not at all.
#![allow(clippy::unwrap_used)]

use std::slice::from_ref;

use rules::{Finding, Severity};
use serde_json::json;

use super::*;
use crate::manifests;

const ITEMS: [Kind; 3] = [Kind::Tool, Kind::Prompt, Kind::Resource];

fn tool(name: &str, label: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPTool",
        "metadata": {"name": name, "namespace": "team-a", "labels": {"mcp-server": label}},
        "spec": {"name": "search", "service": {"name": "github", "port": 8080}},
    })
}

fn server() -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": "main", "namespace": "team-a"},
        "spec": {"ingressHost": "mcp.example.com", "toolSelector": {"matchLabels": {"mcp-server": "main"}}},
    })
}

/// A cluster of which all servers and these kinds of the namespace were listed.
fn cluster(listed: &[Kind], objects: &[Value]) -> Stored {
    let mut stored = Stored::default();
    stored.listed.insert((Kind::Server, String::new()));
    for kind in listed {
        stored.listed.insert((*kind, "team-a".to_owned()));
    }
    for object in objects {
        let kind = rules::kind_of(object).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let mut object = object.clone();
        object["metadata"]["uid"] = "u".into();
        stored
            .objects
            .insert((kind, "team-a".to_owned(), name), object);
    }
    stored
}

/// What one rule says of the objects of a run, in their order.
fn said(stored: Stored, run: &[Value], code: &str) -> Vec<Finding> {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("run.json");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": run});
    std::fs::write(&file, list.to_string()).unwrap();
    let run = manifests::read(&[file], false);
    let setting = Setting {
        policies_named: false,
        namespace: "default".to_owned(),
    };
    let now = "2026-06-01T12:00:00Z".parse().unwrap();
    let world = World::new(stored, &run, &Read::default(), &setting, now).unwrap();
    run.ours()
        .flat_map(|(kind, object)| world.check(&world.case(kind, object)))
        .filter(|finding| finding.code == code)
        .collect()
}

fn severities(findings: &[Finding]) -> Vec<Severity> {
    findings.iter().map(|finding| finding.severity).collect()
}

#[test]
fn a_selector_that_matches_nothing_in_the_cluster_is_a_warning_with_the_nearest_tool() {
    let stored = cluster(&ITEMS, &[tool("search", "mian")]);
    let found = said(stored, &[server()], "MCP0803");
    assert_eq!(severities(&found), [Severity::Warning], "{found:?}");
    let hint = found[0].hint.as_deref().unwrap();
    assert!(hint.contains("nearest is MCPTool 'search'"), "{hint}");

    let nothing = said(cluster(&ITEMS, &[]), &[server()], "MCP0803");
    assert_eq!(severities(&nothing), [Severity::Warning], "{nothing:?}");
}

#[test]
fn a_selector_that_matches_something_in_the_cluster_or_in_the_run_is_none() {
    let stored = cluster(&ITEMS, &[tool("search", "main")]);
    assert_eq!(said(stored, &[server()], "MCP0803"), []);
    let run = [server(), tool("search", "main")];
    assert_eq!(said(cluster(&ITEMS, &[]), &run, "MCP0803"), []);
    assert_eq!(said(Stored::default(), &run, "MCP0803"), []);
}

#[test]
fn what_a_selector_misses_may_be_where_nobody_could_look() {
    for (stored, run) in [
        (Stored::default(), vec![server()]),
        (Stored::default(), vec![server(), tool("search", "mian")]),
        (
            cluster(&[Kind::Tool], &[tool("search", "mian")]),
            vec![server()],
        ),
    ] {
        let found = said(stored, &run, "MCP0803");
        assert_eq!(severities(&found), [Severity::Unchecked], "{found:?}");
    }
}

#[test]
fn two_tools_of_one_name_are_an_error_whatever_else_could_not_be_looked_at() {
    let two = [tool("issues", "main"), tool("search", "main")];
    let found = said(cluster(&[Kind::Tool], &two), &[server()], "MCP0801");
    assert_eq!(severities(&found), [Severity::Error], "{found:?}");
    let stored = || cluster(&[Kind::Tool], &[tool("issues", "main")]);
    let run = [server(), tool("search", "main")];
    let found = said(stored(), &run, "MCP0801");
    assert_eq!(
        severities(&found),
        [Severity::Error, Severity::Error],
        "{found:?}"
    );
    // The one of the run takes the place of the one of its name.
    let same = [server(), tool("issues", "main")];
    let found = said(stored(), &same, "MCP0801");
    assert!(!severities(&found).contains(&Severity::Error), "{found:?}");
}

/// A cluster of which everything that a policy is for was listed.
fn whole_cluster(objects: &[Value]) -> Stored {
    let mut stored = cluster(&[], &[]);
    for kind in [Kind::Server, Kind::Grant, Kind::Session, Kind::Policy] {
        stored.listed.insert((kind, String::new()));
    }
    stored.all_namespaces = true;
    for object in objects {
        let kind = rules::kind_of(object).unwrap();
        let text = |field: &str| {
            object["metadata"][field]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        if kind.is_namespaced() {
            stored.take_namespace(&text("namespace"), BTreeMap::new());
        }
        let mut object = object.clone();
        object["metadata"]["uid"] = "u".into();
        let key = (kind, text("namespace"), text("name"));
        stored.objects.insert(key, object);
    }
    stored
}

fn policy(spec: &Value) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": "default"}, "spec": spec,
    })
}

fn live_objects() -> [Value; 2] {
    let server = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": "weather", "namespace": "team-b"},
        "spec": {"image": "ghcr.io/acme/weather:1.0.0", "ingressHost": "mcp.example.com", "tools": [{"name": "t"}]},
    });
    let grant = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
        "metadata": {"name": "g", "namespace": "team-b"},
        "spec": {"serverRef": {"name": "weather"}, "subject": {"humanID": "alice"}, "maxTrust": "high",
                 "allowedSideEffects": ["read"]},
    });
    [server, grant]
}

#[test]
fn a_policy_that_breaks_what_is_there_is_a_warning_that_counts_it() {
    let wide = policy(&json!({"images": {"allowedRegistries": ["ghcr.io"]}}));
    let narrow = policy(
        &json!({"images": {"allowedRegistries": ["quay.io"]}, "access": {"maxTrust": "low"}}),
    );
    let [server, grant] = live_objects();
    let there = [server, grant, wide.clone()];
    // As a change of the one that is there, and as a new one.
    for there in [&there[..], &there[..2]] {
        let found = said(whole_cluster(there), from_ref(&narrow), "MCP0906");
        assert_eq!(severities(&found), [Severity::Warning], "{found:?}");
        let message = &found[0].message;
        for words in ["1 MCPServer", "1 MCPAccessGrant"] {
            assert!(message.contains(words), "{words}: {message}");
        }
        assert_eq!(said(whole_cluster(there), from_ref(&wide), "MCP0906"), []);
    }
}

#[test]
fn whom_a_policy_breaks_is_unchecked_where_nobody_could_look() {
    let narrow = policy(&json!({"images": {"allowedRegistries": ["quay.io"]}}));
    let mut stored = whole_cluster(&live_objects());
    stored.listed.remove(&(Kind::Session, String::new()));
    let found = said(stored, from_ref(&narrow), "MCP0906");
    assert!(
        severities(&found).contains(&Severity::Unchecked),
        "{found:?}"
    );
    let found = said(Stored::default(), &[narrow], "MCP0906");
    assert_eq!(severities(&found), [Severity::Unchecked], "{found:?}");
}

#[test]
fn a_policy_is_certain_only_where_the_name_of_the_namespace_or_its_known_labels_decide() {
    let policy = |name: &str, selector: Value| {
        json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": name},
            "spec": {"namespaceSelector": selector, "images": {"allowedRegistries": ["registry.test/mcp"]}},
        })
    };
    let by_name =
        |namespace: &str| json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let by_label = json!({"matchLabels": {"team": "a"}});
    let namespace = |team: &str| {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "team-a", "labels": {"team": team}},
        })
    };
    let server = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": "weather", "namespace": "team-a"},
        "spec": {"image": "ghcr.io/acme/weather:1.2.3"},
    });
    let run = |others: &[Value]| {
        let run: Vec<Value> = others.iter().chain([&server]).cloned().collect();
        severities(&said(Stored::default(), &run, "MCP0102"))
    };
    let (here, there) = (
        policy("here", by_name("team-a")),
        policy("there", by_name("team-b")),
    );
    let maybe = policy("a-team", by_label);
    assert_eq!(run(std::slice::from_ref(&here)), [Severity::Error]);
    assert_eq!(run(&[there]), []);
    assert_eq!(run(std::slice::from_ref(&maybe)), [Severity::Unchecked]);
    assert_eq!(run(&[here, maybe.clone()]), [Severity::Error]);
    assert_eq!(run(&[namespace("a"), maybe.clone()]), [Severity::Error]);
    assert_eq!(run(&[namespace("b"), maybe]), []);
}
