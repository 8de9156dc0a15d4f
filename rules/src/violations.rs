//! Which policies a live object breaks: the count in an MCPPolicy's status, by the rules themselves.
//!
//! Called by the operator. The object is judged once under all its policies; only where one of them has something
//! against it, each policy is asked alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::check::check;
use crate::facts::{Facts, Operation};
use crate::finding::{Finding, Findings};
use crate::policy::PolicySet;
use crate::registry::find;

/// The names of the policies that an object breaks as it stands.
///
/// It breaks a policy if it has a finding whose severity follows the policies, the policy mentions that rule, and under
/// the policy alone there is the same finding. So what two policies forbid counts for both, what a policy only warns about
/// or notes counts too, and a rule that a policy turned off does not. A finding that only several policies make together
/// counts for each that mentions its rule. `facts` are those of the object's namespace, with all policies.
pub fn violations(object: &Value, facts: &Facts) -> BTreeSet<String> {
    let mut facts = Facts {
        operation: Some(Operation::Live),
        ..facts.clone()
    };
    let found = check(Some(object), None, &facts);
    let mut open: Vec<&Finding> = of_policies(&found).collect();
    let mut broken = BTreeSet::new();
    if open.is_empty() {
        return broken;
    }
    let namespace = object.pointer("/metadata/namespace");
    let namespace = namespace.and_then(Value::as_str).unwrap_or_default();
    let selected = facts.selected(namespace);
    let mut explained = Vec::new();
    for policy in selected.policies() {
        let alone = Arc::new(PolicySet::of(policy));
        let mentioned = |finding: &&&Finding| mentions(&alone, finding.code);
        if !open.iter().any(|finding| mentioned(&finding)) {
            continue;
        }
        facts.policies = vec![Arc::clone(policy)].into();
        facts.selection = Some(Arc::clone(&alone));
        let again = check(Some(object), None, &facts);
        for finding in open.iter().filter(mentioned) {
            let same = |other: &Finding| other.code == finding.code && other.field == finding.field;
            if of_policies(&again).any(same) {
                broken.insert(policy.metadata.name.clone().unwrap_or_default());
                explained.push((finding.code, finding.field.clone()));
            }
        }
    }
    open.retain(|finding| !explained.contains(&(finding.code, finding.field.clone())));
    for finding in open {
        let rule = find(finding.code);
        let together = rule
            .iter()
            .flat_map(|rule| selected.mentions(finding.code, rule.meta().mentions));
        broken.extend(together.map(|mention| mention.policy.to_owned()));
    }
    broken
}

fn of_policies(findings: &Findings) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|finding| finding.by_policy)
}

fn mentions(policies: &PolicySet, code: &str) -> bool {
    find(code).is_some_and(|rule| {
        policies
            .mentions(rule.meta().code, rule.meta().mentions)
            .next()
            .is_some()
    })
}

#[cfg(test)]
mod tests {
    use api::MCPPolicy;
    use serde_json::json;

    use super::*;
    use crate::NamespaceFacts;

    fn broken(spec: &Value, policies: &[(&str, Value)]) -> Vec<String> {
        let object = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
            "metadata": {"name": "s", "namespace": "team-a"}, "spec": spec
        });
        let policies: Vec<_> = policies
            .iter()
            .map(|(name, spec)| {
                let spec = serde_json::from_value(spec.clone()).unwrap();
                Arc::new(MCPPolicy::new(name, spec))
            })
            .collect();
        let namespace = NamespaceFacts {
            name: "team-a".to_owned(),
            ..NamespaceFacts::default()
        };
        let facts = Facts {
            namespace: namespace.into(),
            policies: policies.into(),
            ..Facts::default()
        };
        violations(&object, &facts).into_iter().collect()
    }

    #[test]
    fn a_finding_counts_for_the_policies_that_cause_it() {
        let server = json!({"image": "ghcr.io/acme/x:latest", "ingressHost": "a.example.com"});
        let registries = |entry: &str| json!({"images": {"allowedRegistries": [entry]}});
        let (here, there) = (registries("ghcr.io/acme"), registries("quay.io"));
        let warn = |mut spec: Value, enforcement: &str| {
            spec["enforcement"] = enforcement.into();
            spec
        };
        let no_tag = json!({"images": {"forbidMutableTags": true}});
        for (policies, expected) in [
            (vec![("a", here.clone()), ("b", there.clone())], vec!["b"]),
            (
                vec![("a", there.clone()), ("b", there.clone())],
                vec!["a", "b"],
            ),
            (vec![("a", warn(there.clone(), "Warn"))], vec!["a"]),
            (vec![("a", warn(there.clone(), "Audit"))], vec!["a"]),
            (vec![("a", warn(there.clone(), "Off"))], vec![]),
            (
                vec![("a", no_tag), ("b", there.clone()), ("c", json!({}))],
                vec!["a", "b"],
            ),
            // The enforcement of one, the list of the other: the list breaks it.
            (
                vec![
                    ("a", warn(there.clone(), "Warn")),
                    (
                        "b",
                        json!({"overrides": [{"rule": "MCP0102", "enforcement": "Enforce"}]}),
                    ),
                ],
                vec!["a"],
            ),
            // Another team's policy does not count.
            (
                vec![("a", {
                    let mut spec = there.clone();
                    spec["excludeNamespaces"] = json!(["team-a"]);
                    spec
                })],
                vec![],
            ),
            (vec![("a", json!({}))], vec![]),
        ] {
            assert_eq!(broken(&server, &policies), expected, "{policies:?}");
        }
    }

    #[test]
    fn what_holds_without_any_policy_counts_for_the_one_that_demands_it() {
        let server = json!({"image": "ghcr.io/acme/x:1", "ingressHost": "*.example.com"});
        let policies = [
            ("silent", json!({"images": {}})),
            ("demands", json!({"ingress": {"allowWildcardHosts": false}})),
        ];
        assert_eq!(broken(&server, &policies), ["demands"]);
        assert!(broken(&server, &policies[..1]).is_empty());
    }

    #[test]
    fn what_only_two_together_refuse_counts_for_those_that_mention_the_rule() {
        let server = json!({"image": "ghcr.io/acme/x:1"});
        let policies = [
            (
                "gives",
                json!({"defaults": {"ingressHost": "b.example.com"}}),
            ),
            (
                "lists",
                json!({"ingress": {"allowedHosts": ["a.example.com"], "requireHost": false}}),
            ),
        ];
        assert_eq!(broken(&server, &policies), ["lists"]);
    }
}
