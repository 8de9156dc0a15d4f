//! Findings as text, JSON, SARIF or annotations. Data goes to standard output, how it went to standard error.

mod sarif;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use common::Printer;
use common::output::pretty_json;
use common::printer::{BAD, HINT, WARN, styled};
use rules::{Need, Severity};
use serde_json::{Value, json};

use super::judge::Located;
use crate::manifests::{Problem, Read};
use crate::world::missing;

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
    // The severity says it already.
    let message = match finding.severity {
        Severity::Unchecked => finding.message.trim_start_matches("not checked: "),
        Severity::Error | Severity::Warning => &finding.message,
    };
    text.push_str(message);
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

/// What the rules could look up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources {
    /// A cluster.
    pub(super) server: bool,
    /// The policies, from a cluster or from files.
    pub(super) policies: bool,
}

/// How it went, on standard error.
pub(super) fn summary(
    findings: &[Located],
    run: &Read,
    sources: Sources,
    verbose: bool,
    printer: &mut Printer,
) {
    if verbose {
        for (kind, count) in run.others() {
            printer.note(format_args!("Passed over: {count} x {kind}."));
        }
    }
    let objects = run.ours().count();
    if objects == 0 {
        run.say_that_there_is_nothing("judge", verbose, printer);
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
    if !verbose {
        for sentence in not_checked(findings, sources) {
            printer.note(sentence);
        }
    }
}

/// Which rules had to leave something open, and what would have to be given so that they need not.
fn not_checked(findings: &[Located], sources: Sources) -> Vec<String> {
    let mut codes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for located in findings {
        let finding = &located.finding;
        if finding.severity != Severity::Unchecked {
            continue;
        }
        let why = if sources.server {
            "because what they need could not be looked up"
        } else if !sources.policies && missing(finding) == [Need::Policies] {
            "because it takes the policies (--policy or --server)"
        } else {
            "because it takes the cluster (--server)"
        };
        codes.entry(why).or_default().insert(finding.code);
    }
    let sentence = |(why, codes): (&str, BTreeSet<&str>)| {
        let codes: Vec<_> = codes.into_iter().collect();
        format!("Not checked, {why}; -v says where: {}.", codes.join(", "))
    };
    codes.into_iter().map(sentence).collect()
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
