//! What an MCPPolicy does to the objects that are there: MCP0906 says what `check` would say of each of them.

use serde_json::{Value, json};

use super::{nothing_there, server_fact};
use crate::{Facts, Findings, Known, LiveServer, Severity, check};

fn policy(spec: &Value) -> Value {
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": "default"}, "spec": spec})
}

/// Servers of team-a, and as many of team-b.
fn with_servers(count: usize) -> Facts {
    let server = |namespace: &str, index: usize| {
        json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
               "metadata": {"name": format!("s{index}"), "namespace": namespace},
               "spec": {"image": "ghcr.io/acme/x:1.0.0", "ingressHost": "mcp.example.com"}})
    };
    let servers: Vec<Value> = ["team-a", "team-b"]
        .into_iter()
        .flat_map(|namespace| (0..count).map(move |index| server(namespace, index)))
        .collect();
    let live = servers.iter().map(|server| {
        std::sync::Arc::new(LiveServer {
            namespace: server["metadata"]["namespace"].as_str().unwrap().to_owned(),
            name: server["metadata"]["name"].as_str().unwrap().to_owned(),
            text: server.to_string().into(),
        })
    });
    let namespaces: crate::Labels = ["team-a", "team-b"]
        .map(|name| (name.to_owned(), std::collections::BTreeMap::default()))
        .into();
    Facts {
        live: live.collect::<Vec<_>>().into(),
        servers: servers.iter().map(server_fact).collect::<Vec<_>>().into(),
        namespaces: namespaces.into(),
        ..nothing_there()
    }
}

fn breaks(findings: &Findings) -> Vec<(Severity, String)> {
    let about = findings.iter().filter(|finding| finding.code == "MCP0906");
    about
        .map(|finding| (finding.severity, finding.message.clone()))
        .collect()
}

#[test]
fn who_would_break_is_counted_and_the_first_is_named() {
    let strict = policy(&json!({"images": {"allowedRegistries": ["quay.io"]}}));
    assert_eq!(
        breaks(&check(Some(&strict), None, &with_servers(2))),
        [(
            Severity::Warning,
            "would refuse 4 MCPServers, which pass now: MCPServer team-a/s0 by MCP0102".to_owned()
        )]
    );
}

#[test]
fn no_more_than_a_thousand_objects_are_looked_at_and_that_is_said() {
    let facts = with_servers(505);
    let strict = policy(&json!({"images": {"allowedRegistries": ["quay.io"]}}));
    let said = breaks(&check(Some(&strict), None, &facts));
    assert_eq!(said.len(), 1);
    assert!(
        said[0].1.contains("1000 MCPServers")
            && said[0]
                .1
                .contains("only 1000 objects were looked at, 10 were not"),
        "{said:?}"
    );
    let harmless = policy(&json!({"images": {"allowedRegistries": ["ghcr.io"]}}));
    let said = breaks(&check(Some(&harmless), None, &facts));
    assert_eq!(
        said.iter()
            .map(|(severity, _)| *severity)
            .collect::<Vec<_>>(),
        [Severity::Unchecked]
    );
    let elsewhere =
        json!({"images": {"allowedRegistries": ["quay.io"]}, "excludeNamespaces": ["team-b"]});
    let said = breaks(&check(Some(&policy(&elsewhere)), None, &facts));
    assert!(
        said[0].1.starts_with("would refuse 505 MCPServers") && !said[0].1.contains("only"),
        "{said:?}"
    );
}

#[test]
fn what_could_not_be_looked_up_is_not_said_to_be_sound() {
    let strict = policy(&json!({"images": {"allowedRegistries": ["quay.io"]}}));
    let facts = Facts {
        live: Known::Unknown,
        ..with_servers(1)
    };
    let said = breaks(&check(Some(&strict), None, &facts));
    assert_eq!(
        said.iter()
            .map(|(severity, _)| *severity)
            .collect::<Vec<_>>(),
        [Severity::Unchecked]
    );
}
