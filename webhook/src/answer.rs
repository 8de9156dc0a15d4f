//! From findings to the answer: a refusal with every finding, shaped so that kubectl prints it like its own, or an
//! allowance with warnings and audit annotations.

use std::collections::BTreeMap;

use rules::{Finding, Findings};

use crate::review::{Cause, Details, Response, Status};

/// How many findings the sentence of a refusal repeats; the causes hold them all.
const IN_MESSAGE: usize = 10;
/// How many causes a refusal carries at most: what is beyond comes from an object made to have many.
const CAUSES: usize = 1000;
/// How many warnings go back; API servers cut the text of warnings beyond 4 KiB in total.
const WARNINGS: usize = 30;

/// How long an annotation of the audit log is at most, in bytes: findings are printable ASCII.
const ANNOTATION: usize = 1024;

/// What was judged, as the answer names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Kind of the object.
    pub kind: &'static str,
    /// Name, or what `generateName` gives, or nothing.
    pub name: String,
}

/// The answer to a judged request. `failure` says why a question about the requester was answered with no although
/// nobody said so.
pub fn answer(uid: &str, about: &About, findings: &Findings, failure: Option<&str>) -> Response {
    if findings.is_refused() {
        let mut response = Response::denied(uid, refusal(about, findings, failure));
        response.refused_by = findings.errors().next().map(|error| error.code);
        response.warnings = warnings(findings);
        response.audit_annotations = audit(findings);
        response
            .audit_annotations
            .insert("refused-by".to_owned(), codes(findings.errors()));
        return response;
    }
    let mut response = Response::allowed(uid);
    response.warnings = warnings(findings);
    response.audit_annotations = audit(findings);
    response
}

/// The codes of findings, each once.
pub fn codes<'a>(findings: impl Iterator<Item = &'a Finding>) -> String {
    let mut codes: Vec<_> = findings.map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.join(",")
}

/// `Invalid` when the object can be corrected, `Forbidden` only when somebody else must act: kubectl prints causes
/// for the first and the sentence for the second.
fn refusal(about: &About, findings: &Findings, failure: Option<&str>) -> Status {
    let forbidden = findings.is_forbidden();
    let errors: Vec<&Finding> = findings.errors().collect();
    let reason = if forbidden {
        "FieldValueForbidden"
    } else {
        "FieldValueInvalid"
    };
    let mut causes: Vec<Cause> = errors
        .iter()
        .take(CAUSES)
        .map(|error| Cause {
            reason,
            message: error.sentence(),
            field: field(error),
        })
        .collect();
    if errors.len() > CAUSES {
        let message = format!("and {} more findings", errors.len() - CAUSES);
        causes.push(Cause {
            reason,
            message,
            field: "metadata".to_owned(),
        });
    }
    let mut message = sentence(about, forbidden, &errors);
    if let Some(failure) = failure {
        message =
            format!("{message}\n({failure}, so that a permission counts as missing: try again)");
        if !forbidden {
            let message = format!("{failure}, so that a permission counts as missing: try again");
            causes.push(Cause {
                reason: "InternalError",
                message,
                field: "metadata".to_owned(),
            });
        }
    }
    Status {
        status: "Failure",
        code: if forbidden { 403 } else { 422 },
        reason: if forbidden { "Forbidden" } else { "Invalid" },
        message,
        details: Some(Box::new(Details {
            name: about.name.clone(),
            group: api::GROUP.to_owned(),
            kind: about.kind.to_owned(),
            causes,
        })),
    }
}

/// The path of the field; findings about the whole object stand at its metadata, because kubectl prints a path.
fn field(finding: &Finding) -> String {
    if finding.field.is_empty() {
        "metadata".to_owned()
    } else {
        finding.field.clone()
    }
}

fn sentence(about: &About, forbidden: bool, errors: &[&Finding]) -> String {
    let mut lines: Vec<String> = errors
        .iter()
        .take(IN_MESSAGE)
        .map(|error| format!("{}: {}", field(error), error.sentence()))
        .collect();
    if errors.len() > IN_MESSAGE {
        lines.push(format!("and {} more", errors.len() - IN_MESSAGE));
    }
    let verdict = if forbidden { "forbidden" } else { "invalid" };
    let list = if lines.len() == 1 {
        lines.concat()
    } else {
        format!("[{}]", lines.join(", "))
    };
    format!(
        "{}.{} \"{}\" is {verdict}: {list}",
        about.kind,
        api::GROUP,
        about.name
    )
}

fn warnings(findings: &Findings) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in findings.warnings().map(Finding::warning_line) {
        if !lines.contains(&line) {
            lines.push(line);
        }
        if lines.len() == WARNINGS {
            break;
        }
    }
    lines
}

/// What policies turned into a warning or only want noted: one annotation per code, because keys must be unique, and
/// the API server puts the webhook's name before them. Findings never hold a secret, and what is quoted in them is cut;
/// here the whole is.
fn audit(findings: &Findings) -> BTreeMap<String, String> {
    let mut lines: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for finding in findings.eased() {
        let (line, more) = lines.entry(finding.code.to_owned()).or_default();
        let sentence = finding.to_string();
        if line.is_empty() {
            line.extend(sentence.chars().take(ANNOTATION));
        } else if line.len() + sentence.len() < ANNOTATION {
            line.push_str("; ");
            line.push_str(&sentence);
        } else {
            *more += 1;
        }
    }
    lines
        .into_iter()
        .map(|(code, (line, more))| match more {
            0 => (code, line),
            more => (code, format!("{line}; and {more} more")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rules::{Facts, Known};
    use serde_json::json;

    use super::*;

    /// What the rules say to a server with `count` literal secrets under a policy with this enforcement.
    fn judged(enforcement: &str, count: usize) -> Findings {
        let policy = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": "default"},
            "spec": {"enforcement": enforcement, "workload": {"forbidLiteralSecrets": true}}
        });
        let facts = Facts {
            policies: Known::Known(std::sync::Arc::new(vec![std::sync::Arc::new(
                serde_json::from_value(policy).unwrap(),
            )])),
            ..Facts::default()
        };
        let env: Vec<_> = (0..count)
            .map(|index| json!({"name": format!("API_TOKEN_{index}"), "value": "s3cr3t-value"}))
            .collect();
        let server = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
            "metadata": {"name": "weather", "namespace": "team-a"},
            "spec": {"image": "ghcr.io/acme/weather:1", "ingressHost": "mcp.example.com", "env": env}
        });
        rules::check(Some(&server), None, &facts)
    }

    fn annotations(enforcement: &str, count: usize) -> BTreeMap<String, String> {
        answer("u", &About::default(), &judged(enforcement, count), None).audit_annotations
    }

    #[test]
    fn what_a_policy_turned_into_a_warning_or_a_note_is_in_the_audit_log() {
        for enforcement in ["Warn", "Audit"] {
            let line = &annotations(enforcement, 1)["MCP0308"];
            assert!(line.starts_with("spec.env[0].value: "), "{line}");
            assert!(!line.contains("s3cr3t-value"), "{line}");
        }
    }

    #[test]
    fn a_refusal_names_its_codes_in_the_audit_log_and_no_sentences() {
        let annotations = annotations("Enforce", 1);
        assert_eq!(annotations["refused-by"], "MCP0308");
        assert!(!annotations.contains_key("MCP0308"), "{annotations:?}");
    }

    #[test]
    fn an_annotation_of_the_audit_log_is_bounded() {
        let line = &annotations("Audit", 900)["MCP0308"];
        assert!(line.len() <= ANNOTATION + 40, "{}", line.len());
        assert!(line.ends_with(" more"), "{line}");
    }
}
