//! How findings come about: all at once, by policy, by ratchet.

use serde_json::{Value, json};

use super::{errors, nothing_there, server, server_fact, with_policies};
use crate::{Facts, Known, Operation, Severity, check, default, default_patch, questions};

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
fn enforcement_of_the_policy_decides_what_a_policy_finding_does() {
    let object = server(
        json!({"image": "ghcr.io/evil/b:1", "tools": [{"name": "a"}], "ingressHost": "a.example.com"}),
    );
    for (enforcement, error, warning, audited) in [
        ("Enforce", true, false, false),
        ("Warn", false, true, false),
        ("Audit", false, false, true),
        ("Off", false, false, false),
    ] {
        let facts = with_policies(
            json!([["p", {"enforcement": enforcement, "images": {"allowedRegistries": ["ghcr.io/a"]}}]]),
        );
        let findings = check(Some(&object), None, &facts);
        let has = |mut findings: Box<dyn Iterator<Item = &crate::Finding> + '_>| {
            findings.any(|f| f.code == "MCP0102")
        };
        assert_eq!(has(Box::new(findings.errors())), error, "{enforcement}");
        assert_eq!(has(Box::new(findings.warnings())), warning, "{enforcement}");
        assert_eq!(has(Box::new(findings.audited())), audited, "{enforcement}");
    }
}

#[test]
fn a_rule_that_is_on_by_default_is_relaxed_only_by_all_that_mention_it() {
    let object = server(
        json!({"image": "ghcr.io/a/b:1", "ingressHost": "a.example.com", "ingressPath": "/metrics"}),
    );
    let off = json!({"overrides": [{"rule": "MCP0206", "enforcement": "Off"}]});
    let warn = json!({"overrides": [{"rule": "MCP0206", "enforcement": "Warn"}]});
    let silent = json!({"enforcement": "Off"});
    for (policies, refused) in [
        (json!([]), true),
        (json!([["a", silent]]), true),
        (json!([["a", silent], ["b", off]]), false),
        (json!([["a", warn], ["b", off]]), false),
        (
            json!([["a", off], ["b", {"overrides": [{"rule": "MCP0206", "enforcement": "Enforce"}]}]]),
            true,
        ),
    ] {
        let findings = check(Some(&object), None, &with_policies(policies.clone()));
        assert_eq!(findings.is_refused(), refused, "{policies}");
    }
}

#[test]
fn a_value_must_satisfy_every_policy() {
    let object = server(json!({"image": "ghcr.io/acme/b:1"}));
    let policies = json!([["a", {"images": {"allowedRegistries": ["ghcr.io"]}}], ["b", {"images": {"allowedRegistries": ["quay.io"]}}]]);
    assert_eq!(
        errors(&check(Some(&object), None, &with_policies(policies))),
        [("MCP0102", "spec.image")]
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
fn what_was_wrong_before_is_only_a_warning_after() {
    let old = server(json!({"image": "ghcr.io/evil/b:1", "ingressHost": "a.example.com"}));
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    let facts = with_policies(json!([["p", {"images": {"allowedRegistries": ["ghcr.io/acme"]}}]]));
    let findings = check(Some(&new), Some(&old), &facts);
    assert!(!findings.is_refused(), "{:?}", errors(&findings));
    let kept = findings
        .iter()
        .find(|finding| finding.code == "MCP0102")
        .unwrap();
    assert_eq!(kept.severity, Severity::Warning);
}

#[test]
fn the_ratchet_compares_what_would_run_and_not_the_field() {
    let old = server(json!({"image": "ghcr.io/evil/b:1"}));
    let facts = with_policies(json!([["p", {"images": {"allowedRegistries": ["ghcr.io/acme"]}}]]));
    for (key, value) in [
        ("image", "ghcr.io/worse/b:1"),
        ("registryOverride", "worse.example.com"),
    ] {
        let mut new = old.clone();
        new["spec"][key] = json!(value);
        default(&mut new, Some(&old), &facts);
        assert!(
            errors(&check(Some(&new), Some(&old), &facts))
                .iter()
                .any(|(code, _)| *code == "MCP0102"),
            "{key}"
        );
    }
}

#[test]
fn a_changed_secret_is_not_the_old_finding() {
    let spec =
        |value| json!({"image": "ghcr.io/a/b:1", "env": [{"name": "API_TOKEN", "value": value}]});
    let facts = with_policies(json!([["p", {"workload": {"forbidLiteralSecrets": true}}]]));
    let (old, new) = (server(spec("one")), server(spec("two")));
    assert!(check(Some(&new), Some(&old), &facts).is_refused());
    assert!(!check(Some(&old), Some(&old), &facts).is_refused());
}

#[test]
fn rules_about_lifetimes_and_who_never_ratchet() {
    let session = |expires: &str| {
        let mut object = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession",
            "metadata": {"name": "s", "namespace": "team-a"},
            "spec": {"serverRef": {"name": "x"}, "subject": {"humanID": "alice@example.com"},
                     "tokenHash": "0".repeat(64), "expiresAt": expires}
        });
        default(&mut object, None, &nothing_there());
        object
    };
    let (old, new) = (
        session("2026-06-01T13:00:00Z"),
        session("2026-06-01T14:00:00Z"),
    );
    assert_eq!(
        errors(&check(Some(&new), Some(&old), &nothing_there())),
        [("MCP0705", "spec.expiresAt")]
    );
}

#[test]
fn an_object_that_is_being_deleted_may_lose_its_finalizers_whatever_the_policies_say() {
    let mut old = server(json!({"image": "ghcr.io/evil/b:1"}));
    old["metadata"]["deletionTimestamp"] = json!("2026-06-01T11:00:00Z");
    old["metadata"]["finalizers"] = json!(["example.com/f"]);
    let mut new = old.clone();
    new["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("finalizers");
    let facts = with_policies(json!([["p", {"images": {"allowedRegistries": ["ghcr.io/acme"]}}]]));
    assert!(check(Some(&new), Some(&old), &facts).is_empty());
    assert!(default_patch(&new, Some(&old), &facts).is_empty());
}

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
