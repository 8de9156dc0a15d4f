//! MCP0913 owner-references: a grant or session is given an owner, whose absence would delete it.

use serde_json::Value;

use crate::facts::Operation;

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0913", "owner-references", &[Kind::Grant, Kind::Session], Class::Structural)
        .summary("a grant or session is given an owner: the garbage collector would delete it with that owner, or at once where there is none")
        .never_ratchets()
        .terminating(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    if !matches!(context.operation, Operation::Create | Operation::Update) {
        return;
    }
    let given = references(context.object);
    let before = context.old.map(references).unwrap_or_default();
    for (index, reference) in given.iter().enumerate() {
        if !before.iter().any(|old| is_same_owner(old, reference)) {
            report
                .at(format!("metadata.ownerReferences[{index}]"))
                .must(format!(
                    "must not be set: the garbage collector would delete the {} with its owner, whoever wrote the reference",
                    context.kind
                ))
                .hint("take metadata.ownerReferences away");
        }
    }
}

/// The owners. What is no list is one owner that nobody knows.
fn references(object: &Value) -> &[Value] {
    match object.pointer("/metadata/ownerReferences") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(items)) => items,
        Some(other) => std::slice::from_ref(other),
    }
}

/// Whether two references are of one owner: `controller` and `blockOwnerDeletion` may change.
fn is_same_owner(first: &Value, second: &Value) -> bool {
    first.is_object()
        && ["apiVersion", "kind", "name", "uid"].into_iter().all(|key| first.get(key) == second.get(key))
}
