//! Findings as text, JSON, SARIF or annotations. Data goes to standard output, how it went to standard error.

mod sarif;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use common::Printer;
use common::output::pretty_json;
use common::printer::{BAD, HINT, WARN, styled};
use rules::Severity;
use serde_json::{Value, json};

use super::judge::Located;
use crate::manifests::{Problem, Read};

pub(super) use sarif::sarif;

/// For people: a line with place, severity and sentence, then the hint. What could not be checked only where it is
/// asked for; the summary names it.
pub(super) fn text(findings: &[Located], verbose: bool, printer: &mut Printer) {
    for located in findings {
        let finding = &located.finding;
        let word = match finding.severity {
            Severity::Error => styled(BAD, "error"),
            Severity::Warning => styled(WARN, "warning"),
            Severity::Unchecked if verbose => styled(HINT, "unchecked"),
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

/// For programs: `{"findings": [...]}`, with what could not be checked.
pub(super) fn json(findings: &[Located], printer: &mut Printer) {
    let list: Vec<_> = findings.iter().map(value).collect();
    printer.line(pretty_json(&json!({"findings": list})));
}

fn value(located: &Located) -> Value {
    let mut value = serde_json::to_value(&located.finding).unwrap_or_default();
    value["file"] = (*located.file).into();
    value["line"] = located.place.line.into();
    value["column"] = located.place.column.into();
    value
}

/// Workflow commands, which GitHub shows at the line; also for what could not be read.
pub(super) fn github(
    findings: &[Located],
    problems: &[&Problem],
    verbose: bool,
    printer: &mut Printer,
) {
    for problem in problems {
        let mut place = format!("file={}", property(&problem.file));
        if let Some(at) = problem.place {
            let _ = write!(place, ",line={},col={}", at.line, at.column);
        }
        printer.line(format_args!(
            "::error {place}::{}",
            escaped(&problem.message)
        ));
    }
    for located in findings {
        let finding = &located.finding;
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Unchecked if verbose => "notice",
            Severity::Unchecked => continue,
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
pub(super) fn summary(findings: &[Located], run: &Read, verbose: bool, printer: &mut Printer) {
    if verbose {
        for (kind, count) in run.others() {
            printer.note(format_args!("Passed over: {count} x {kind}."));
        }
    }
    let objects = run.ours().count();
    if objects == 0 {
        printer.note("There is no object of kubectl-mcp.dev/v1alpha1 to judge.");
        return;
    }
    let count = |severity| {
        let of = |located: &&Located| located.finding.severity == severity;
        findings.iter().filter(of).count()
    };
    let number =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    printer.note(format_args!(
        "{} and {} in {}.",
        number(count(Severity::Error), "error"),
        number(count(Severity::Warning), "warning"),
        number(objects, "object")
    ));
    let unchecked: BTreeSet<_> = findings
        .iter()
        .filter(|located| located.finding.severity == Severity::Unchecked)
        .map(|located| located.finding.code)
        .collect();
    if !unchecked.is_empty() && !verbose {
        let codes: Vec<_> = unchecked.into_iter().collect();
        printer.note(format_args!(
            "Not checked, because it takes the cluster (--server) or --policy; -v says where: {}.",
            codes.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_file_name_or_message_ends_a_workflow_command() {
        assert_eq!(property("a:b,c%\n::x"), "a%3Ab%2Cc%25%0A%3A%3Ax");
        assert_eq!(escaped("100%\r\n::error::x"), "100%25%0D%0A::error::x");
    }
}
