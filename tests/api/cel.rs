//! What the schema and its CEL refuse by themselves, with no webhook installed: one object can show it. The same files
//! with the webhook on: the complete list comes from the rules.
//!
//! The table is `tests/fixtures/cel/KIND/*.yaml`; see [`case`] for its form. The files `bounds-*.yaml` are made from
//! the schemas by [`bounds`].

mod bounds;
mod case;

use std::collections::BTreeSet;

use serde_json::Value;
use tests::Environment;
use tests::recorded::{repository, writing};

use crate::platform::{PAST, Platform, Turn};
use case::Case;

#[test]
fn the_schema_alone_refuses_what_one_object_shows() {
    let platform = Platform::bare();
    // Policies come to the webhook of another test whatever the namespaces are labelled with.
    let _turn = Turn::wait();
    platform.environment.with_namespace("cel", |namespace| {
        if writing() {
            for mut case in bounds::cases() {
                let said = put(&platform.environment, namespace, &case);
                case.refused = case::causes(&said);
                case.write();
            }
        }
        let wrong: Vec<String> = Case::all()
            .iter()
            .filter_map(|case| {
                let said = put(&platform.environment, namespace, case);
                let found = case::causes(&said);
                let differs = found != case.refused || case.refused.is_empty();
                differs.then(|| {
                    format!(
                        "{}: expected {:#?}, found:\n{said}",
                        case.name, case.refused
                    )
                })
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn the_schema_alone_refuses_texts_that_are_too_long_for_a_file() {
    let platform = Platform::bare();
    // Policies come to the webhook of another test whatever the namespaces are labelled with.
    let _turn = Turn::wait();
    platform
        .environment
        .with_namespace("cel-long", |namespace| {
            let mut count = 0;
            for case in bounds::long() {
                let found = case::causes(&put(&platform.environment, namespace, &case));
                for path in &case.refused {
                    count += 1;
                    let refused = found
                        .iter()
                        .any(|line| line.starts_with(&format!("{path}: Too long: ")));
                    assert!(
                        refused,
                        "{}: {path} is not refused in {found:#?}",
                        case.name
                    );
                }
            }
            assert!(count > 0, "no schema has such a bound: take this test away");
        });
}

#[test]
fn with_the_webhook_the_same_files_show_the_complete_list_of_the_rules() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    let _webhook = platform.start_webhook();
    environment.with_namespace("cel-webhook", |namespace| {
        Platform::ask_in(environment, namespace);
        let wrong: Vec<String> = Case::all()
            .iter()
            .filter_map(|case| {
                let said = put(environment, namespace, case);
                let missing = missing(case, &case::causes(&said));
                (!missing.is_empty())
                    .then(|| format!("{}: {missing:#?} not in:\n{}", case.name, cut(&said)))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// What the rules do not say of a case: a path that the schema refuses, or a code that the case names.
fn missing(case: &Case, causes: &BTreeSet<String>) -> Vec<String> {
    let said: Vec<&String> = causes
        .iter()
        .filter(|cause| cause.contains("(MCP"))
        .collect();
    // The API server's own check of scale names its field with a dot before it.
    let paths = case
        .refused
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(path, _)| path.trim_start_matches('.'));
    let unsaid = paths.filter(|path| {
        !said.iter().any(|cause| {
            let rest = cause.strip_prefix(path);
            rest.is_some_and(|rest| rest.starts_with([':', '.', '[']))
        })
    });
    let codes = case.codes.iter().filter(|code| {
        !said
            .iter()
            .any(|cause| cause.contains(&format!("({code})")))
    });
    unsaid
        .map(ToOwned::to_owned)
        .chain(codes.cloned())
        .collect()
}

fn cut(text: &str) -> String {
    text.chars().take(4000).collect()
}

/// Puts the last document of a case to the API server, without storing it; the one before it is stored.
fn put(environment: &Environment, namespace: &str, case: &Case) -> String {
    let as_fixtures = [&PAST[..], &["-n", namespace, "-f", "-"]].concat();
    let (verb, last) = match case.documents.as_slice() {
        [only] => ("create", only),
        [stored, changed] => {
            environment
                .kubectl_with(&[&["create"][..], &as_fixtures].concat(), stored)
                .expect_ok();
            ("replace", changed)
        }
        other => panic!("{}: {} documents, not one or two", case.name, other.len()),
    };
    let said = environment
        .kubectl_with(
            &[verb, "-n", namespace, "--dry-run=server", "-f", "-"],
            last,
        )
        .expect_failure();
    if let [stored, _] = case.documents.as_slice() {
        environment
            .kubectl_with(&[&["delete"][..], &as_fixtures].concat(), stored)
            .expect_ok();
    }
    said
}

/// Every schema with its path, of every kind: `(kind, path, schema)`.
fn schemas() -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (kind, spec) in bounds::kinds() {
        walk(&kind, "spec", &spec, &mut found);
    }
    found
}

fn walk(kind: &str, path: &str, schema: &Value, found: &mut Vec<(String, String, Value)>) {
    found.push((kind.to_owned(), path.to_owned(), schema.clone()));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(kind, &format!("{path}.{name}"), property, found);
    }
    if schema["items"].is_object() {
        walk(kind, &format!("{path}[0]"), &schema["items"], found);
    }
}

#[test]
fn every_rule_of_the_crds_has_a_file_that_breaks_it() {
    let cases = Case::all();
    let mut lacking = Vec::new();
    let mut count = 0;
    for (kind, path, schema) in schemas() {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            count += 1;
            let message = rule["message"]
                .as_str()
                .unwrap_or_else(|| panic!("{kind} {path}: a rule without a message"));
            let line = format!("{path}: Invalid value: {message}");
            let broken = cases
                .iter()
                .any(|case| case.kind == kind && case.refused.contains(&line));
            if !broken {
                lacking.push(format!("# refused: {line}"));
            }
        }
    }
    assert!(count > 0, "no rule found in manifests/crds");
    assert!(
        lacking.is_empty(),
        "no file in tests/fixtures/cel has:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_bound_of_the_crds_has_a_file_that_breaks_it() {
    if writing() {
        return;
    }
    let recorded = Case::all();
    let made = bounds::cases();
    assert!(made.len() > 20, "only {} files of bounds", made.len());
    for case in &made {
        let same = recorded.iter().find(|other| other.name == case.name);
        assert!(
            same.is_some_and(|same| same.documents == case.documents),
            "tests/fixtures/cel/{} is not what the schemas give: `cargo xtask test --layer api --write` writes it again",
            case.name
        );
    }
    for case in recorded
        .iter()
        .filter(|case| case.name.contains("/bounds-"))
    {
        let known = made.iter().any(|other| other.name == case.name);
        assert!(
            known,
            "tests/fixtures/cel/{} breaks no bound of the schemas: delete it",
            case.name
        );
    }
    let lacking: Vec<String> = bounds::all()
        .into_iter()
        .filter(|(kind, path)| {
            !recorded.iter().any(|case| {
                case.kind == *kind
                    && case
                        .refused
                        .iter()
                        .any(|line| line.starts_with(&format!("{path}: ")))
            })
        })
        .map(|(kind, path)| format!("{kind} {path}"))
        .collect();
    assert!(
        lacking.is_empty(),
        "the API server refused nothing at:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn kubectl_explain_is_the_reference() {
    let platform = Platform::bare();
    let said = platform
        .environment
        .kubectl(&["explain", "mcpserver.spec.tools"])
        .expect_ok();
    assert!(said.contains("Tools that may be granted"), "{said}");
    assert!(repository().join("manifests/crds").exists());
}
