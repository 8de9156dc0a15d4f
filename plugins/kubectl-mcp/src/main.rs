//! `kubectl mcp`: finds the binary that serves a verb and becomes it.
//!
//! Called by kubectl for `kubectl mcp ...`. Knows no flag of any verb, links no Kubernetes client, starts at once.

mod dispatch;
mod siblings;

use std::io::Write as _;
use std::process::ExitCode;

/// The same codes as every plugin: 2 for a command line that makes no sense, 3 for what could not be done.
const USAGE: u8 = 2;
const FAILED: u8 = 3;

fn main() -> ExitCode {
    let siblings = siblings::Siblings::from_env();
    match dispatch::read(std::env::args_os().skip(1)) {
        dispatch::Request::Run { verb, args } => run(&siblings, verb, args),
        dispatch::Request::Help => say(&dispatch::help(&siblings)),
        dispatch::Request::Version => say(&dispatch::version(&siblings)),
        dispatch::Request::Completion => say(dispatch::COMPLETION),
        dispatch::Request::Complete { words } => say(&dispatch::complete(&siblings, &words)),
        dispatch::Request::Wrong { message, hint } => fail(USAGE, &message, &hint),
    }
}

fn run(
    siblings: &siblings::Siblings,
    verb: &'static common::verbs::Verb,
    args: Vec<std::ffi::OsString>,
) -> ExitCode {
    let Some(path) = siblings.find(verb.binary) else {
        let message = format!(
            "'{}' is served by {}, which is not installed",
            verb.name, verb.binary
        );
        return fail(
            FAILED,
            &message,
            "put it beside kubectl-mcp or on PATH    (kubectl krew install mcp brings all of them)",
        );
    };
    match siblings::become_it(&path, verb, args) {
        Ok(code) => code,
        Err(error) => fail(
            FAILED,
            &format!("cannot run {}: {error}", path.display()),
            "kubectl mcp version",
        ),
    }
}

fn say(text: &str) -> ExitCode {
    // A reader that has gone (`| head`) is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(code: u8, message: &str, hint: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {message}\nhint: {hint}");
    code.into()
}
