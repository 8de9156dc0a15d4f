//! `cargo xtask matrix`: servers, clients and eras crossed through the gateway, compared with `docs/matrix.md`.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;

use crate::conformance::Parts;
use crate::image::Everything;
use crate::paths;
use crate::shell::run as run_command;

/// Options of `cargo xtask matrix`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the table instead of comparing it
    #[arg(long)]
    write: bool,
}

/// Tries every cell; takes some minutes.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let (node, server) = Everything::prepare()?.command();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(paths::workspace())
        .stdin(Stdio::null())
        .args(["test", "-p", "gateway", "--test", "matrix", "--"])
        .args(["--ignored", "--nocapture", "the_whole_matrix"])
        .env("KUBECTL_MCP_TEST_NODE", node)
        .env("KUBECTL_MCP_TEST_EVERYTHING", server)
        .envs(Parts::prepare()?.environment());
    if args.write {
        command.env("KUBECTL_MCP_TEST_WRITE", "1");
    }
    run_command(&mut command)?;
    Ok(ExitCode::SUCCESS)
}
