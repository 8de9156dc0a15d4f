//! Judging one object by every rule.

use std::collections::HashSet;

use api::Enforcement;
use serde_json::Value;

use crate::context::{Context, Report};
use crate::facts::{Facts, Operation};
use crate::finding::{Draft, Finding, Findings, Severity, Weight, docs, printable};
use crate::kind::kind_of;
use crate::registry::{Class, Meta, REGISTRY, Rule};

/// Code of the rule that says what the schema says.
const SCHEMA: &str = "MCP0911";

/// Judges an object: `new` alone is a creation, with `old` a change, `old` alone a deletion, unless
/// [`Facts::operation`] says otherwise. A document that is none of our kinds has no findings.
pub fn check(new: Option<&Value>, old: Option<&Value>, facts: &Facts) -> Findings {
    check_by(REGISTRY, new, old, facts)
}

/// Judges an object by some rules only.
pub(crate) fn check_by(
    rules: &[&dyn Rule],
    new: Option<&Value>,
    old: Option<&Value>,
    facts: &Facts,
) -> Findings {
    let operation = facts.operation.unwrap_or(match (new, old) {
        (Some(_), None) => Operation::Create,
        (Some(_), Some(_)) => Operation::Update,
        (None, _) => Operation::Delete,
    });
    let Some(object) = new.or(old) else {
        return Findings::default();
    };
    let mut findings = judge(rules, object, new.and(old), operation, facts);
    if let (Operation::Update, Some(old)) = (operation, new.and(old))
        && findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    {
        ratchet(
            &mut findings,
            &judge(rules, old, None, Operation::Live, facts),
        );
    }
    Findings::new(findings)
}

/// What was already so before the change is only a warning, except where the rule is about who or how long.
fn ratchet(findings: &mut [Finding], before: &[Finding]) {
    for finding in findings
        .iter_mut()
        .filter(|finding| finding.severity == Severity::Error)
    {
        let ratchets = crate::registry::find(finding.code).is_some_and(|rule| rule.meta().ratchets);
        if ratchets && before.iter().any(|old| old.same_as(finding)) {
            finding.severity = Severity::Warning;
            finding.ratcheted = true;
        }
    }
}

fn judge(
    rules: &[&dyn Rule],
    object: &Value,
    old: Option<&Value>,
    operation: Operation,
    facts: &Facts,
) -> Vec<Finding> {
    let Some(kind) = kind_of(object) else {
        return Vec::new();
    };
    let context = Context::new(kind, object, old, operation, facts);
    let terminating = old.is_some_and(is_terminating);
    let mut findings = Vec::new();
    for rule in rules {
        let meta = rule.meta();
        let applies = meta.kinds.contains(&kind)
            && (operation != Operation::Delete || meta.deletions)
            && (!terminating || meta.terminating);
        if applies {
            let mut report = Report::default();
            rule.check(&context, &mut report);
            findings.extend(
                report
                    .drafts
                    .into_iter()
                    .filter_map(|draft| finish(draft, meta, &context)),
            );
        }
    }
    settle_schema(&mut findings, &context);
    findings
}

/// Whether the API server is waiting to remove the object.
pub(crate) fn is_terminating(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|time| !time.is_null())
}

fn finish(draft: Draft, meta: &Meta, context: &Context<'_>) -> Option<Finding> {
    let (severity, audit) = if draft.weight == Weight::Unchecked {
        (Severity::Unchecked, false)
    } else {
        severity(&draft, meta, context)?
    };
    let by_policy = draft.weight == Weight::Full && said(&draft, meta, context).is_some();
    Some(Finding {
        code: meta.code,
        severity,
        kind: context.kind.as_str(),
        namespace: printable(context.namespace),
        name: printable(context.name),
        field: printable(&draft.field),
        value: draft.value,
        message: draft.message,
        hint: draft.hint,
        docs: docs(meta.code),
        fault: draft.fault,
        audit,
        by_policy,
        ratcheted: false,
        judged: draft.judged,
    })
}

/// Who decides what the violation does: the rule's class, but for the part of a structural rule that policies add, and
/// for the part of a policy's rule that no policy can take away.
fn class(draft: &Draft, meta: &Meta) -> Class {
    if draft.structural {
        Class::Structural
    } else if draft.by_policy {
        Class::Policy
    } else {
        meta.class
    }
}

/// What the policies say of a draft that follows them.
fn said(draft: &Draft, meta: &Meta, context: &Context<'_>) -> Option<Enforcement> {
    match class(draft, meta) {
        Class::Structural | Class::Warning => None,
        Class::PolicyOn | Class::Policy => {
            let policies = context.selected();
            policies.enforcement(meta.code, meta.mentions, &draft.relaxed)
        }
    }
}

/// What becomes of a draft: its severity, and whether it is only for the audit log. `None`: nothing.
fn severity(draft: &Draft, meta: &Meta, context: &Context<'_>) -> Option<(Severity, bool)> {
    let enforcement = match class(draft, meta) {
        Class::Structural => Enforcement::Enforce,
        Class::Warning => Enforcement::Warn,
        Class::PolicyOn => said(draft, meta, context).unwrap_or(Enforcement::Enforce),
        Class::Policy => said(draft, meta, context).unwrap_or(Enforcement::Warn),
    };
    match if draft.weight == Weight::Warning {
        enforcement.min(Enforcement::Warn)
    } else {
        enforcement
    } {
        Enforcement::Off => None,
        Enforcement::Audit => Some((Severity::Warning, true)),
        Enforcement::Warn => Some((Severity::Warning, false)),
        Enforcement::Enforce => Some((Severity::Error, false)),
    }
}

/// Where the schema had to take a field away, no other rule has a say on it; where a rule says the same more
/// precisely, the schema's sentence goes.
fn settle_schema(findings: &mut Vec<Finding>, context: &Context<'_>) {
    if context.violations().is_empty() {
        return;
    }
    // Sets, because an object may be made to have thousands of findings.
    let hard = context.violations().iter().filter(|v| v.hard);
    let damaged: HashSet<&str> = hard.map(|violation| violation.path.as_str()).collect();
    findings.retain(|finding| finding.code == SCHEMA || !is_within(&finding.field, &damaged));
    let precise: HashSet<String> = findings
        .iter()
        .filter(|finding| finding.code != SCHEMA && finding.severity == Severity::Error)
        .map(|finding| finding.field.clone())
        .collect();
    findings.retain(|finding| {
        finding.code != SCHEMA
            || damaged.contains(finding.field.as_str())
            || !precise.contains(&finding.field)
    });
}

/// Whether the field is one of the paths, or below one.
fn is_within(field: &str, paths: &HashSet<&str>) -> bool {
    let ends = field.match_indices(['.', '[']).map(|(end, _)| end);
    ends.chain([field.len()])
        .any(|end| paths.contains(&field[..end]))
}
