//! The binary `mcp-gateway`. Everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use gateway::args::{Args, Command};

fn main() -> ExitCode {
    let Command::Serve(serve) = Args::parse().command;
    match start(*serve) {
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(gateway::serve::run(args));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}
