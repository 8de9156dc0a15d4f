//! `server tools`: what the caller may call, and how its definitions stand against the pins.

mod approve;
mod diff;
mod list;
mod standing;

use clap::Subcommand;
use common::cluster::Cluster;
use common::{Error, Exit, Printer, Result};

/// Arguments of `tools`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ToolsArgs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: list::ListArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Show which definitions are not the approved ones, and what changed in them
    Diff(diff::DiffArgs),
    /// Approve definitions as the server has them now: writes their hashes into spec.tools
    Approve(approve::ApproveArgs),
}

/// `server tools`.
pub(crate) async fn tools(
    cluster: &Cluster,
    args: ToolsArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    match args.command {
        None => list::list(cluster, &args.list, printer).await,
        Some(Command::Diff(args)) => diff::diff(cluster, &args, printer).await,
        Some(Command::Approve(args)) => approve::approve(cluster, &args, printer).await,
    }
}

/// What is to be said when the operator has not noted any definition yet.
fn nothing_found(cluster: &Cluster, server: &str) -> Error {
    Error::failed(format!(
        "the definitions of server '{server}' are not known yet: its gateway finds them when the server is ready"
    ))
    .with_hint(format!(
        "kubectl mcp server status {server}{}",
        cluster.flags()
    ))
}
