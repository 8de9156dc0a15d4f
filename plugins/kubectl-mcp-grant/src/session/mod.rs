//! `kubectl mcp session`: its command line, and which file does what.

mod change;
mod create;
mod list;

use clap::{Parser, Subcommand};
use common::app::CommandLine;
use common::{Exit, KubeArgs, Printer, Result, TerminalArgs};

/// Make and revoke tokens for callers
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    terminal: TerminalArgs,
}

const EXAMPLES: &str = "\
Examples:
  kubectl mcp session create --server weather --for 1h
  kubectl mcp session revoke --server weather
  kubectl mcp session list -A

Revoking ends one token. To stop a person: kubectl mcp grant deny --server weather --subject alice";

#[derive(Subcommand)]
enum Command {
    /// Make a session of your own; its token goes into a file that only you can read
    Create(Box<create::CreateArgs>),
    /// List sessions
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show single sessions
    Get(list::GetArgs),
    /// End sessions at once, and for good
    Revoke(change::RevokeArgs),
    /// Delete sessions
    Delete(change::DeleteArgs),
}

impl CommandLine for Cli {
    fn terminal(&self) -> &TerminalArgs {
        &self.terminal
    }
}

/// Runs the verb.
pub(crate) async fn run(cli: Cli, printer: &mut Printer) -> Result<Exit> {
    let cluster = cli.kube.connect().await?;
    match cli.command {
        Command::Create(args) => create::create(&cluster, *args, printer).await,
        Command::List(args) => list::list(&cluster, &args, printer).await,
        Command::Get(args) => list::get(&cluster, &args, printer).await,
        Command::Revoke(args) => change::revoke(&cluster, &args, printer).await,
        Command::Delete(args) => change::delete(&cluster, &args, printer).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_revocation_names_a_session_or_a_server() {
        assert!(Cli::try_parse_from(["x", "revoke"]).is_err());
        assert!(Cli::try_parse_from(["x", "revoke", "a", "--server", "w"]).is_err());
        assert!(Cli::try_parse_from(["x", "revoke", "--server", "w"]).is_ok());
    }
}
