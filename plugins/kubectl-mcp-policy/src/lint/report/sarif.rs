//! SARIF 2.1.0, the format of code scanning.
//!
//! Every rule is described, so that a viewer can explain a finding and its rule without asking anybody.

use std::fmt::Write as _;

use common::output::pretty_json;
use common::{Printer, VERSION};
use rules::{Class, Meta, REGISTRY, Severity, docs};
use serde_json::{Value, json};

use super::super::judge::Located;
use super::sentence;
use crate::manifests::{Place, Problem};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const INFORMATION: &str = "https://github.com/kubectl-mcp/kubectl-mcp";

/// The log of one run. What could not be read stands in it as a notification; `verbose` adds what could not be checked,
/// as results of kind `open`.
pub(in super::super) fn sarif(
    findings: &[Located],
    problems: &[&Problem],
    verbose: bool,
    printer: &mut Printer,
) {
    let results: Vec<_> = findings
        .iter()
        .filter(|located| verbose || located.finding.severity != Severity::Unchecked)
        .map(result)
        .collect();
    let notifications: Vec<_> = problems
        .iter()
        .map(|problem| notification(problem))
        .collect();
    let rules: Vec<_> = REGISTRY
        .iter()
        .map(|rule| descriptor(rule.meta()))
        .collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "kubectl-mcp",
                "semanticVersion": VERSION,
                "informationUri": INFORMATION,
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": problems.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    });
    printer.line(pretty_json(&log));
}

fn descriptor(meta: &Meta) -> Value {
    let level = match meta.class {
        Class::Structural | Class::Policy | Class::PolicyOn => "error",
        Class::Warning => "warning",
    };
    let needs: Vec<_> = meta.needs.iter().map(|need| need.as_str()).collect();
    let kinds: Vec<_> = meta.kinds.iter().map(|kind| kind.as_str()).collect();
    json!({
        "id": meta.code,
        "name": meta.name,
        "shortDescription": {"text": meta.summary},
        "helpUri": docs(meta.code),
        "defaultConfiguration": {"level": level},
        "properties": {"class": meta.class.as_str(), "kinds": kinds, "needs": needs},
    })
}

fn result(located: &Located) -> Value {
    let finding = &located.finding;
    // "Open": there was not enough to decide. Such a result has no level.
    let (kind, level) = match finding.severity {
        Severity::Error => ("fail", "error"),
        Severity::Warning => ("fail", "warning"),
        Severity::Unchecked => ("open", "none"),
    };
    let mut text = sentence(located);
    if let Some(hint) = &finding.hint {
        text = format!("{text}\nhint: {hint}");
    }
    let index = REGISTRY
        .iter()
        .position(|rule| rule.meta().code == finding.code);
    let object = format!("{}/{}/{}", finding.kind, finding.namespace, finding.name);
    let mut result = json!({
        "ruleId": finding.code,
        "kind": kind,
        "level": level,
        "message": {"text": text},
        "locations": [{
            "physicalLocation": physical(&located.file, Some(located.place)),
            "logicalLocations": [{
                "name": if finding.name.is_empty() { finding.kind } else { &finding.name },
                "fullyQualifiedName": format!("{object}/{}", finding.field),
                "kind": "member",
            }],
        }],
        // Lets a viewer know the finding again when it moved to another line.
        "partialFingerprints": {"object/v1": format!("{}/{object}/{}", finding.code, finding.field)},
    });
    if let Some(index) = index {
        result["ruleIndex"] = index.into();
    }
    result
}

fn notification(problem: &Problem) -> Value {
    json!({
        "level": "error",
        "message": {"text": problem.message},
        "locations": [{"physicalLocation": physical(&problem.file, problem.place)}],
    })
}

fn physical(file: &str, place: Option<Place>) -> Value {
    let mut physical = json!({"artifactLocation": {"uri": uri(file)}});
    if let Some(place) = place.filter(|place| place.line > 0) {
        physical["region"] = json!({"startLine": place.line, "startColumn": place.column.max(1)});
    }
    physical
}

/// The file as a URI reference: relative where it was named so.
fn uri(file: &str) -> String {
    if file == "-" {
        return "stdin".to_owned();
    }
    let drive = file.as_bytes().get(1) == Some(&b':') && file.as_bytes()[0].is_ascii_alphabetic();
    let slashes = if cfg!(windows) {
        file.replace('\\', "/")
    } else {
        file.to_owned()
    };
    let mut uri = String::new();
    if slashes.starts_with('/') {
        uri.push_str("file://");
    } else if drive && cfg!(windows) {
        uri.push_str("file:///");
    }
    let plain = slashes.strip_prefix("./").unwrap_or(&slashes);
    for byte in plain.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_a_uri_reference() {
        for (file, expected) in [
            ("apps/weather.yaml", "apps/weather.yaml"),
            ("./a b%.yaml", "a%20b%25.yaml"),
            ("/srv/é.yaml", "file:///srv/%C3%A9.yaml"),
            ("a:b.yaml", "a%3Ab.yaml"),
            ("-", "stdin"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }
}
