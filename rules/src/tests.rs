//! What must hold for the engine and for every rule.

mod case;
mod catalogue;
mod corpora;
mod doors;
mod enforcement;
mod engine;
mod fixtures;
mod hints;
mod items;
mod mistakes;
mod pages;
mod policies;
mod properties;
mod ratchet;
mod requester;
mod stamps;
mod workload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::MCPServer;
use serde_json::{Value, json};

use crate::policy::PolicySet;
use crate::{Facts, Findings, Known, NamespaceFacts, Requester, ServerFact};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Everything is known, and there is nothing: alice, in namespace team-a, at noon of 1 June 2026.
fn nothing_there() -> Facts {
    Facts {
        now: Known::Known("2026-06-01T12:00:00Z".parse().unwrap()),
        namespace: NamespaceFacts {
            name: "team-a".to_owned(),
            ..NamespaceFacts::default()
        }
        .into(),
        policies: Vec::new().into(),
        servers: Vec::new().into(),
        grants: Vec::new().into(),
        sessions: Vec::new().into(),
        ingress_classes: vec!["traefik".to_owned()].into(),
        requester: Requester {
            username: "alice@example.com".to_owned(),
            groups: vec!["team-a".to_owned()],
            ..Requester::default()
        }
        .into(),
        namespaces: BTreeMap::from([("team-a".to_owned(), BTreeMap::default())]).into(),
        live: Vec::new().into(),
        services: BTreeMap::default().into(),
        secrets: BTreeMap::default().into(),
        config_maps: BTreeMap::default().into(),
        catalogues: Vec::new().into(),
        tools: Vec::new().into(),
        prompts: Vec::new().into(),
        resources: Vec::new().into(),
        ..Facts::default()
    }
}

/// The facts with these policies, each a name and a spec.
fn with_policies(policies: Value) -> Facts {
    let policies: Vec<(String, Value)> = serde_json::from_value(policies).unwrap();
    let policies = policies
        .into_iter()
        .map(|(name, spec)| {
            Arc::new(api::MCPPolicy::new(
                &name,
                serde_json::from_value(spec).unwrap(),
            ))
        })
        .collect::<Vec<_>>();
    Facts {
        policies: policies.into(),
        ..nothing_there()
    }
}

fn server_fact(server: &Value) -> ServerFact {
    let server: MCPServer = serde_json::from_value(server.clone()).unwrap();
    ServerFact::new(&server, &PolicySet::default())
}

/// A server of team-a, stamped by alice.
fn server(spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": "new", "namespace": "team-a"}
    });
    object["spec"] = spec;
    crate::default(&mut object, None, &nothing_there());
    object
}

/// Codes and fields of the errors.
fn errors(findings: &Findings) -> Vec<(&str, &str)> {
    findings
        .errors()
        .map(|finding| (finding.code, finding.field.as_str()))
        .collect()
}
