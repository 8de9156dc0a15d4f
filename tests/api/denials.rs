//! What `kubectl apply` really prints of each rule, in the rule's page.
//!
//! Each rule's fail fixture is made real: what it takes for granted is written past the webhook, its object is applied
//! by the requester of the fixtures. `cargo xtask test --layer api` compares the text with the page;
//! with `--write` it is put there.

mod page;
mod scene;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::Environment;
use tests::recorded::{Recorder, repository, writing};

use crate::door::{Door, MARKERS, teams};
use crate::platform::Platform;
use page::Printed;
use scene::Scene;
pub(crate) use scene::grant_rights;

const FIXTURES: &str = "tests/fixtures/rules";
/// How long the webhook may take to see what a fixture takes for granted.
const PATIENCE: Duration = Duration::from_secs(6);

/// The rules, by the folders of their fixtures.
fn rules() -> Vec<String> {
    let entries = fs::read_dir(repository().join(FIXTURES)).expect("the fixtures are there");
    let mut rules: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("it can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    rules.sort();
    assert!(rules.len() > 60, "only {} rules have fixtures", rules.len());
    rules
}

/// The fixtures of a rule that fail, the plain one first.
fn failing(rule: &str) -> Vec<String> {
    let entries =
        fs::read_dir(repository().join(FIXTURES).join(rule)).expect("the fixtures are there");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("it can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.starts_with("fail"))
        .collect();
    names.sort_by_key(|name| (name != "fail.yaml", name.clone()));
    names
}

fn fixture(rule: &str, name: &str) -> Value {
    let path = repository().join(FIXTURES).join(rule).join(name);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_page_of_every_rule_holds_what_kubectl_prints() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    teams(environment, &["team-a", "team-b"]);
    grant_rights(environment);
    let webhook = platform.start_webhook();
    let door = Door::of(environment, &webhook);
    let mut pages = Recorder::default();
    for rule in rules() {
        let path = format!("docs/rules/{rule}.md");
        let page = fs::read_to_string(repository().join(&path)).unwrap_or_default();
        let recorded = page::read(&page);
        let printed = if writing() {
            best(environment, &door, &rule, recorded.as_ref())
        } else {
            let name = recorded
                .as_ref()
                .map_or("fail.yaml", |recorded| recorded.fixture.as_str());
            play(environment, &rule, name, recorded.as_ref())
        };
        pages.expect(&path, &page::with(&page, &rule, &printed));
    }
    pages.finish();
}

/// The first fixture that the rule refuses through the API server; else the first that it warns about; else the first.
fn best(
    environment: &Environment,
    door: &Door<'_>,
    rule: &str,
    recorded: Option<&Printed>,
) -> Printed {
    let mut all = Vec::new();
    for name in failing(rule) {
        // What the last fixture left must be gone, or it would be judged too.
        door.catch_up();
        door.forget();
        let printed = play(
            environment,
            rule,
            &name,
            recorded.filter(|recorded| recorded.fixture == name),
        );
        if printed.refuses(rule) {
            return printed;
        }
        all.push(printed);
    }
    let warning = all
        .iter()
        .position(|printed| printed.names(rule))
        .unwrap_or_default();
    assert!(!all.is_empty(), "{rule} has no fixture that fails");
    all.swap_remove(warning)
}

/// Plays one fixture: the webhook is asked until it says what is expected of it, or nothing more comes.
fn play(environment: &Environment, rule: &str, name: &str, expected: Option<&Printed>) -> Printed {
    let scene = Scene::of(&fixture(rule, name));
    let printed = scene.set(environment).map_or_else(
        |refusal| Printed::impossible(name, &refusal),
        |()| {
            let start = Instant::now();
            loop {
                let printed = scene.printed(environment, name, true);
                let settled = match expected {
                    Some(expected) if !writing() => printed == *expected,
                    Some(_) | None => printed.names(rule) && !printed.text.contains(MARKERS),
                };
                if settled || start.elapsed() > PATIENCE {
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(50));
            }
            scene.printed(environment, name, false)
        },
    );
    scene.clear(environment);
    printed
}

#[test]
fn the_page_of_a_rule_keeps_everything_but_the_printed_text() {
    let page = "# MCP0001 example\n\n## Why\n\nBecause.\n\n## Bad\n\nx\n\n## Good\n\ny\n";
    let printed = Printed {
        fixture: "fail.yaml".to_owned(),
        command: "kubectl apply -f weather.yaml".to_owned(),
        text: "spec: bad (MCP0001)\n".to_owned(),
        refused: true,
    };
    let once = page::with(page, "MCP0001", &printed);
    assert_eq!(page::with(&once, "MCP0001", &printed), once);
    assert_eq!(page::read(&once), Some(printed));
    assert!(once.starts_with(
        "# MCP0001 example\n\n## Why\n\nBecause.\n\n## Bad\n\nx\n\n## What kubectl prints\n"
    ));
    assert!(once.ends_with("\n## Good\n\ny\n"));
}
