//! `kubectl mcp grant` and `kubectl mcp session`: who may call what, by which token, and why not.
//!
//! Called by kubectl or by the dispatcher. Everything it knows of access it asks `access`, so that it says what the
//! gateway does.

mod grant;
mod names;
mod session;
mod subject;

use std::process::ExitCode;

use common::app;

fn main() -> ExitCode {
    let called = match app::called("kubectl-mcp-grant") {
        Ok(called) => called,
        Err(code) => return code,
    };
    match called.verb.as_str() {
        "grant" => app::run_async(&called, grant::run),
        "session" => app::run_async(&called, session::run),
        _ => app::unknown_verb(&called),
    }
}
