//! The binary `mcp-gateway`. Everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use gateway::args::{Args, Command};

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Serve(args) => start(*args),
        Command::Exec(args) => exec(args),
        Command::Copy { to } => copy(&to),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One thread is enough for a sidecar: the work for a message is a few microseconds, and memory counts.
fn start(args: gateway::args::Serve) -> anyhow::Result<()> {
    daemon::log::init(&args.log)?;
    daemon::install_crypto()?;
    run(gateway::serve::run(args))
}

fn exec(args: gateway::args::Exec) -> anyhow::Result<()> {
    log_plainly()?;
    run(gateway::exec::run(args))
}

fn copy(to: &std::path::Path) -> anyhow::Result<()> {
    log_plainly()?;
    gateway::copy::run(to)
}

/// Where the environment is not ours, it does not say how to log.
fn log_plainly() -> anyhow::Result<()> {
    daemon::log::init(&daemon::log::LogArgs {
        log_format: daemon::log::Format::Json,
        log_level: "info".to_owned(),
    })?;
    Ok(())
}

fn run(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}
