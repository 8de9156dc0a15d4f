//! Rules about who asks.

use serde_json::{Value, json};

use super::{errors, nothing_there, server};
use crate::{Known, check, default, questions};

#[test]
fn a_session_for_somebody_else_is_asked_about_and_stamped_without_groups() {
    let mut object = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession",
        "metadata": {"name": "s", "namespace": "team-a"},
        "spec": {"serverRef": {"name": "x"}, "subject": {"humanID": "bob"}, "tokenHash": "0".repeat(64),
                 "expiresAt": "2026-06-01T13:00:00Z"}
    });
    let mut facts = nothing_there();
    default(&mut object, None, &facts);
    assert_eq!(
        object["metadata"]["annotations"]["kubectl-mcp.dev/requested-by-groups"],
        "[]"
    );
    let asked = questions(Some(&object), None, &facts);
    assert_eq!(
        asked
            .iter()
            .map(|question| question.verb)
            .collect::<Vec<_>>(),
        ["impersonate"]
    );
    assert!(
        check(Some(&object), None, &facts)
            .unchecked()
            .any(|finding| finding.code == "MCP0701")
    );
    facts.answers = asked
        .iter()
        .map(|question| (question.clone(), false))
        .collect();
    let refused = check(Some(&object), None, &facts);
    assert!(refused.is_forbidden(), "{refused:?}");
    facts.answers = asked.into_iter().map(|question| (question, true)).collect();
    assert!(!check(Some(&object), None, &facts).is_refused());
}

#[test]
fn the_namespace_controller_may_delete_revoked_sessions() {
    let object = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession",
        "metadata": {"name": "s", "namespace": "team-a"},
        "spec": {"serverRef": {"name": "x"}, "subject": {"humanID": "bob"}, "tokenHash": "0".repeat(64),
                 "revoked": true, "expiresAt": "2026-06-01T13:00:00Z"}
    });
    let mut facts = nothing_there();
    assert_eq!(questions(None, Some(&object), &facts).len(), 1);
    for controller in [
        "system:serviceaccount:kube-system:namespace-controller",
        "system:kube-controller-manager",
    ] {
        facts.requester = named(controller);
        assert_eq!(questions(None, Some(&object), &facts), []);
        assert!(check(None, Some(&object), &facts).is_empty());
    }
}

fn named(username: &str) -> Known<crate::Requester> {
    let username = username.to_owned();
    Known::Known(crate::Requester {
        username,
        ..crate::Requester::default()
    })
}

#[test]
fn the_garbage_collector_is_asked_like_anybody_who_lifts_a_denial() {
    let object = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
        "metadata": {"name": "no-bob", "namespace": "team-a"},
        "spec": {"serverRef": {"name": "x"}, "effect": "Deny", "subject": {"humanID": "bob"}}
    });
    let mut facts = nothing_there();
    facts.requester = named("system:serviceaccount:kube-system:generic-garbage-collector");
    let asked = questions(None, Some(&object), &facts);
    assert_eq!(asked.len(), 1);
    facts.answers = asked
        .into_iter()
        .map(|question| (question, false))
        .collect();
    assert!(check(None, Some(&object), &facts).is_refused());
}

#[test]
fn an_owner_of_a_grant_may_not_change_and_the_old_finding_excuses_nothing() {
    let grant = |owners: Value| {
        let mut object = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
            "metadata": {"name": "no-bob", "namespace": "team-a", "ownerReferences": owners},
            "spec": {"serverRef": {"name": "x"}, "effect": "Deny", "subject": {"humanID": "bob"}, "reason": "left"}
        });
        default(&mut object, None, &nothing_there());
        object
    };
    let owner = |name: &str, block: bool| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": "1", "blockOwnerDeletion": block});
    let old = grant(json!([owner("a", true)]));
    for (owners, refused) in [
        (json!([owner("a", false)]), false),
        (json!([]), false),
        (Value::Null, false),
        (json!([owner("b", true)]), true),
        (json!([owner("a", true), owner("b", true)]), true),
        (json!("a"), true),
    ] {
        let findings = check(Some(&grant(owners.clone())), Some(&old), &nothing_there());
        let found = errors(&findings).iter().any(|(code, _)| *code == "MCP0913");
        assert_eq!(found, refused, "{owners}");
    }
}

#[test]
fn a_server_made_looser_is_asked_about_and_refused_as_forbidden_without_the_verb() {
    let old = server(json!({"image": "ghcr.io/acme/x:1", "ingressHost": "a.example.com"}));
    let mut new = old.clone();
    new["spec"]["policy"] = json!({"defaultDecision": "allow"});
    let mut facts = nothing_there();
    let asked = questions(Some(&new), Some(&old), &facts);
    let said: Vec<_> = asked
        .iter()
        .map(|question| {
            (
                question.verb,
                question.resource,
                question.namespace.as_str(),
                question.name.as_str(),
            )
        })
        .collect();
    assert_eq!(said, [("weaken", "mcpservers", "team-a", "new")]);
    assert!(
        check(Some(&new), Some(&old), &facts)
            .unchecked()
            .any(|finding| finding.code == "MCP0410")
    );
    facts.answers = asked
        .iter()
        .map(|question| (question.clone(), false))
        .collect();
    let refused = check(Some(&new), Some(&old), &facts);
    assert_eq!(
        errors(&refused),
        [("MCP0410", "spec.policy.defaultDecision")]
    );
    assert!(refused.is_forbidden());
    facts.answers = asked.into_iter().map(|question| (question, true)).collect();
    assert!(!check(Some(&new), Some(&old), &facts).is_refused());
    let mut scaled = old.clone();
    scaled["spec"]["replicas"] = json!(3);
    assert_eq!(questions(Some(&scaled), Some(&old), &facts), []);
}
