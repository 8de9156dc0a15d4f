//! `kubectl-mcp-setup`: the verbs `setup`, `check` and `status` of `kubectl mcp`.

use std::process::ExitCode;

use common::app;
use setup::{check, setup as installation, status};

fn main() -> ExitCode {
    let called = match app::called("kubectl-mcp-setup") {
        Ok(called) => called,
        Err(code) => return code,
    };
    match called.verb.as_str() {
        "setup" => app::run_async(&called, installation::run),
        "check" => app::run_async(&called, check::run),
        "status" => app::run_async(&called, status::run),
        _ => app::unknown_verb(&called),
    }
}
