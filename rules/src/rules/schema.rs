//! MCP0911 schema: a value that the CRD schema does not take.

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0911", "schema", &Kind::ALL, Class::Structural)
        .summary("a value that the CRD schema does not take"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    for violation in context.violations().iter().filter(|violation| !violation.unknown) {
        let draft = report.at(&violation.path);
        if let Some(value) = &violation.value {
            draft.given(value);
        }
        draft.must(&violation.message);
        if let Some(hint) = &violation.hint {
            draft.hint(hint);
        }
    }
}
