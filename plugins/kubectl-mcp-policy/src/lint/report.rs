//! Findings as text, JSON or annotations.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use common::Printer;
use common::output::pretty_json;
use common::printer::{BAD, HINT, WARN, styled};
use rules::Severity;
use serde_json::{Value, json};

use super::judge::Located;

/// For people: a line with place, severity and sentence, then the hint. What could not be checked is in the summary.
pub(crate) fn text(findings: &[Located], printer: &mut Printer) {
    for located in findings {
        let finding = &located.finding;
        let word = match finding.severity {
            Severity::Error => styled(BAD, "error"),
            Severity::Warning => styled(WARN, "warning"),
            Severity::Unchecked => continue,
        };
        let place = format!(
            "{}:{}:{}",
            located.file, located.place.line, located.place.column
        );
        printer.line(format_args!(
            "{place}: {word}: {} ({})",
            sentence(located),
            finding.code
        ));
        if let Some(hint) = &finding.hint {
            printer.line(format_args!("    {} {hint}", styled(HINT, "hint:")));
        }
    }
}

/// Field, value and what it must be, in the words of the API server.
fn sentence(located: &Located) -> String {
    let finding = &located.finding;
    let mut text = String::new();
    if !finding.field.is_empty() {
        let _ = write!(text, "{}: ", finding.field);
    }
    if let Some(value) = &finding.value {
        let _ = write!(text, "Invalid value: \"{value}\": ");
    }
    text.push_str(&finding.message);
    text
}

/// For programs: `{"findings": [...]}`.
pub(crate) fn json(findings: &[Located], printer: &mut Printer) {
    let list: Vec<_> = findings.iter().map(value).collect();
    printer.line(pretty_json(&json!({"findings": list})));
}

fn value(located: &Located) -> Value {
    let mut value = serde_json::to_value(&located.finding).unwrap_or_default();
    value["file"] = located.file.clone().into();
    value["line"] = located.place.line.into();
    value["column"] = located.place.column.into();
    value
}

/// Workflow commands, which GitHub shows at the line.
pub(crate) fn github(findings: &[Located], printer: &mut Printer) {
    for located in findings {
        let finding = &located.finding;
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Unchecked => "notice",
        };
        let mut message = sentence(located);
        if let Some(hint) = &finding.hint {
            let _ = write!(message, "\nhint: {hint}");
        }
        printer.line(format_args!(
            "::{command} file={},line={},col={},title={}::{}",
            property(&located.file),
            located.place.line,
            located.place.column,
            finding.code,
            escaped(&message)
        ));
    }
}

/// What would end a workflow command early.
fn escaped(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

/// How it went, on standard error.
pub(crate) fn summary(findings: &[Located], objects: usize, printer: &mut Printer) {
    let count = |severity| {
        findings
            .iter()
            .filter(|located| located.finding.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let unchecked: BTreeSet<_> = findings
        .iter()
        .filter(|located| located.finding.severity == Severity::Unchecked)
        .map(|located| located.finding.code)
        .collect();
    let number =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    if objects == 0 {
        printer.note("There is no object of kubectl-mcp.dev/v1alpha1 to judge.");
        return;
    }
    printer.note(format_args!(
        "{} and {} in {}.",
        number(errors, "error"),
        number(warnings, "warning"),
        number(objects, "object")
    ));
    if !unchecked.is_empty() {
        let codes: Vec<_> = unchecked.into_iter().collect();
        printer.note(format_args!(
            "Not checked, because it takes the cluster or --policy: {}.",
            codes.join(", ")
        ));
    }
}
