//! What the policies of a namespace say together, and which policy each part comes from.
//!
//! Called by `kubectl mcp policy explain`. Nothing is decided here: every value that holds comes from the functions of
//! [`PolicySet`], of [`effective`] and of the parsers that the rules use too.

mod fields;

use api::{Enforcement, MCPServer, MCPServerSpec};
use serde_json::Value;

use crate::effective::effective;
use crate::policy::PolicySet;
use crate::registry::{Class, Meta, REGISTRY};
use fields::{FIELDS, Sources};

/// How what several policies say becomes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combined {
    /// The most specific policy that says something, then the first by name.
    MostSpecific,
    /// All that any policy says.
    Union,
    /// A list: a value must satisfy every policy's.
    Every,
    /// The lowest or shortest.
    Lowest,
    /// One policy that asks for it is enough.
    Any,
    /// Holds by default; relaxed if a policy relaxes it and none that mentions it wants it.
    Relaxed,
}

impl Combined {
    /// The way in words, for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MostSpecific => "most specific",
            Self::Union => "all together",
            Self::Every => "every list",
            Self::Lowest => "lowest",
            Self::Any => "one is enough",
            Self::Relaxed => "unless all relax it",
        }
    }
}

/// One field of the policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The field below `spec` of an MCPPolicy, such as `images.allowedRegistries`.
    pub field: &'static str,
    /// How several become one.
    pub combined: Combined,
    /// What holds for the namespace.
    pub holds: Value,
    /// What each policy says that says something, most specific first. Empty: what holds is built in.
    pub given: Vec<Given>,
}

/// What one policy says of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The policy.
    pub policy: String,
    /// What it says.
    pub value: Value,
    /// False where another policy's value holds instead.
    pub counts: bool,
}

/// One rule that a policy mentions.
#[derive(Clone, Debug)]
pub struct RuleLine {
    /// The rule.
    pub meta: &'static Meta,
    /// What a violation does.
    pub enforcement: Enforcement,
    /// What each policy that mentions the rule says, most specific first.
    pub said: Vec<Said>,
}

/// What one policy says of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The policy.
    pub policy: String,
    /// What a violation does.
    pub enforcement: Enforcement,
    /// An override says so, not a field of the rule.
    pub overridden: bool,
}

/// Everything that the policies of a namespace say together.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// What holds, field by field, in the order of the MCPPolicy's schema. Fields that nobody sets and that have no
    /// built-in value are left out.
    pub lines: Vec<Line>,
    /// Every rule that a policy mentions, by code.
    pub rules: Vec<RuleLine>,
    /// Rules that hold by default and that no policy mentions, by code.
    pub by_default: Vec<&'static Meta>,
}

/// What the policies say together for a namespace.
pub fn provenance(policies: &PolicySet, namespace: &str) -> Provenance {
    let mut server = MCPServer::new("", MCPServerSpec::default());
    server.metadata.namespace = Some(namespace.to_owned());
    let specs = policies.iter().map(|(name, spec)| {
        let spec = serde_json::to_value(spec).unwrap_or_default();
        (name.to_owned(), spec)
    });
    let sources = Sources {
        policies,
        namespace,
        effective: effective(&server, policies),
        specs: specs.collect(),
    };
    let lines = FIELDS.iter().filter_map(|field| sources.line(field));
    let mut rules = Vec::new();
    let mut by_default = Vec::new();
    for meta in REGISTRY.iter().map(|rule| rule.meta()) {
        match rule_line(policies, meta) {
            Some(line) => rules.push(line),
            None if meta.class == Class::PolicyOn => by_default.push(meta),
            None => {}
        }
    }
    Provenance {
        lines: lines.collect(),
        rules,
        by_default,
    }
}

fn rule_line(policies: &PolicySet, meta: &'static Meta) -> Option<RuleLine> {
    let said = policies
        .mentions(meta.code, meta.mentions)
        .map(|mention| Said {
            policy: mention.policy.to_owned(),
            enforcement: mention.enforcement,
            overridden: mention.overridden,
        });
    Some(RuleLine {
        meta,
        enforcement: policies.enforcement(meta.code, meta.mentions, &[])?,
        said: said.collect(),
    })
}

#[cfg(test)]
mod tests;
