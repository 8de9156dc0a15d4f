//! Every rule has a page and fixtures, and each fixture says what it should through its own rule alone.

use std::collections::BTreeSet;
use std::fs;

use super::case::cases;
use super::root;
use crate::{REGISTRY, Rule, docs_index};

#[test]
fn every_rule_has_fixtures_that_pass_and_fail() {
    let mut missing = Vec::new();
    for rule in REGISTRY {
        let code = rule.meta().code;
        let names: Vec<String> = cases(code).into_iter().map(|(name, _)| name).collect();
        for sort in ["pass", "fail"] {
            if !names.iter().any(|name| name.starts_with(sort)) {
                missing.push(format!("{code} has no {sort} fixture"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_failing_fixture_yields_its_code_and_a_passing_one_does_not() {
    let mut wrong = Vec::new();
    for rule in REGISTRY {
        let code = rule.meta().code;
        for (name, case) in cases(code) {
            let findings = case.findings();
            let found = findings.iter().any(|finding| finding.code == code);
            if found != name.starts_with("fail") {
                wrong.push(format!(
                    "{code}/{name}: {:#?}",
                    findings.iter().map(ToString::to_string).collect::<Vec<_>>()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_a_rule_one_of_its_fixtures_is_judged_otherwise() {
    let mut unneeded = Vec::new();
    for rule in REGISTRY {
        let code = rule.meta().code;
        let others: Vec<&dyn Rule> = REGISTRY
            .iter()
            .copied()
            .filter(|other| other.meta().code != code)
            .collect();
        let differs = cases(code).iter().any(|(name, case)| {
            let (all, rest) = (case.findings(), case.findings_by(&others));
            // Whoever writes the object must be told something else, not only the same under another code.
            let said = |findings: &crate::Findings| {
                findings
                    .iter()
                    .map(|finding| {
                        (
                            finding.severity,
                            finding.field.clone(),
                            finding.message.clone(),
                        )
                    })
                    .collect::<BTreeSet<_>>()
            };
            name.starts_with("fail") && said(&all) != said(&rest)
        });
        if !differs {
            unneeded.push(code);
        }
    }
    assert!(unneeded.is_empty(), "no fixture needs {unneeded:?}");
}

#[test]
fn a_passing_fixture_is_refused_by_no_other_rule() {
    for rule in REGISTRY {
        let code = rule.meta().code;
        // Rules also judge fields that this version refuses as not yet supported.
        let elsewhere = |other: &str| other != "MCP0320" || code == "MCP0320";
        for (name, case) in cases(code)
            .into_iter()
            .filter(|(name, _)| name.starts_with("pass"))
        {
            let findings = case.findings();
            let errors: Vec<_> = findings
                .errors()
                .filter(|error| elsewhere(error.code))
                .map(ToString::to_string)
                .collect();
            assert!(errors.is_empty(), "{code}/{name}: {errors:#?}");
        }
    }
}

#[test]
fn a_finding_has_the_code_of_the_rule_that_made_it() {
    // The engine takes the code from the rule's meta, so a code can come from nowhere else; unique codes close the gap.
    let codes: BTreeSet<_> = REGISTRY.iter().map(|rule| rule.meta().code).collect();
    assert_eq!(codes.len(), REGISTRY.len());
    let names: BTreeSet<_> = REGISTRY.iter().map(|rule| rule.meta().name).collect();
    assert_eq!(names.len(), REGISTRY.len());
}

#[test]
fn the_registry_is_in_the_order_of_its_codes() {
    assert!(REGISTRY.is_sorted_by_key(|rule| rule.meta().code));
}

#[test]
fn every_code_is_mcp_and_four_digits_and_every_name_is_kebab_case() {
    for rule in REGISTRY {
        let meta = rule.meta();
        let digits = meta.code.strip_prefix("MCP").unwrap();
        assert!(
            digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()),
            "{}",
            meta.code
        );
        assert!(
            meta.name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'-'),
            "{}",
            meta.name
        );
        assert!(
            !meta.summary.is_empty() && !meta.kinds.is_empty(),
            "{}",
            meta.code
        );
    }
}

#[test]
fn every_rule_has_a_page_with_its_name_and_all_sections() {
    let mut wrong = Vec::new();
    for rule in REGISTRY {
        let meta = rule.meta();
        let text = fs::read_to_string(root().join(format!("docs/rules/{}.md", meta.code)))
            .unwrap_or_default();
        let title = format!("# {} {}\n", meta.code, meta.name);
        let sections = ["## Why", "## Bad", "## Good", "## Who can change it"];
        if !text.starts_with(&title) || sections.iter().any(|section| !text.contains(section)) {
            wrong.push(meta.code);
        }
    }
    assert!(
        wrong.is_empty(),
        "no page of that name with all sections: {wrong:?}"
    );
}

#[test]
fn there_is_no_page_and_no_fixture_without_a_rule() {
    let known: BTreeSet<String> = REGISTRY
        .iter()
        .map(|rule| rule.meta().code.to_owned())
        .collect();
    for folder in ["docs/rules", "tests/fixtures/rules"] {
        for file in fs::read_dir(root().join(folder)).unwrap() {
            let name = file.unwrap().file_name().to_string_lossy().into_owned();
            let code = name.trim_end_matches(".md");
            let known = known.contains(code) || code == "README" || code == "MCP0909";
            assert!(known, "{folder}/{name}");
        }
    }
}

#[test]
fn the_index_of_the_pages_is_up_to_date() {
    let path = root().join("docs/rules/README.md");
    let committed = fs::read_to_string(&path).unwrap();
    assert!(
        committed == docs_index(),
        "run `cargo xtask gen` and commit docs/rules/README.md"
    );
}
