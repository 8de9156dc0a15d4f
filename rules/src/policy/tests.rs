//! Which policies select a namespace, and what several of them say together.

use serde_json::json;

use super::*;

fn policy(name: &str, spec: serde_json::Value) -> Arc<MCPPolicy> {
    Arc::new(MCPPolicy::new(name, serde_json::from_value(spec).unwrap()))
}

#[test]
fn the_most_specific_selector_comes_first_then_the_name() {
    let policies = [
        policy("z", json!({})),
        policy(
            "team",
            json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}),
        ),
        policy("b", json!({})),
        policy(
            "other",
            json!({"namespaceSelector": {"matchLabels": {"team": "b"}}}),
        ),
        policy("not-here", json!({"excludeNamespaces": ["team-a"]})),
    ];
    let labels = [("team".to_owned(), "a".to_owned())].into_iter().collect();
    let set = select(&policies, "team-a", &labels);
    assert_eq!(
        set.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["team", "b", "z"]
    );
}

#[test]
fn the_name_of_a_namespace_decides_where_its_labels_are_not_known() {
    let by = |name: &str, selector: serde_json::Value| {
        policy(name, json!({"namespaceSelector": selector}))
    };
    let only = |name: &str| json!({NAMESPACE_NAME: name});
    let policies = [
        policy("everywhere", json!({})),
        policy("not-here", json!({"excludeNamespaces": ["team-a"]})),
        by("here", json!({"matchLabels": only("team-a")})),
        by("there", json!({"matchLabels": only("team-b")})),
        by(
            "two",
            json!({"matchExpressions": [{"key": NAMESPACE_NAME, "operator": "In", "values": ["team-a", "x"]}]}),
        ),
        by(
            "others",
            json!({"matchExpressions": [{"key": NAMESPACE_NAME, "operator": "NotIn", "values": ["team-a"]}]}),
        ),
        by("maybe", json!({"matchLabels": {"team": "a"}})),
        by(
            "maybe-not-prod",
            json!({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}),
        ),
        by(
            "there-whatever",
            json!({"matchLabels": {"team": "a", NAMESPACE_NAME: "team-b"}}),
        ),
    ];
    let listed = |set: &PolicySet| {
        let mut found: Vec<_> = set.iter().map(|(name, _)| name.to_owned()).collect();
        found.sort();
        found
    };
    let assumed = PolicySet::assume(&policies, "team-a");
    assert_eq!(
        listed(&assumed),
        ["everywhere", "here", "maybe", "maybe-not-prod", "two"]
    );
    let certain = PolicySet::certain(&policies, "team-a");
    assert_eq!(listed(&certain), ["everywhere", "here", "two"]);
    assert_eq!(
        PolicySet::assume(&policies, "").iter().count(),
        policies.len()
    );
}

#[test]
fn the_strictest_enforcement_among_those_that_mention_the_rule_holds() {
    let mentions = |spec: &MCPPolicySpec| spec.images.is_some();
    let policies = [
        policy("a", json!({"enforcement": "Warn", "images": {}})),
        policy(
            "b",
            json!({"overrides": [{"rule": "MCP0102", "enforcement": "Audit"}], "images": {}}),
        ),
        policy("c", json!({})),
    ];
    let set = select(&policies, "n", &BTreeMap::new());
    assert_eq!(
        set.enforcement("MCP0102", mentions, &[]),
        Some(Enforcement::Warn)
    );
    assert_eq!(set.enforcement("MCP0999", |_| false, &[]), None);
}

#[test]
fn a_selector_knows_all_four_operators() {
    let labels: BTreeMap<_, _> = [("a".to_owned(), "1".to_owned())].into_iter().collect();
    for (operator, key, values, expected) in [
        ("In", "a", vec!["1"], true),
        ("In", "a", vec!["2"], false),
        ("NotIn", "a", vec!["2"], true),
        ("NotIn", "b", vec!["2"], true),
        ("Exists", "a", vec![], true),
        ("DoesNotExist", "a", vec![], false),
        ("Near", "a", vec!["1"], false),
    ] {
        let selector: LabelSelector = serde_json::from_value(
            json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}),
        )
        .unwrap();
        assert_eq!(
            matches(&selector, &labels),
            expected,
            "{operator} {key} {values:?}"
        );
    }
}

#[test]
fn every_policy_says_why_it_speaks_of_a_namespace_or_does_not() {
    let policies = [
        policy("z-all", json!({})),
        policy("left-out", json!({"excludeNamespaces": ["team-a"]})),
        policy(
            "team",
            json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}),
        ),
        policy(
            "by-name",
            json!({"namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]},
                {"key": "team", "operator": "Exists"}
            ]}}),
        ),
        policy(
            "b-other",
            json!({"namespaceSelector": {"matchLabels": {"team": "b"}}, "excludeNamespaces": ["team-a"]}),
        ),
        policy(
            "a-none",
            json!({"namespaceSelector": {"matchExpressions": [{"key": "stage", "operator": "Exists"}]}}),
        ),
    ];
    let labels = [("team".to_owned(), "a".to_owned())].into_iter().collect();
    let found = PolicySet::consider(&policies, "team-a", &labels);
    let unmet = |key, operator, values, found: Option<&str>| {
        Selection::Unmet(Unmet {
            key,
            operator,
            values,
            found: found.map(str::to_owned),
        })
    };
    let b = ["b".to_owned()];
    assert_eq!(
        found,
        [
            ("by-name", Selection::Matched),
            ("team", Selection::Matched),
            ("z-all", Selection::Everywhere),
            ("a-none", unmet("stage", "Exists", &[], None)),
            ("b-other", unmet("team", "In", &b, Some("a"))),
            ("left-out", Selection::Excluded),
        ]
    );
    let selected = select(&policies, "team-a", &labels);
    let selecting = found.iter().filter(|(_, selection)| selection.selects());
    assert!(
        selected
            .iter()
            .map(|(name, _)| name)
            .eq(selecting.map(|(name, _)| *name)),
        "explained otherwise than selected"
    );
}

/// What becomes of one mistake under two policies: `E`rror, `W`arning, `A`udited or nothing.
fn outcome(spec: &serde_json::Value, one: &serde_json::Value, other: &serde_json::Value) -> String {
    let object = json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": "new", "namespace": "team-a"}, "spec": spec
    });
    let policies = vec![policy("one", one.clone()), policy("other", other.clone())];
    let facts = crate::Facts {
        operation: Some(crate::Operation::Live),
        namespace: crate::NamespaceFacts {
            name: "team-a".to_owned(),
            ..crate::NamespaceFacts::default()
        }
        .into(),
        policies: policies.into(),
        ..crate::Facts::default()
    };
    let findings = crate::check(Some(&object), None, &facts);
    let ours = findings
        .iter()
        .filter(|finding| ["MCP0102", "MCP0207", "MCP0212"].contains(&finding.code));
    let mut words: Vec<_> = ours
        .map(|finding| {
            let word = match (finding.severity, finding.audit) {
                (crate::Severity::Error, _) => "E",
                (_, true) => "A",
                (_, false) => "W",
            };
            format!("{word} {}", finding.code)
        })
        .collect();
    words.sort();
    words.dedup();
    words.join(", ")
}

#[test]
fn several_policies_speak_as_one() {
    let server = json!({"image": "ghcr.io/acme/x:1", "ingressHost": "a.example.com", "tools": [{"name": "t"}]});
    let wildcard = json!({"image": "ghcr.io/acme/x:1", "ingressHost": "*.example.com", "tools": [{"name": "t"}]});
    let short =
        json!({"image": "ghcr.io/acme/x:1", "ingressHost": "intranet", "tools": [{"name": "t"}]});
    let annotated = json!({"image": "ghcr.io/acme/x:1", "ingressHost": "a.example.com", "tools": [{"name": "t"}],
        "ingressAnnotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "60"}});
    let acme = json!({"images": {"allowedRegistries": ["ghcr.io/acme"]}});
    let quay = json!({"images": {"allowedRegistries": ["quay.io"]}});
    let with = |mut spec: serde_json::Value, enforcement: &str| {
        spec["enforcement"] = json!(enforcement);
        spec
    };
    let overriding = |mut spec: serde_json::Value, rule: &str, enforcement: &str| {
        spec["overrides"] = json!([{"rule": rule, "enforcement": enforcement}]);
        spec
    };
    let wild =
        |allowed: bool| json!({"ingress": {"allowWildcardHosts": allowed, "requireHost": false}});
    let lists =
        |entry: &str| json!({"ingress": {"allowedAnnotations": [entry], "requireHost": false}});
    for (spec, one, other, expected) in [
        // A list that is absent restricts nothing; a value must satisfy every policy's list.
        (&server, json!({}), json!({}), ""),
        (&server, json!({"images": {}}), acme.clone(), ""),
        (&server, acme.clone(), acme.clone(), ""),
        (&server, acme.clone(), quay.clone(), "E MCP0102"),
        (&server, quay.clone(), acme.clone(), "E MCP0102"),
        (
            &server,
            acme.clone(),
            json!({"images": {"allowedRegistries": []}}),
            "E MCP0102",
        ),
        // The strictest enforcement among those that mention the rule.
        (&server, with(quay.clone(), "Warn"), json!({}), "W MCP0102"),
        (&server, with(quay.clone(), "Audit"), json!({}), "A MCP0102"),
        (&server, with(quay.clone(), "Off"), json!({}), ""),
        (
            &server,
            with(quay.clone(), "Off"),
            with(json!({}), "Enforce"),
            "",
        ),
        (
            &server,
            with(quay.clone(), "Audit"),
            with(quay.clone(), "Warn"),
            "W MCP0102",
        ),
        (
            &server,
            with(quay.clone(), "Off"),
            with(acme.clone(), "Enforce"),
            "E MCP0102",
        ),
        (
            &server,
            overriding(quay.clone(), "MCP0102", "Audit"),
            json!({}),
            "A MCP0102",
        ),
        (
            &server,
            overriding(quay.clone(), "MCP0102", "Audit"),
            acme.clone(),
            "E MCP0102",
        ),
        (
            &server,
            quay.clone(),
            overriding(json!({}), "MCP0102", "Off"),
            "E MCP0102",
        ),
        (
            &server,
            with(quay.clone(), "Warn"),
            overriding(json!({}), "MCP0102", "Enforce"),
            "E MCP0102",
        ),
        (
            &server,
            overriding(with(quay.clone(), "Off"), "MCP0102", "Enforce"),
            json!({}),
            "E MCP0102",
        ),
        // A rule that holds by default is relaxed only if all that mention it relax it, and at least one does.
        (&wildcard, json!({}), json!({}), "E MCP0212"),
        (
            &wildcard,
            with(json!({}), "Off"),
            with(json!({}), "Off"),
            "E MCP0212",
        ),
        (&wildcard, wild(true), json!({}), ""),
        (&wildcard, wild(true), wild(true), ""),
        (&wildcard, wild(true), wild(false), "E MCP0212"),
        (
            &wildcard,
            wild(true),
            with(wild(false), "Warn"),
            "W MCP0212",
        ),
        (
            &wildcard,
            wild(true),
            overriding(json!({}), "MCP0212", "Enforce"),
            "E MCP0212",
        ),
        (
            &wildcard,
            wild(true),
            overriding(json!({}), "MCP0212", "Audit"),
            "A MCP0212",
        ),
        (
            &wildcard,
            with(wild(true), "Enforce"),
            overriding(json!({}), "MCP0212", "Off"),
            "",
        ),
        (
            &wildcard,
            overriding(json!({}), "MCP0212", "Warn"),
            json!({}),
            "W MCP0212",
        ),
        (
            &wildcard,
            overriding(json!({}), "MCP0212", "Off"),
            overriding(json!({}), "MCP0212", "Enforce"),
            "E MCP0212",
        ),
        (
            &wildcard,
            overriding(json!({}), "MCP0212", "Off"),
            wild(false),
            "E MCP0212",
        ),
        // What a field relaxes is not the whole rule.
        (&short, wild(true), json!({}), "E MCP0212"),
        (&annotated, json!({}), json!({}), "E MCP0207"),
        (
            &annotated,
            lists("nginx.ingress.kubernetes.io/*"),
            json!({}),
            "",
        ),
        (
            &annotated,
            lists("nginx.ingress.kubernetes.io/*"),
            lists("cert-manager.io/*"),
            "E MCP0207",
        ),
        (
            &annotated,
            lists("nginx.ingress.kubernetes.io/*"),
            with(lists("x"), "Audit"),
            "A MCP0207",
        ),
        (
            &annotated,
            lists("nginx.ingress.kubernetes.io/*"),
            overriding(json!({}), "MCP0207", "Enforce"),
            "E MCP0207",
        ),
    ] {
        for (one, other) in [(&one, &other), (&other, &one)] {
            let found = outcome(spec, one, other);
            assert_eq!(found, expected, "{spec} under {one} and {other}");
        }
    }
}
