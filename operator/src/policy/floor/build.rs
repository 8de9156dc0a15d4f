//! The floor of one policy as objects: for each action a ValidatingAdmissionPolicy and its binding. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{MCPPolicy, MCPPolicySpec, names};
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
    ValidatingAdmissionPolicySpec, Variable,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use kube::{Resource as _, ResourceExt as _};
use sha2::{Digest as _, Sha256};

use super::check::{Check, SCALES};
use super::scope::{Action, Scope};
use super::{cel, grant, image, ingress, server};

/// The label that every namespace carries with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// The longest name of an object.
const MAX_NAME: usize = 253;

/// What holds one action of a policy.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) action: Action,
    pub(super) policy: ValidatingAdmissionPolicy,
    pub(super) binding: ValidatingAdmissionPolicyBinding,
}

/// The floor of a policy; `all` are all policies, itself among them.
pub(super) fn parts(policy: &Arc<MCPPolicy>, all: &[Arc<MCPPolicy>]) -> Vec<Part> {
    let scope = Scope::new(policy, all);
    let variables = variables(&scope);
    let mut by_action: BTreeMap<Action, Vec<Check>> = BTreeMap::new();
    for check in checks(&scope) {
        if let Some(action) = scope.action(check.code, check.by_policy) {
            let action = heard(action, check.resource);
            by_action.entry(action).or_default().push(check);
        }
    }
    by_action
        .into_iter()
        .map(|(action, checks)| part(policy, action, &checks, &variables))
        .collect()
}

/// Nobody reads warnings about a Scale, and an autoscaler would log them for ever: they go to the audit log, as those of
/// the webhook do.
fn heard(action: Action, resource: &str) -> Action {
    if action == Action::Warn && resource == SCALES {
        Action::Audit
    } else {
        action
    }
}

/// Name of both objects.
pub(super) fn name(policy: &str, action: Action) -> String {
    let (prefix, suffix) = ("kubectl-mcp-floor-", action.word());
    let name = format!("{prefix}{policy}-{suffix}");
    if name.len() <= MAX_NAME {
        return name;
    }
    // Names are ASCII, so any cut is between characters.
    let digest = Sha256::digest(policy.as_bytes());
    let first = digest.iter().take(8);
    let number = first.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let short = format!("{number:016x}");
    let kept = MAX_NAME - prefix.len() - short.len() - suffix.len() - 2;
    let kept = policy[..kept].trim_end_matches(['.', '-']);
    format!("{prefix}{kept}-{short}-{suffix}")
}

/// Every check, in the order in which people should read them: the first that fails is what they see.
fn checks(scope: &Scope) -> Vec<Check> {
    let mut all = image::checks(scope);
    all.extend(ingress::checks(scope));
    all.extend(server::checks(scope));
    all.extend(grant::checks(scope));
    all
}

fn variables(scope: &Scope) -> Vec<(String, String)> {
    let mut all = vec![
        (
            "resource".to_owned(),
            "request.resource.resource + (request.?subResource.orValue('') == '' ? '' : '/' + request.subResource)"
                .to_owned(),
        ),
        ("spec".to_owned(), "object.?spec.orValue({})".to_owned()),
        (
            "before".to_owned(),
            "request.operation == 'UPDATE' ? oldObject.?spec.orValue({}) : {}".to_owned(),
        ),
    ];
    all.extend(image::variables(scope));
    all.extend(ingress::variables());
    all
}

fn part(
    policy: &Arc<MCPPolicy>,
    action: Action,
    checks: &[Check],
    variables: &[(String, String)],
) -> Part {
    let name = name(&policy.name_any(), action);
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        labels: Some([(names::MANAGED_BY.to_owned(), names::OPERATOR.to_owned())].into()),
        owner_references: policy.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let validations: Vec<_> = checks.iter().map(Check::validation).collect();
    let said: Vec<&str> = validations
        .iter()
        .flat_map(|v| std::iter::once(v.expression.as_str()).chain(v.message_expression.as_deref()))
        .collect();
    let resources: BTreeSet<&str> = checks.iter().map(|check| check.resource).collect();
    let admission = ValidatingAdmissionPolicy {
        metadata: metadata.clone(),
        spec: Some(ValidatingAdmissionPolicySpec {
            failure_policy: Some("Fail".to_owned()),
            match_constraints: Some(matched(resources)),
            match_conditions: Some(vec![MatchCondition {
                name: "not-being-deleted".to_owned(),
                expression:
                    "request.operation != 'UPDATE' || !has(oldObject.metadata.deletionTimestamp)"
                        .to_owned(),
            }]),
            variables: Some(used(variables, &said)),
            validations: Some(validations),
            ..ValidatingAdmissionPolicySpec::default()
        }),
        ..ValidatingAdmissionPolicy::default()
    };
    let actions: &[&str] = match action {
        Action::Deny => &["Deny", "Audit"],
        Action::Warn => &["Warn", "Audit"],
        Action::Audit => &["Audit"],
    };
    let binding = ValidatingAdmissionPolicyBinding {
        metadata,
        spec: ValidatingAdmissionPolicyBindingSpec {
            policy_name: name,
            match_resources: Some(MatchResources {
                namespace_selector: Some(namespaces(&policy.spec)),
                ..MatchResources::default()
            }),
            validation_actions: actions.iter().map(|word| (*word).to_owned()).collect(),
            ..ValidatingAdmissionPolicyBindingSpec::default()
        },
    };
    Part {
        action,
        policy: admission,
        binding,
    }
}

fn matched(resources: BTreeSet<&str>) -> MatchResources {
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    MatchResources {
        match_policy: Some("Equivalent".to_owned()),
        resource_rules: Some(vec![NamedRuleWithOperations {
            api_groups: words(&[api::GROUP]),
            api_versions: words(&[api::VERSION]),
            operations: words(&["CREATE", "UPDATE"]),
            resources: Some(resources.into_iter().map(str::to_owned).collect()),
            scope: Some("Namespaced".to_owned()),
            ..NamedRuleWithOperations::default()
        }]),
        ..MatchResources::default()
    }
}

/// The variables that the expressions read, directly or through another.
fn used(variables: &[(String, String)], said: &[&str]) -> Vec<Variable> {
    let mut readers: Vec<&str> = said.to_vec();
    let mut kept = Vec::new();
    // A variable reads only those before it.
    for (name, expression) in variables.iter().rev() {
        if readers.iter().any(|reader| cel::reads(reader, name)) {
            readers.push(expression);
            kept.push(Variable {
                name: name.clone(),
                expression: expression.clone(),
            });
        }
    }
    kept.reverse();
    kept
}

/// The policy's selector without the namespaces that it leaves out.
fn namespaces(spec: &MCPPolicySpec) -> LabelSelector {
    let mut selector = spec.namespace_selector.clone().unwrap_or_default();
    if !spec.exclude_namespaces.is_empty() {
        selector
            .match_expressions
            .get_or_insert_default()
            .push(LabelSelectorRequirement {
                key: NAMESPACE_NAME.to_owned(),
                operator: "NotIn".to_owned(),
                values: Some(spec.exclude_namespaces.clone()),
            });
    }
    selector
}
