//! `kubectl mcp lint`: the cluster's own rules, without a cluster.
//!
//! Called by kubectl, by the dispatcher, and by CI. Asks `rules` for every judgement; nothing is decided here.

mod lint;

use std::process::ExitCode;

use common::app;

fn main() -> ExitCode {
    let called = match app::called("kubectl-mcp-policy") {
        Ok(called) => called,
        Err(code) => return code,
    };
    match called.verb.as_str() {
        "lint" => app::run::<lint::Cli>(&called, |cli, printer| lint::run(&cli, printer)),
        _ => app::unknown_verb(&called),
    }
}
