//! The registry against the catalogue of rules: no code is forgotten without a reason that is written down.

use std::collections::BTreeSet;
use std::fs;

use super::root;
use crate::{Class, Need, REGISTRY};

/// First and last code of each group of the catalogue.
const CATALOGUE: [(u16, u16); 9] = [
    (101, 110),
    (201, 212),
    (301, 322),
    (401, 413),
    (501, 505),
    (601, 611),
    (701, 710),
    (801, 811),
    (901, 913),
];

fn catalogue() -> BTreeSet<String> {
    let codes = CATALOGUE.into_iter().flat_map(|(first, last)| first..=last);
    codes.map(|code| format!("MCP{code:04}")).collect()
}

fn registered() -> BTreeSet<String> {
    REGISTRY
        .iter()
        .map(|rule| rule.meta().code.to_owned())
        .collect()
}

/// Codes of the list of rules that are not in the engine, each with a reason.
fn dropped() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/decisions/README.md")).unwrap();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with("Rules dropped or changed"));
    let section =
        section.expect("docs/decisions/README.md has a section 'Rules dropped or changed'");
    section
        .lines()
        .filter_map(|line| {
            line.strip_prefix("- ")?
                .split_once(" is not a rule of the engine: ")
        })
        .map(|(code, reason)| {
            assert!(reason.len() > 20, "{code} needs a reason");
            code.to_owned()
        })
        .collect()
}

#[test]
fn every_code_of_the_catalogue_is_a_rule_or_has_a_written_reason() {
    let (registered, dropped) = (registered(), dropped());
    let missing: Vec<_> = catalogue()
        .into_iter()
        .filter(|code| !registered.contains(code) && !dropped.contains(code))
        .collect();
    assert!(
        missing.is_empty(),
        "neither a rule nor a reason: {missing:?}"
    );
    let both: Vec<_> = dropped.intersection(&registered).collect();
    assert!(both.is_empty(), "a rule, and said not to be one: {both:?}");
}

#[test]
fn there_is_no_rule_outside_the_catalogue() {
    let unknown: Vec<_> = registered().difference(&catalogue()).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_rule_about_who_asks_never_ratchets() {
    for rule in REGISTRY {
        let meta = rule.meta();
        if meta.needs.contains(&Need::Requester) && meta.class != Class::Warning {
            assert!(
                !meta.ratchets,
                "{}: an old finding says nothing about who asks now",
                meta.code
            );
        }
    }
}

#[test]
fn a_rule_that_reads_the_clock_never_ratchets() {
    for rule in REGISTRY {
        let meta = rule.meta();
        if meta.needs.contains(&Need::Time) && meta.class != Class::Warning {
            assert!(!meta.ratchets, "{}", meta.code);
        }
    }
}
