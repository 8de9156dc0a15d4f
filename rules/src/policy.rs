//! The policies that select one namespace, and what they say together.
//!
//! A list that is absent restricts nothing; a value must satisfy every policy's list; per rule the strictest
//! enforcement among the policies that mention it holds; defaults come from the most specific selector, then by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Defaults, Enforcement, MCPPolicy, MCPPolicySpec, Trust, duration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// The label that every namespace carries with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The policies that select one namespace: most specific selector first, then by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicySet {
    policies: Vec<Arc<MCPPolicy>>,
}

/// The policies of `policies` that select a namespace.
pub fn select(
    policies: &[Arc<MCPPolicy>],
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> PolicySet {
    PolicySet::select(policies, namespace, labels)
}

impl PolicySet {
    /// The policies that select a namespace by its name and labels.
    pub fn select(
        policies: &[Arc<MCPPolicy>],
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let mut labels = labels.clone();
        labels.insert(NAMESPACE_NAME.to_owned(), namespace.to_owned());
        Self::sorted(
            policies
                .iter()
                .filter(|policy| selects(&policy.spec, namespace, &labels)),
        )
    }

    /// The policies for a namespace whose labels nobody knows: all that do not exclude it by name.
    pub fn assume(policies: &[Arc<MCPPolicy>], namespace: &str) -> Self {
        Self::sorted(
            policies
                .iter()
                .filter(|policy| !excludes(&policy.spec, namespace)),
        )
    }

    fn sorted<'a>(policies: impl Iterator<Item = &'a Arc<MCPPolicy>>) -> Self {
        let mut policies: Vec<_> = policies.cloned().collect();
        policies.sort_by_key(|policy| {
            (
                std::cmp::Reverse(specificity(&policy.spec)),
                name(policy).to_owned(),
            )
        });
        Self { policies }
    }

    /// Whether no policy selects the namespace.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The policies, most specific first, each with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MCPPolicySpec)> {
        self.policies
            .iter()
            .map(|policy| (name(policy), &policy.spec))
    }

    /// The first policy that gives this default, and what it gives.
    pub fn default_of<'a, T>(
        &'a self,
        pick: impl Fn(&'a Defaults) -> Option<T>,
    ) -> Option<(&'a str, T)> {
        self.iter()
            .find_map(|(name, spec)| Some((name, pick(spec.defaults.as_ref()?)?)))
    }

    /// The first policy of which `pick` finds something.
    pub fn first<'a, T>(
        &'a self,
        pick: impl Fn(&'a MCPPolicySpec) -> Option<T>,
    ) -> Option<(&'a str, T)> {
        self.iter()
            .find_map(|(name, spec)| Some((name, pick(spec)?)))
    }

    /// Whether some policy asks for it.
    pub fn any(&self, asks: impl Fn(&MCPPolicySpec) -> bool) -> bool {
        self.iter().any(|(_, spec)| asks(spec))
    }

    /// The strictest enforcement of a rule among the policies that mention it, by an override or by a field of the
    /// rule (`mentions`). `None` where nobody does.
    pub fn enforcement(
        &self,
        code: &str,
        mentions: fn(&MCPPolicySpec) -> bool,
    ) -> Option<Enforcement> {
        self.iter()
            .filter_map(|(_, spec)| {
                let overridden = spec
                    .overrides
                    .iter()
                    .filter(|o| o.rule == code)
                    .map(|o| o.enforcement)
                    .max();
                match overridden {
                    Some(enforcement) => Some(enforcement),
                    None => mentions(spec).then(|| spec.enforcement.unwrap_or_default()),
                }
            })
            .max()
    }

    /// The lowest trust ceiling.
    pub fn max_trust(&self) -> Option<(&str, Trust)> {
        self.iter()
            .filter_map(|(name, spec)| Some((name, spec.access.as_ref()?.max_trust?)))
            .min_by_key(|(_, trust)| *trust)
    }

    /// The shortest of the durations that `pick` finds. Texts that are no duration count as absent: MCP0407 refuses
    /// them where they are written.
    pub fn shortest(
        &self,
        pick: fn(&api::AccessPolicy) -> Option<&String>,
    ) -> Option<(&str, Duration)> {
        self.iter()
            .filter_map(|(name, spec)| {
                Some((name, duration::parse(pick(spec.access.as_ref()?)?).ok()?))
            })
            .min_by_key(|(_, duration)| *duration)
    }

    /// The provisioned registry of the most specific policy that has one.
    pub fn registry(&self) -> Option<(&str, &api::RegistryPolicy)> {
        self.first(|spec| spec.registry.as_ref())
    }
}

fn name(policy: &MCPPolicy) -> &str {
    policy.metadata.name.as_deref().unwrap_or_default()
}

fn excludes(spec: &MCPPolicySpec, namespace: &str) -> bool {
    spec.exclude_namespaces
        .iter()
        .any(|excluded| excluded == namespace)
}

fn selects(spec: &MCPPolicySpec, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    !excludes(spec, namespace)
        && spec
            .namespace_selector
            .as_ref()
            .is_none_or(|selector| matches(selector, labels))
}

/// How many requirements the selector has.
fn specificity(spec: &MCPPolicySpec) -> usize {
    spec.namespace_selector.as_ref().map_or(0, |selector| {
        selector.match_labels.as_ref().map_or(0, BTreeMap::len)
            + selector.match_expressions.as_ref().map_or(0, Vec::len)
    })
}

/// Whether a label selector selects. An operator that Kubernetes does not have selects nothing.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let by_label = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    by_label
        && selector
            .match_expressions
            .iter()
            .flatten()
            .all(|requirement| {
                let given = labels.get(&requirement.key);
                let listed = |value: &String| {
                    requirement
                        .values
                        .iter()
                        .flatten()
                        .any(|known| known == value)
                };
                match requirement.operator.as_str() {
                    "In" => given.is_some_and(listed),
                    "NotIn" => !given.is_some_and(listed),
                    "Exists" => given.is_some(),
                    "DoesNotExist" => given.is_none(),
                    _ => false,
                }
            })
}

#[cfg(test)]
mod tests {
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
            set.enforcement("MCP0102", mentions),
            Some(Enforcement::Warn)
        );
        assert_eq!(set.enforcement("MCP0999", |_| false), None);
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
}
