//! A policy, and what other policies may say for the same namespaces.
//!
//! A server's effective values come from all policies that select its namespace, but each part of the floor speaks for
//! one. So wherever another policy could make a refusal wrong, it is left out.

use std::sync::Arc;

use api::{Defaults, Enforcement, MCPPolicy, MCPPolicySpec};
use kube::ResourceExt as _;
use rules::{Class, Meta, PolicySet};

/// What a ValidatingAdmissionPolicy does with what does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// Refuses it.
    Deny,
    /// Lets it through with a warning.
    Warn,
    /// Lets it through and notes it in the audit log.
    Audit,
}

impl Action {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Deny, Self::Warn, Self::Audit];

    /// The word at the end of object names.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Warn => "warn",
            Self::Audit => "audit",
        }
    }

    fn of(enforcement: Enforcement) -> Option<Self> {
        match enforcement {
            Enforcement::Enforce => Some(Self::Deny),
            Enforcement::Warn => Some(Self::Warn),
            Enforcement::Audit => Some(Self::Audit),
            Enforcement::Off => None,
        }
    }
}

/// A policy among the others.
pub(super) struct Scope {
    policy: Arc<MCPPolicy>,
    /// Those that may select a namespace that this one selects.
    others: Vec<Arc<MCPPolicy>>,
}

impl Scope {
    /// The policy with those of `all` that matter to it.
    pub(super) fn new(policy: &Arc<MCPPolicy>, all: &[Arc<MCPPolicy>]) -> Self {
        let mut others: Vec<_> = all
            .iter()
            .filter(|other| {
                other.name_any() != policy.name_any() && may_meet(&policy.spec, &other.spec)
            })
            .cloned()
            .collect();
        others.sort_by_key(|other| other.name_any());
        Self {
            policy: Arc::clone(policy),
            others,
        }
    }

    /// The policy's spec.
    pub(super) fn spec(&self) -> &MCPPolicySpec {
        &self.policy.spec
    }

    /// The policy as messages name it.
    pub(super) fn title(&self) -> String {
        format!("MCPPolicy '{}'", self.policy.name_any())
    }

    /// The policy itself, then the others.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &MCPPolicySpec> {
        std::iter::once(&self.policy)
            .chain(&self.others)
            .map(|policy| &policy.spec)
    }

    /// Every default that a server of these namespaces may get.
    pub(super) fn defaults(&self, pick: fn(&Defaults) -> Option<&String>) -> Vec<&str> {
        self.everybody()
            .filter_map(|spec| pick(spec.defaults.as_ref()?).map(String::as_str))
            .collect()
    }

    /// What becomes of a violation of this rule, as far as this policy decides it; `None`: nothing.
    ///
    /// Where several policies mention a rule the strictest holds, so this one's word is never too strict. What holds
    /// whatever policies say goes along with a policy that enforces.
    pub(super) fn action(&self, code: &str, by_policy: bool) -> Option<Action> {
        let meta = rules::find(code)?.meta();
        let enforces = self.spec().enforcement.unwrap_or_default() == Enforcement::Enforce;
        let class = if by_policy { Class::Policy } else { meta.class };
        match class {
            Class::Structural => enforces.then_some(Action::Deny),
            Class::Policy => Action::of(said(&self.policy, meta)?),
            Class::PolicyOn => match said(&self.policy, meta) {
                Some(enforcement) => Action::of(enforcement),
                None if enforces => {
                    let weakest = self
                        .others
                        .iter()
                        .filter_map(|other| said(other, meta))
                        .min();
                    Action::of(weakest.unwrap_or(Enforcement::Enforce))
                }
                None => None,
            },
            Class::Warning => None,
        }
    }
}

/// What one policy alone says of a rule.
fn said(policy: &Arc<MCPPolicy>, meta: &Meta) -> Option<Enforcement> {
    PolicySet::of(policy).enforcement(meta.code, meta.mentions, &[])
}

/// Whether one namespace could be selected by both: only labels that contradict each other say that none can.
fn may_meet(one: &MCPPolicySpec, other: &MCPPolicySpec) -> bool {
    let labels = |spec: &MCPPolicySpec| {
        spec.namespace_selector
            .as_ref()
            .and_then(|selector| selector.match_labels.clone())
            .unwrap_or_default()
    };
    let theirs = labels(other);
    labels(one)
        .iter()
        .all(|(key, value)| theirs.get(key).is_none_or(|their| their == value))
}
