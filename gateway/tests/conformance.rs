//! The official conformance suite, both requirement sets: through the gateway the same checks pass as without it.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]
#![allow(clippy::large_futures, reason = "nobody counts the bytes of a test")]

mod sdk;
mod support;

use std::collections::BTreeMap;

use sdk::gateway::Gateway;
use sdk::{Parts, fixture, fixture_over_stdio, parts, run};
use serde_json::Value;
use tokio::sync::Mutex;

const SUITE: &str = "@modelcontextprotocol/conformance/dist/index.js";

/// The suite looks for answers within half a second, so it never runs twice at the same time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// How often a run is repeated before its verdict stands, for the same reason.
const RUNS: usize = 4;

/// One run of the suite.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    /// How often each check passed, by scenario and check.
    passed: BTreeMap<(String, String), usize>,
    /// Every check that a requirement asks for has passed.
    conforms: bool,
}

impl Run {
    fn count(&self) -> usize {
        self.passed.values().sum()
    }

    /// The checks that passed in this run more often than in the other.
    fn beyond<'r>(&'r self, other: &'r Self) -> impl Iterator<Item = &'r (String, String)> {
        let more = |(check, times): &(&(String, String), &usize)| {
            other
                .passed
                .get(*check)
                .is_none_or(|others| others < *times)
        };
        self.passed.iter().filter(more).map(|(check, _)| check)
    }
}

async fn suite(parts: &Parts, url: &str, requirements: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let mut command = parts.module(SUITE);
    command.args(["server", "--url", url, "--requirements", requirements, "-o"]);
    command.arg(folder.path());
    let ended = run(command).await;
    let mut passed = BTreeMap::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // server-SCENARIO-2026-01-31T23-59-59-999Z
        let scenario = &name["server-".len()..name.len() - "-2026-01-31T23-59-59-999Z".len()];
        // The gateway knows tasks, our server does not: what passes there is how each refuses them.
        if scenario.starts_with("tasks-") {
            continue;
        }
        let checks = std::fs::read(entry.path().join("checks.json")).unwrap();
        let checks: Vec<Value> = serde_json::from_slice(&checks).unwrap();
        for check in checks.iter().filter(|check| check["status"] == "SUCCESS") {
            let id = check["id"].as_str().unwrap().to_owned();
            *passed.entry((scenario.to_owned(), id)).or_insert(0) += 1;
        }
    }
    assert!(
        !passed.is_empty(),
        "the suite did not run: {}",
        ended.stderr
    );
    Run {
        passed,
        conforms: ended.succeeded,
    }
}

/// The bridge answers at once with JSON where our server's HTTP is always a stream, so there is no stream to judge.
const ONLY_OF_STREAMS: (&str, &str) = (
    "server-sse-multiple-streams",
    "server-sse-streams-functional",
);

/// Runs the suite without and with a gateway, and compares. `count` is what passes: a dead port passes a few checks too.
async fn compare(
    parts: &Parts,
    direct: &str,
    gateway: &Gateway,
    requirements: &str,
    except: Option<(&str, &str)>,
    count: usize,
) {
    for left in (0..RUNS).rev() {
        let mut without = suite(parts, direct, requirements).await;
        if let Some((scenario, check)) = except {
            without
                .passed
                .remove(&(scenario.to_owned(), check.to_owned()));
        }
        let with = suite(parts, &gateway.url, requirements).await;
        println!(
            "{requirements}: {} checks pass without the gateway, {} with it",
            without.count(),
            with.count()
        );
        let good = without.conforms && with == without && with.count() == count;
        if !good && left > 0 {
            continue;
        }
        let lost: Vec<_> = without.beyond(&with).collect();
        let won: Vec<_> = with.beyond(&without).collect();
        assert!(
            lost.is_empty() && won.is_empty(),
            "lost {lost:?}, won {won:?}"
        );
        assert!(without.conforms && with.conforms, "a required check fails");
        assert_eq!(with.count(), count);
        return;
    }
}

/// Our server speaks HTTP.
async fn over_http(requirements: &str, count: usize) {
    let Some(parts) = parts() else { return };
    let _alone = ALONE.lock().await;
    let (server, port) = fixture(&parts);
    let gateway = Gateway::over_http(server, port).await;
    let direct = format!("http://127.0.0.1:{port}/mcp");
    compare(&parts, &direct, &gateway, requirements, None, count).await;
}

/// Our server speaks on stdin and stdout behind the bridge; it speaks HTTP where there is no gateway.
async fn over_stdio(requirements: &str, count: usize) {
    let Some(parts) = parts() else { return };
    let _alone = ALONE.lock().await;
    let (_server, port) = fixture(&parts);
    let gateway = Gateway::over_stdio(&fixture_over_stdio(&parts)).await;
    let direct = format!("http://127.0.0.1:{port}/mcp");
    let except = Some(ONLY_OF_STREAMS);
    compare(&parts, &direct, &gateway, requirements, except, count).await;
}

#[tokio::test]
async fn every_check_for_2025_11_25_passes_through_the_gateway() {
    over_http("2025-11-25", 81).await;
}

#[tokio::test]
async fn every_check_for_2026_07_28_passes_through_the_gateway() {
    over_http("2026-07-28", 143).await;
}

#[tokio::test]
async fn every_check_for_2025_11_25_passes_through_the_bridge() {
    over_stdio("2025-11-25", 80).await;
}

#[tokio::test]
async fn every_check_for_2026_07_28_passes_through_the_bridge() {
    over_stdio("2026-07-28", 143).await;
}
