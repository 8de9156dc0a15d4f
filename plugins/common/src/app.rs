//! From `main` to a verb and back: command line, printer, runtime, exit code.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::called::Called;
use crate::error::{Error, Exit, Result};
use crate::printer::{Color, Printer, TerminalArgs};

/// A command line that knows its `TerminalArgs`.
pub trait CommandLine: CommandFactory + FromArgMatches {
    /// How it speaks.
    fn terminal(&self) -> &TerminalArgs;
}

/// How this process was called, or the exit code after having said why it will not run.
pub fn called(binary: &'static str) -> Result<Called, ExitCode> {
    Called::from_env(binary).map_err(|skew| {
        let error = Error::failed(skew.to_string())
            .with_hint("install both from the same release of kubectl-mcp");
        fail(&error, Color::Auto)
    })
}

/// The binary serves no such verb.
pub fn unknown_verb(called: &Called) -> ExitCode {
    let verbs: Vec<_> = crate::verbs::VERBS.iter().map(|verb| verb.name).collect();
    let error = Error::usage(format!("'{}' needs a verb", called.display))
        .with_hint(format!("kubectl mcp, then one of: {}", verbs.join(", ")));
    fail(&error, Color::Auto)
}

/// Reads the command line and runs a verb that needs no cluster.
pub fn run<C: CommandLine>(
    called: &Called,
    verb: impl FnOnce(C, &mut Printer) -> Result<Exit>,
) -> ExitCode {
    let cli = match parse::<C>(called) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let color = cli.terminal().color;
    let mut printer = Printer::new(color);
    match verb(cli, &mut printer) {
        Ok(exit) => exit.into(),
        Err(error) => fail(&error, color),
    }
}

/// Reads the command line and runs a verb that talks to a cluster, on one thread.
#[cfg(feature = "cluster")]
pub fn run_async<C: CommandLine>(
    called: &Called,
    verb: impl AsyncFnOnce(C, &mut Printer) -> Result<Exit>,
) -> ExitCode {
    run::<C>(called, |cli, printer| {
        // A second installation fails and leaves the first, which is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::failed(format!("cannot start: {error}")))?;
        runtime.block_on(Box::pin(verb(cli, printer)))
    })
}

/// The command line, or the exit code after clap has said what it wanted to say.
fn parse<C: CommandLine>(called: &Called) -> Result<C, ExitCode> {
    let command = C::command().bin_name(&called.display).no_binary_name(true);
    let parsed = command
        .try_get_matches_from(&called.args)
        .and_then(|mut matches| C::from_arg_matches_mut(&mut matches));
    parsed.map_err(|error| {
        // Help and version come this way too, and are no mistake.
        let _ = error.print();
        if error.use_stderr() {
            Exit::Usage.into()
        } else {
            Exit::Ok.into()
        }
    })
}

fn fail(error: &Error, color: Color) -> ExitCode {
    Printer::new(color).error(error);
    error.exit().into()
}
