//! The mutating door: defaults and stamps.

use serde_json::json;

use super::{nothing_there, server, with_policies};
use crate::{check, default};

#[test]
fn defaults_come_from_the_policy_and_are_noted() {
    let facts = with_policies(
        json!([["default", {"defaults": {"ingressHost": "mcp.example.test", "labels": {"team": "a"}}}]]),
    );
    let mut object = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": "everything", "namespace": "team-a"},
        "spec": {"image": "registry.test/mcp/everything:1.0.0", "tools": [{"name": "echo"}]}
    });
    default(&mut object, None, &facts);
    assert_eq!(object["spec"]["ingressHost"], "mcp.example.test");
    assert_eq!(object["metadata"]["labels"]["team"], "a");
    let annotations = &object["metadata"]["annotations"];
    assert_eq!(
        annotations["kubectl-mcp.dev/defaulted"],
        r#"{"metadata.labels[team]":"default","spec.ingressHost":"default"}"#
    );
    assert_eq!(
        annotations["kubectl-mcp.dev/requested-by"],
        "alice@example.com"
    );
    assert_eq!(
        annotations["kubectl-mcp.dev/requested-by-groups"],
        r#"["team-a"]"#
    );
    assert!(!check(Some(&object), None, &facts).is_refused());
}

#[test]
fn stamps_are_overwritten_on_create_and_put_back_on_update() {
    let mut forged = server(json!({"image": "ghcr.io/a/b:1"}));
    forged["metadata"]["annotations"]["kubectl-mcp.dev/requested-by"] = json!("mallory");
    let mut created = forged.clone();
    default(&mut created, None, &nothing_there());
    assert_eq!(
        created["metadata"]["annotations"]["kubectl-mcp.dev/requested-by"],
        "alice@example.com"
    );

    let mut replaced = created.clone();
    replaced["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("annotations");
    replaced["spec"]["replicas"] = json!(2);
    let mut bob = nothing_there();
    bob.requester = crate::Requester {
        username: "bob".to_owned(),
        ..crate::Requester::default()
    }
    .into();
    default(&mut replaced, Some(&created), &bob);
    let annotations = &replaced["metadata"]["annotations"];
    assert_eq!(
        annotations["kubectl-mcp.dev/requested-by"],
        "alice@example.com"
    );
    assert_eq!(annotations["kubectl-mcp.dev/edited-by"], "bob");
    assert!(!check(Some(&replaced), Some(&created), &bob).is_refused());
    assert!(check(Some(&forged), Some(&created), &bob).is_refused());
}
