//! `kubectl mcp policy` as a process, as far as it goes without a cluster.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{all, command, text};

const POLICIES: &str = "\
apiVersion: kubectl-mcp.dev/v1alpha1
kind: MCPPolicy
metadata: {name: default}
spec:
  defaults:
    ingressHost: mcp.example.com
    resources: {limits: {memory: 256Mi, cpu: 500m}, requests: {cpu: 50m}}
  images: {allowedRegistries: [ghcr.io/acme, quay.io/acme]}
---
apiVersion: kubectl-mcp.dev/v1alpha1
kind: MCPPolicy
metadata: {name: team-a}
spec:
  namespaceSelector: {matchLabels: {team: a}}
  enforcement: Warn
  images: {allowedRegistries: [ghcr.io/acme/team-a]}
---
apiVersion: kubectl-mcp.dev/v1alpha1
kind: MCPPolicy
metadata: {name: old}
spec: {excludeNamespaces: [team-a]}
---
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {team: a}}
";

fn written(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

fn explained(args: &[&str]) -> Value {
    let file = written(POLICIES);
    let path = file.path().to_str().unwrap();
    let arguments = [&["explain", "--policy", path, "-o", "json"], args].concat();
    let output = command("policy", &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", all(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn entry(explained: &Value, list: &str, key: &str, value: &str) -> Value {
    let entries = explained[list].as_array().unwrap();
    let found = entries.iter().find(|entry| entry[key] == value).cloned();
    assert!(found.is_some(), "{value} is missing in {explained}");
    found.unwrap_or_default()
}

#[test]
fn every_line_of_an_explanation_names_its_policies() {
    let found = explained(&["team-a"]);
    assert_eq!(found["labels"], json!({"team": "a"}));
    let registries = entry(&found, "fields", "field", "images.allowedRegistries");
    assert_eq!(registries["value"], json!(["ghcr.io/acme/team-a"]));
    let from: Vec<_> = registries["from"]
        .as_array()
        .unwrap()
        .iter()
        .map(|given| given["policy"].clone())
        .collect();
    assert_eq!(from, ["team-a", "default"]);
    let host = entry(&found, "fields", "field", "defaults.ingressHost");
    assert_eq!(
        (&host["value"], &host["from"][0]["policy"]),
        (&json!("mcp.example.com"), &json!("default"))
    );
    let built_in = entry(&found, "fields", "field", "defaults.ingressClass");
    assert_eq!(
        (&built_in["value"], &built_in["from"]),
        (&json!("traefik"), &json!([]))
    );
    let rule = entry(&found, "rules", "code", "MCP0102");
    assert_eq!(rule["enforcement"], "Enforce");
    assert_eq!(
        rule["from"][0],
        json!({"policy": "team-a", "enforcement": "Warn", "by": "field"})
    );
}

#[test]
fn a_policy_that_does_not_speak_of_the_namespace_says_why() {
    let found = explained(&["team-a"]);
    let reason = |found: &Value, name| {
        let policy = entry(found, "policies", "name", name);
        (
            policy["selects"].as_bool(),
            policy["reason"].as_str().unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(
        reason(&found, "old"),
        (
            Some(false),
            "its excludeNamespaces names the namespace".to_owned()
        )
    );
    assert_eq!(
        reason(&found, "team-a"),
        (
            Some(true),
            "its namespaceSelector matches: team=a".to_owned()
        )
    );
    let other = explained(&["team-b", "--labels", "team=b,stage=prod"]);
    assert_eq!(
        reason(&other, "team-a"),
        (
            Some(false),
            "its namespaceSelector does not match: label team must be a, and is b".to_owned()
        )
    );
    assert_eq!(reason(&other, "old").0, Some(true));
}

#[test]
fn people_get_tables_and_yaml_is_yaml() {
    let file = written(POLICIES);
    let path = file.path().to_str().unwrap();
    let output = command("policy", &["explain", "team-a", "--policy", path])
        .output()
        .unwrap();
    let said = text(&output.stdout);
    for line in said.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for line in [
        "POLICY    SPEAKS   WHY",
        "defaults.resources.limits.memory",
        "defaults.resources.requests.cpu",
        "FIELD",
        "RULE",
        "images.allowedRegistries",
    ] {
        assert!(said.contains(line), "{line} is missing in:\n{said}");
    }
    let output = command(
        "policy",
        &["explain", "team-a", "--policy", path, "-o", "yaml"],
    )
    .output()
    .unwrap();
    assert!(
        text(&output.stdout).contains("namespace: team-a"),
        "{}",
        all(&output)
    );
}

#[test]
fn the_examples_of_the_help_run_as_they_stand() {
    let home = tempfile::tempdir().unwrap();
    support::write(home.path(), "policy.yaml", POLICIES);
    let help = command("policy", &["explain", "--help"]).output().unwrap();
    let begin = "  kubectl mcp policy ";
    let help = text(&help.stdout);
    // Those with a cluster are run where there is one; that all of them are command lines is a test of the binary.
    let lines: Vec<_> = help
        .lines()
        .filter_map(|line| line.strip_prefix(begin))
        .filter(|line| line.contains("--policy"))
        .collect();
    assert!(!lines.is_empty(), "{help}");
    for line in lines {
        let words: Vec<_> = line.split(' ').collect();
        let output = command("policy", &words)
            .current_dir(home.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {}", all(&output));
    }
}

#[test]
fn what_is_no_policy_ends_with_three_and_a_wrong_command_line_with_two() {
    let nothing = written("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n");
    let broken = written(
        "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPPolicy\nmetadata: {name: x}\nspec: {images: 5}\n",
    );
    let twice = written(&format!("{POLICIES}---\n{POLICIES}"));
    let unread = written("a: [1");
    for (file, expected) in [
        (&nothing, "names no MCPPolicy"),
        (&broken, "an MCPPolicy that is none"),
        (&twice, "is given twice"),
        (&unread, "cannot be understood"),
    ] {
        let path = file.path().to_str().unwrap();
        for arguments in [
            vec!["test", "-f", path],
            vec!["test", path],
            vec!["explain", "n", "--policy", path],
        ] {
            let output = command("policy", &arguments).output().unwrap();
            assert_eq!(
                output.status.code(),
                Some(3),
                "{arguments:?}: {}",
                all(&output)
            );
            assert!(
                text(&output.stderr).contains(expected),
                "{arguments:?}: {}",
                all(&output)
            );
        }
    }
    for arguments in [
        vec!["test"],
        vec!["explain"],
        vec!["explain", "n", "--labels", "x"],
        vec!["frobnicate"],
    ] {
        let output = command("policy", &arguments).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            all(&output)
        );
    }
}
