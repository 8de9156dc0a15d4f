//! The rules, and what is known of each without running it.

use api::MCPPolicySpec;

use crate::context::{Context, Report};
use crate::kind::Kind;

/// Who decides what a violation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The object cannot work or breaks isolation: refused whatever the policies say.
    Structural,
    /// Comes from an MCPPolicy and follows its enforcement.
    Policy,
    /// A policy rule that holds, in Enforce, also where no MCPPolicy mentions it.
    PolicyOn,
    /// Always a warning.
    Warning,
}

impl Class {
    /// The class in words, for the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Structural => "structural",
            Self::Policy => "policy",
            Self::PolicyOn => "policy, on by default",
            Self::Warning => "warning",
        }
    }
}

/// What a rule looks up beyond the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Need {
    Time,
    Policies,
    Servers,
    Grants,
    Sessions,
    IngressClasses,
    Requester,
    Secrets,
    ConfigMaps,
    Services,
    Namespaces,
    Catalogues,
    Tools,
    Endpoints,
}

impl Need {
    /// The need in words, for messages and documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "the time",
            Self::Policies => "the policies",
            Self::Servers => "the servers",
            Self::Grants => "the grants",
            Self::Sessions => "the sessions",
            Self::IngressClasses => "the ingress classes",
            Self::Requester => "who asks",
            Self::Secrets => "the Secrets",
            Self::ConfigMaps => "the ConfigMaps",
            Self::Services => "the Services",
            Self::Namespaces => "the namespaces",
            Self::Catalogues => "the catalogues",
            Self::Tools => "the tools, prompts and resources",
            Self::Endpoints => "the endpoints",
        }
    }
}

/// What is known of a rule without running it.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// `MCP` and four digits; never used for anything else again.
    pub code: &'static str,
    /// Its name, in kebab case.
    pub name: &'static str,
    /// One line that says what is refused.
    pub summary: &'static str,
    /// The kinds it judges.
    pub kinds: &'static [Kind],
    /// Who decides what a violation does.
    pub class: Class,
    /// What it looks up.
    pub needs: &'static [Need],
    /// Whether a policy mentions the rule by one of its fields.
    pub mentions: fn(&MCPPolicySpec) -> bool,
    /// Whether an old finding becomes a warning on UPDATE. False for rules about who, escalation and lifetimes.
    pub ratchets: bool,
    /// Whether the rule judges a deletion.
    pub deletions: bool,
    /// Whether the rule judges an object that is being deleted already. All others leave it alone.
    pub terminating: bool,
}

impl Meta {
    /// A rule that needs nothing and that no field of a policy mentions.
    pub(crate) const fn new(
        code: &'static str,
        name: &'static str,
        kinds: &'static [Kind],
        class: Class,
    ) -> Self {
        Self {
            code,
            name,
            summary: "",
            kinds,
            class,
            needs: &[],
            mentions: unmentioned,
            ratchets: true,
            deletions: false,
            terminating: false,
        }
    }

    pub(crate) const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub(crate) const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    pub(crate) const fn mentioned_by(mut self, mentions: fn(&MCPPolicySpec) -> bool) -> Self {
        self.mentions = mentions;
        self
    }

    pub(crate) const fn deletions(mut self) -> Self {
        self.deletions = true;
        self
    }

    pub(crate) const fn terminating(mut self) -> Self {
        self.terminating = true;
        self
    }

    pub(crate) const fn never_ratchets(mut self) -> Self {
        self.ratchets = false;
        self
    }
}

fn unmentioned(_: &MCPPolicySpec) -> bool {
    false
}

/// A rule: one file of `rules/`.
pub trait Rule: Sync {
    /// What is known of it.
    fn meta(&self) -> &Meta;
    /// Judges the object of the context.
    fn check(&self, context: &Context<'_>, report: &mut Report);
}

/// Meta and function of one rule.
pub(crate) struct Plain {
    pub(crate) meta: Meta,
    pub(crate) check: fn(&Context<'_>, &mut Report),
}

impl Rule for Plain {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn check(&self, context: &Context<'_>, report: &mut Report) {
        (self.check)(context, report);
    }
}

/// Every rule, by code.
pub const REGISTRY: &[&dyn Rule] = crate::rules::ALL;

/// The rule of a code.
pub fn find(code: &str) -> Option<&'static dyn Rule> {
    REGISTRY
        .iter()
        .copied()
        .find(|rule| rule.meta().code == code)
}
