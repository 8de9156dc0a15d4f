//! Findings where some facts are only a part of what there is.
//!
//! The files of a run show that a Secret is there, never that one is missing. No rule knows of that, so an object is
//! judged three times: by what is known, as if nothing were known of what is incomplete (*blind*), and as if there were
//! nothing of it (*empty*). What is only said because something is not among the files is said in the empty case too,
//! and becomes `unchecked`; what is said because of something that is there is not, and stays. A rule that is silent
//! because it found what it looked for had something to say in the empty case; one that is silent for lack of
//! knowledge stays unchecked.

use rules::{Finding, Findings, Need, Severity, find};

/// The findings that hold whatever else the cluster has, and the rest as unchecked.
pub(super) fn settle(known: Findings, blind: &Findings, empty: &Findings) -> Vec<Finding> {
    let mut settled = Vec::new();
    let mut doubted: Vec<&'static str> = Vec::new();
    for finding in known {
        let certain = finding.severity == Severity::Unchecked
            || says(blind, &finding)
            || !(says(empty, &finding) || misses_items(&finding, empty))
            || names_a_neighbour(&finding, empty);
        // What one policy certainly says, another that may not even select the namespace says in its own words.
        let stands = blind.iter().find(|other| {
            (other.code, &other.field, other.severity)
                == (finding.code, &finding.field, finding.severity)
        });
        if certain {
            settled.push(finding);
        } else if let Some(stands) = stands {
            settled.push(stands.clone());
        } else {
            doubted.push(finding.code);
            settled.push(doubt(finding));
        }
    }
    for unchecked in blind.unchecked() {
        let code = unchecked.code;
        let said = doubted.contains(&code)
            || settled
                .iter()
                .any(|finding| finding.code == code && !says(blind, finding));
        // Found: the rule complains when there is nothing, and does not now.
        let found = empty.iter().any(|finding| {
            finding.code == code && finding.severity != Severity::Unchecked && !says(blind, finding)
        });
        let listed = settled.iter().any(|finding| same(finding, unchecked));
        if !said && !found && !listed {
            settled.push(unchecked.clone());
        }
    }
    settled
}

fn says(findings: &Findings, finding: &Finding) -> bool {
    findings.iter().any(|other| same(other, finding))
}

fn same(a: &Finding, b: &Finding) -> bool {
    a.code == b.code
        && a.field == b.field
        && a.severity == b.severity
        && a.message == b.message
        && a.value == b.value
}

/// A name that is missing beside one that is nearly the same is a slip, wherever the object is: `did you mean`. Only of
/// servers, because the files that hold a grant mostly hold its server too.
fn names_a_neighbour(finding: &Finding, empty: &Findings) -> bool {
    let about_servers = find(finding.code).is_some_and(|rule| rule.meta().needs == [Need::Servers]);
    about_servers
        && finding.hint.is_some()
        && empty
            .iter()
            .any(|other| same(other, finding) && other.hint != finding.hint)
}

/// A rule that asks for nothing but what servers select says only what is missing there, in other words where there is
/// something than where there is nothing.
fn misses_items(finding: &Finding, empty: &Findings) -> bool {
    let about_items = find(finding.code).is_some_and(|rule| rule.meta().needs == [Need::Tools]);
    about_items
        && empty.iter().any(|other| {
            other.code == finding.code
                && other.field == finding.field
                && other.severity == finding.severity
        })
}

/// The finding as something that nobody could look up.
fn doubt(mut finding: Finding) -> Finding {
    let value = finding
        .value
        .take()
        .map(|value| format!(" \"{value}\""))
        .unwrap_or_default();
    finding.severity = Severity::Unchecked;
    finding.message = format!(
        "not checked: in these files{value} {}; a cluster may know better",
        finding.message
    );
    finding.hint = None;
    finding
}
