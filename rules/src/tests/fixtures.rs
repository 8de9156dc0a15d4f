//! Every rule has a page and fixtures, and each fixture says what it should through its own rule alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{nothing_there, root, server_fact};
use crate::{Facts, Findings, Known, Question, REGISTRY, check, default, docs_index, questions};

/// One case: the objects, and what there is besides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    facts: CaseFacts,
    /// The object comes as it is, without passing the mutating door first.
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    old: Option<Value>,
    #[serde(default)]
    new: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CaseFacts {
    #[serde(default)]
    policies: Vec<api::MCPPolicy>,
    #[serde(default)]
    servers: Vec<Value>,
    #[serde(default)]
    grants: Vec<api::MCPAccessGrant>,
    #[serde(default)]
    sessions: Vec<api::MCPAgentSession>,
    #[serde(default)]
    ingress_classes: Option<Vec<String>>,
    /// What every SubjectAccessReview says. Unless it says otherwise, the requester has the verb `grant` and no other.
    #[serde(default)]
    answers: Option<bool>,
}

fn arcs<T>(items: Vec<T>) -> Known<Arc<Vec<Arc<T>>>> {
    items.into_iter().map(Arc::new).collect::<Vec<_>>().into()
}

impl Case {
    fn facts(&self) -> Facts {
        let mut facts = nothing_there();
        facts.policies = arcs(self.facts.policies.clone());
        facts.servers = self
            .facts
            .servers
            .iter()
            .map(server_fact)
            .collect::<Vec<_>>()
            .into();
        facts.grants = arcs(self.facts.grants.clone());
        facts.sessions = arcs(self.facts.sessions.clone());
        if let Some(classes) = &self.facts.ingress_classes {
            facts.ingress_classes = classes.clone().into();
        }
        facts
    }

    fn findings(mut self) -> Findings {
        let mut facts = self.facts();
        if let Some(new) = self.new.as_mut().filter(|_| !self.raw) {
            default(new, self.old.as_ref(), &facts);
        }
        let asked: Vec<Question> = questions(self.new.as_ref(), self.old.as_ref(), &facts);
        facts.answers = asked
            .into_iter()
            .map(|question| {
                let answer = self.facts.answers.unwrap_or(question.verb == "grant");
                (question, answer)
            })
            .collect();
        check(self.new.as_ref(), self.old.as_ref(), &facts)
    }
}

/// The cases of a rule, by their file names.
fn cases(code: &str) -> Vec<(String, Case)> {
    let folder = root().join("tests/fixtures/rules").join(code);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|f| f.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let case =
                serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                case,
            )
        })
        .collect()
}

#[test]
fn every_rule_has_fixtures_that_pass_and_fail() {
    for rule in REGISTRY {
        let code = rule.meta().code;
        let names: Vec<String> = cases(code).into_iter().map(|(name, _)| name).collect();
        assert!(
            names.iter().any(|name| name.starts_with("pass")),
            "{code} has no pass fixture"
        );
        assert!(
            names.iter().any(|name| name.starts_with("fail")),
            "{code} has no fail fixture"
        );
    }
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
fn a_passing_fixture_is_refused_by_no_other_rule() {
    // Their whole point is a field that this version refuses otherwise.
    const REFUSED_ELSEWHERE: [&str; 1] = ["MCP0504"];
    for rule in REGISTRY
        .iter()
        .filter(|rule| !REFUSED_ELSEWHERE.contains(&rule.meta().code))
    {
        for (name, case) in cases(rule.meta().code)
            .into_iter()
            .filter(|(name, _)| name.starts_with("pass"))
        {
            let findings = case.findings();
            let errors: Vec<_> = findings.errors().map(ToString::to_string).collect();
            assert!(
                errors.is_empty(),
                "{}/{name}: {errors:#?}",
                rule.meta().code
            );
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
    for rule in REGISTRY {
        let meta = rule.meta();
        let path = root().join(format!("docs/rules/{}.md", meta.code));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(
            text.starts_with(&format!("# {} {}\n", meta.code, meta.name)),
            "{}",
            path.display()
        );
        for section in ["## Why", "## Bad", "## Good", "## Who can change it"] {
            assert!(
                text.contains(section),
                "{} has no section {section}",
                path.display()
            );
        }
    }
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
