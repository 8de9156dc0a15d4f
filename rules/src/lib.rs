//! Admission as pure functions: fill in defaults, judge an object, say every effective value.
//!
//! One engine behind four doors: the webhook, `kubectl mcp lint`, the operator's validate step and `policy test`.
//! Nothing here does I/O, reads a clock or talks to a cluster: what a rule may know beyond the object stands in
//! [`Facts`]. One file per rule under `rules/`, with fixtures and a page in `docs/rules/`.

mod check;
mod context;
mod defaults;
mod docs;
pub mod effective;
mod escalation;
mod facts;
mod finding;
mod items;
mod kind;
pub mod parse;
mod policy;
mod questions;
mod references;
pub mod registry;
mod rules;
mod schema;
mod subject;
mod template;
mod violations;
mod weakening;

pub use check::check;
pub use context::{Context, Report};
pub use defaults::{default, default_patch};
pub use docs::docs_index;
pub use effective::provenance::{Provenance, provenance};
pub use effective::{Effective, effective};
pub use facts::{
    CatalogueFact, Facts, Known, Labels, LiveServer, NamespaceFacts, Operation, Question,
    Requester, SecretFact, ServerFact, Servers, ServiceFact, ServicePortFact,
};
pub use finding::{Draft, Fault, Finding, Findings, Severity, WARNING_LENGTH, docs, escape};
pub use kind::{Kind, kind_of};
pub use policy::{Mention, PolicySet, Selection, Unmet, matches, select};
pub use questions::questions;
pub use registry::{Class, Meta, Need, REGISTRY, Rule, find};
pub use rules::HARMLESS_ANNOTATIONS;
pub use violations::violations;

#[cfg(test)]
mod tests;
