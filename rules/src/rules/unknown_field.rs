//! MCP0908 unknown-field: a field that the schema does not know.

use std::collections::BTreeSet;

use api::names::LAST_APPLIED;

use crate::schema::unknown_fields;

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0908", "unknown-field", &Kind::ALL, Class::Warning)
        .summary("a field that the schema does not know"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    // The API server drops unknown fields before any webhook sees them; the text that was applied still has them.
    let applied = context.annotation(LAST_APPLIED).and_then(|text| serde_json::from_str(text).ok());
    let applied = applied.map(|applied| unknown_fields(context.kind, &applied)).unwrap_or_default();
    let own = context.violations().iter().filter(|violation| violation.unknown);
    let mut seen = BTreeSet::new();
    for violation in own.chain(&applied) {
        if !seen.insert(violation.path.clone()) {
            continue;
        }
        let draft = report.at(&violation.path).must(&violation.message);
        if let Some(hint) = &violation.hint {
            draft.hint(hint);
        }
    }
}
