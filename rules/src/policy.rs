//! The policies that select one namespace, and what they say together.
//!
//! A list that is absent restricts nothing; a value must satisfy every policy's list; per rule the strictest
//! enforcement among the policies that mention it holds; defaults come from the most specific selector, then by name.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::{Defaults, Enforcement, MCPPolicy, MCPPolicySpec, Trust, duration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::effective::Access;

/// The label that every namespace carries with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The policies that select one namespace: most specific selector first, then by name.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<MCPPolicy>>,
    /// Worked out once, when somebody asks: the texts of durations are read for it.
    access: OnceLock<Arc<Access>>,
}

impl PartialEq for PolicySet {
    fn eq(&self, other: &Self) -> bool {
        self.policies == other.policies
    }
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
        let labels = with_name(labels, namespace);
        Self::sorted(
            policies
                .iter()
                .filter(|policy| verdict(&policy.spec, namespace, &labels).selects()),
        )
    }

    /// The policies for a namespace of which only the name is known: all that the name does not rule out. Those that
    /// speak of it whatever its labels are is what [`Self::certain`] says.
    pub fn assume(policies: &[Arc<MCPPolicy>], namespace: &str) -> Self {
        Self::sorted(
            policies
                .iter()
                .filter(|policy| !rules_out(&policy.spec, namespace)),
        )
    }

    /// The policies that speak of a namespace whatever its labels are: those without a selector, and those that select
    /// by its name alone.
    pub fn certain(policies: &[Arc<MCPPolicy>], namespace: &str) -> Self {
        Self::sorted(
            policies
                .iter()
                .filter(|policy| !rules_out(&policy.spec, namespace) && is_by_name(&policy.spec)),
        )
    }

    fn sorted<'a>(policies: impl Iterator<Item = &'a Arc<MCPPolicy>>) -> Self {
        let mut policies: Vec<_> = policies.cloned().collect();
        policies.sort_by(|one, other| rank(one).cmp(&rank(other)));
        Self {
            policies,
            ..Self::default()
        }
    }

    /// One policy alone.
    pub fn of(policy: &Arc<MCPPolicy>) -> Self {
        Self {
            policies: vec![Arc::clone(policy)],
            ..Self::default()
        }
    }

    /// What no grant or session gets beyond.
    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::clone(self.access.get_or_init(|| Arc::new(Access::of(self))))
    }

    /// The policies as objects, most specific first.
    pub fn policies(&self) -> &[Arc<MCPPolicy>] {
        &self.policies
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

    /// What each policy that mentions a rule says of it: by an override, else by a field of the rule (`mentions`), which
    /// follows the policy's own enforcement.
    pub fn mentions<'a>(
        &'a self,
        code: &'a str,
        mentions: fn(&MCPPolicySpec) -> bool,
    ) -> impl Iterator<Item = Mention<'a>> {
        self.iter().filter_map(move |(policy, spec)| {
            let overrides = spec.overrides.iter().filter(|o| o.rule == code);
            let (enforcement, overridden) = match overrides.map(|o| o.enforcement).max() {
                Some(enforcement) => (enforcement, true),
                None if mentions(spec) => (spec.enforcement.unwrap_or_default(), false),
                None => return None,
            };
            Some(Mention {
                policy,
                enforcement,
                overridden,
            })
        })
    }

    /// The strictest enforcement of a rule among the policies that mention it. Those in `relaxed` allow by a field of
    /// theirs what the rule found: they count as `Off`. `None` where nobody mentions the rule.
    pub fn enforcement(
        &self,
        code: &str,
        mentions: fn(&MCPPolicySpec) -> bool,
        relaxed: &[String],
    ) -> Option<Enforcement> {
        self.mentions(code, mentions)
            .map(|mention| {
                if relaxed.iter().any(|policy| policy == mention.policy) {
                    Enforcement::Off
                } else {
                    mention.enforcement
                }
            })
            .max()
    }

    /// The names of the policies that allow something which a rule refuses by default.
    pub fn relaxing(&self, allows: impl Fn(&MCPPolicySpec) -> bool) -> Vec<String> {
        self.iter()
            .filter(|(_, spec)| allows(spec))
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// The smallest of the numbers that `pick` finds, and whose it is.
    pub fn lowest<'a, T: Ord>(
        &'a self,
        pick: impl Fn(&'a MCPPolicySpec) -> Option<T>,
    ) -> Option<(&'a str, T)> {
        self.iter()
            .filter_map(|(name, spec)| Some((name, pick(spec)?)))
            .min_by(|one, other| one.1.cmp(&other.1))
    }

    /// The lowest trust ceiling.
    pub fn max_trust(&self) -> Option<(&str, Trust)> {
        self.lowest(|spec| spec.access.as_ref()?.max_trust)
    }

    /// The shortest of the durations that `pick` finds. Texts that are no duration count as absent: MCP0407 refuses
    /// them where they are written.
    pub fn shortest(
        &self,
        pick: fn(&api::AccessPolicy) -> Option<&String>,
    ) -> Option<(&str, Duration)> {
        self.lowest(|spec| duration::parse(pick(spec.access.as_ref()?)?).ok())
    }

    /// The provisioned registry of the most specific policy that has one.
    pub fn registry(&self) -> Option<(&str, &api::RegistryPolicy)> {
        self.first(|spec| spec.registry.as_ref())
    }
}

fn name(policy: &MCPPolicy) -> &str {
    policy.metadata.name.as_deref().unwrap_or_default()
}

/// The most specific selector first, then by name.
fn rank(policy: &MCPPolicy) -> (Reverse<usize>, &str) {
    (Reverse(specificity(&policy.spec)), name(policy))
}

fn excludes(spec: &MCPPolicySpec, namespace: &str) -> bool {
    spec.exclude_namespaces
        .iter()
        .any(|excluded| excluded == namespace)
}

/// Whether the name of a namespace is enough to say that a policy does not speak of it. Without a name nothing is.
fn rules_out(spec: &MCPPolicySpec, namespace: &str) -> bool {
    if namespace.is_empty() {
        return false;
    }
    let labels = with_name(&BTreeMap::new(), namespace);
    let mut unmet = spec
        .namespace_selector
        .iter()
        .flat_map(|selector| all_unmet(selector, &labels));
    excludes(spec, namespace) || unmet.any(|unmet| unmet.key == NAMESPACE_NAME)
}

/// Whether a policy selects by no label but the namespace's name.
fn is_by_name(spec: &MCPPolicySpec) -> bool {
    spec.namespace_selector.iter().all(|selector| {
        let labels = selector.match_labels.iter().flatten().map(|(key, _)| key);
        let expressions = selector.match_expressions.iter().flatten();
        labels
            .chain(expressions.map(|requirement| &requirement.key))
            .all(|key| key == NAMESPACE_NAME)
    })
}

/// Labels of a namespace, with the one that every namespace carries.
fn with_name(labels: &BTreeMap<String, String>, namespace: &str) -> BTreeMap<String, String> {
    let mut labels = labels.clone();
    labels.insert(NAMESPACE_NAME.to_owned(), namespace.to_owned());
    labels
}

/// Whether a policy speaks of a namespace, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection<'a> {
    /// It has no selector: all namespaces.
    Everywhere,
    /// Its selector matches.
    Matched,
    /// Its selector matches or is absent, but it leaves the namespace out by name.
    Excluded,
    /// A requirement of its selector is not met.
    Unmet(Unmet<'a>),
}

impl Selection<'_> {
    /// Whether the policy speaks of the namespace.
    pub fn selects(&self) -> bool {
        matches!(self, Self::Everywhere | Self::Matched)
    }
}

impl PolicySet {
    /// For every policy whether it speaks of a namespace, and why: those that do as [`Self::select`] sorts them, then the
    /// others by name.
    pub fn consider<'a>(
        policies: &'a [Arc<MCPPolicy>],
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Vec<(&'a str, Selection<'a>)> {
        let labels = with_name(labels, namespace);
        let mut all: Vec<_> = policies
            .iter()
            .map(|policy| {
                let selection = verdict(&policy.spec, namespace, &labels);
                (!selection.selects(), rank(policy), selection)
            })
            .collect();
        all.sort_by(|one, other| match (one.0, other.0) {
            (true, true) => one.1.1.cmp(other.1.1),
            _ => (one.0, &one.1).cmp(&(other.0, &other.1)),
        });
        all.into_iter()
            .map(|(_, (_, name), selection)| (name, selection))
            .collect()
    }
}

/// What a policy that mentions a rule says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mention<'a> {
    /// The policy.
    pub policy: &'a str,
    /// What a violation does.
    pub enforcement: Enforcement,
    /// An override says so, not a field of the rule.
    pub overridden: bool,
}

fn verdict<'a>(
    spec: &'a MCPPolicySpec,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Selection<'a> {
    let selector = spec.namespace_selector.as_ref();
    match selector.map(|selector| unmet(selector, labels)) {
        Some(Some(unmet)) => Selection::Unmet(unmet),
        _ if excludes(spec, namespace) => Selection::Excluded,
        Some(None) => Selection::Matched,
        None => Selection::Everywhere,
    }
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
    unmet(selector, labels).is_none()
}

/// A requirement of a selector that labels do not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet<'a> {
    /// The label.
    pub key: &'a str,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`; whatever else was written.
    pub operator: &'a str,
    /// What the operator speaks of.
    pub values: &'a [String],
    /// What the label is.
    pub found: Option<String>,
}

/// The first requirement that the labels do not meet.
fn unmet<'a>(selector: &'a LabelSelector, labels: &BTreeMap<String, String>) -> Option<Unmet<'a>> {
    all_unmet(selector, labels).next()
}

/// The requirements that the labels do not meet.
pub(crate) fn all_unmet<'a>(
    selector: &'a LabelSelector,
    labels: &BTreeMap<String, String>,
) -> impl Iterator<Item = Unmet<'a>> {
    let by_label = selector.match_labels.iter().flatten();
    let by_label = by_label.map(|(key, value)| (key, "In", std::slice::from_ref(value)));
    let by_expression = selector.match_expressions.iter().flatten();
    let by_expression = by_expression.map(|requirement| {
        let values = requirement.values.as_deref().unwrap_or_default();
        (&requirement.key, requirement.operator.as_str(), values)
    });
    by_label
        .chain(by_expression)
        .filter(|(key, operator, values)| !is_met(labels.get(*key), operator, values))
        .map(|(key, operator, values)| Unmet {
            key,
            operator,
            values,
            found: labels.get(key).cloned(),
        })
}

fn is_met(found: Option<&String>, operator: &str, values: &[String]) -> bool {
    let listed = found.is_some_and(|found| values.contains(found));
    match operator {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
