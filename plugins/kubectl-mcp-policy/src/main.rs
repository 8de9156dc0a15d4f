//! `kubectl mcp lint`, `diff` and `policy`: the cluster's own rules and defaults, with or without a cluster.
//!
//! Called by kubectl, by the dispatcher, and by CI. Asks `rules` for every judgement; nothing is decided here.

mod diff;
mod lint;
mod manifests;
mod policy;
mod world;

use std::process::ExitCode;

use common::app;

fn main() -> ExitCode {
    let called = match app::called("kubectl-mcp-policy") {
        Ok(called) => called,
        Err(code) => return code,
    };
    match called.verb.as_str() {
        "lint" => app::run_async::<lint::Cli>(&called, async |cli, printer| {
            lint::run(&cli, printer).await
        }),
        "diff" => app::run_async::<diff::Cli>(&called, async |cli, printer| {
            diff::run(&cli, printer).await
        }),
        "policy" => app::run_async(&called, policy::run),
        _ => app::unknown_verb(&called),
    }
}
