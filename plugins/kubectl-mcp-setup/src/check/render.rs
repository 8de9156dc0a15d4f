//! How the checks are printed. Symbols always come with a word; hints stand below what they are for.

use std::fmt::Write as _;

use common::printer::{BAD, GOOD, HINT, WARN, styled};
use serde_json::{Value, json};

use super::{Check, Verdict, is_well};

/// Every check, by category.
pub(super) fn table(checks: &[Check]) -> String {
    let mut text = String::new();
    let mut category = "";
    for check in checks {
        if check.category != category {
            let gap = if category.is_empty() { "" } else { "\n" };
            let _ = writeln!(
                text,
                "{gap}{}\n{}",
                check.category,
                "-".repeat(check.category.len())
            );
            category = check.category;
        }
        let _ = writeln!(text, "{} {}", mark(check.result), sentence(check));
        if let Some(hint) = &check.hint {
            let _ = writeln!(text, "        {} {hint}", styled(HINT, "hint:"));
        }
    }
    let _ = write!(text, "\n{}", summary(checks));
    text
}

/// One line for each check that is not well; nothing when all are.
pub(super) fn short(checks: &[Check]) -> String {
    let bad = checks.iter().filter(|check| check.result != Verdict::Ok);
    let lines: Vec<String> = bad
        .map(|check| {
            let hint = check
                .hint
                .as_ref()
                .map(|hint| format!(" ({hint})"))
                .unwrap_or_default();
            format!(
                "{} {}: {}{hint}",
                mark(check.result),
                check.category,
                sentence(check)
            )
        })
        .collect();
    lines.join("\n")
}

/// For programs.
pub(super) fn json(checks: &[Check]) -> Value {
    json!({ "success": is_well(checks), "checks": checks })
}

fn mark(verdict: Verdict) -> String {
    match verdict {
        Verdict::Ok => styled(GOOD, "ok     "),
        Verdict::Warn => styled(WARN, "warn   "),
        Verdict::Unknown => styled(WARN, "unknown"),
        Verdict::Fail => styled(BAD, "fail   "),
    }
}

fn sentence(check: &Check) -> String {
    match &check.detail {
        Some(detail) => format!("{}: {}", check.description, detail.replace('\n', " ")),
        None => check.description.clone(),
    }
}

fn summary(checks: &[Check]) -> String {
    let count = |verdict: Verdict| {
        checks
            .iter()
            .filter(|check| check.result == verdict)
            .count()
    };
    let parts: Vec<String> = [
        (Verdict::Ok, "ok"),
        (Verdict::Warn, "to look at"),
        (Verdict::Unknown, "not known"),
        (Verdict::Fail, "failed"),
    ]
    .into_iter()
    .filter(|(verdict, _)| count(*verdict) > 0)
    .map(|(verdict, word)| format!("{} {word}", count(verdict)))
    .collect();
    format!("{} checks: {}", checks.len(), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::ok("client", "kubectl-mcp 0.1.0").with_detail("context 'kind'"),
            Check::ok("webhook", "the webhook is available"),
            Check::ok("webhook", "it refuses a bad server").but(
                Verdict::Fail,
                "accepted",
                "kubectl mcp setup",
            ),
            Check::ok("ingress", "the class exists").but(
                Verdict::Warn,
                "'traefik' does not exist",
                "install one",
            ),
            Check::ok("certificates", "they are valid").but(
                Verdict::Unknown,
                "could not look:\n403",
                "ask somebody",
            ),
        ]
    }

    /// Without the colours, as it is read in a file.
    fn plain(text: &str) -> String {
        let mut out = String::new();
        let mut escape = false;
        for c in text.chars() {
            match c {
                '\u{1b}' => escape = true,
                'm' if escape => escape = false,
                c if !escape => out.push(c),
                _ => {}
            }
        }
        out
    }

    #[test]
    fn the_table_groups_by_category_and_puts_hints_below() {
        insta::assert_snapshot!(plain(&table(&checks())), @r"
        client
        ------
        ok      kubectl-mcp 0.1.0: context 'kind'

        webhook
        -------
        ok      the webhook is available
        fail    it refuses a bad server: accepted
                hint: kubectl mcp setup

        ingress
        -------
        warn    the class exists: 'traefik' does not exist
                hint: install one

        certificates
        ------------
        unknown they are valid: could not look: 403
                hint: ask somebody

        5 checks: 2 ok, 1 to look at, 1 not known, 1 failed
        ");
    }

    #[test]
    fn short_says_nothing_when_all_is_well() {
        assert_eq!(short(&checks()[..2]), "");
        insta::assert_snapshot!(plain(&short(&checks())), @r"
        fail    webhook: it refuses a bad server: accepted (kubectl mcp setup)
        warn    ingress: the class exists: 'traefik' does not exist (install one)
        unknown certificates: they are valid: could not look: 403 (ask somebody)
        ");
    }

    #[test]
    fn what_could_not_be_looked_at_is_never_green() {
        let unknown = &checks()[4..];
        assert!(!is_well(unknown));
        assert_eq!(json(unknown)["success"], false);
        assert_eq!(json(unknown)["checks"][0]["result"], "unknown");
        assert!(is_well(&checks()[3..4]), "a warning is no failure");
    }
}
