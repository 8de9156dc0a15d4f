//! The command line of `kubectl mcp server`, and which file does what.

use clap::{Parser, Subcommand};
use common::app::CommandLine;
use common::{Exit, KubeArgs, Printer, Result, TerminalArgs};

use crate::{call, create, list, logs, policy, status, tools};

/// Make, look at and call MCP servers
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
  kubectl mcp server create weather --image ghcr.io/acme/weather:1.2 --tool forecast
  kubectl mcp session create --server weather
  kubectl mcp server tools weather
  kubectl mcp server call weather forecast city=Vienna days:=3
  kubectl mcp server tools diff weather
  kubectl mcp server tools approve weather forecast
  kubectl mcp server logs weather --audit -f";

#[derive(Subcommand)]
enum Command {
    /// List servers
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show single servers
    Get(list::GetArgs),
    /// Print a server as it would be applied elsewhere
    Export(list::ExportArgs),
    /// Say what works of a server and what does not
    Status(status::StatusArgs),
    /// Create a server
    Create(Box<create::CreateArgs>),
    /// Delete servers
    Delete(create::DeleteArgs),
    /// Print what a server, or its gateway, wrote
    Logs(logs::LogsArgs),
    /// Call a tool as yourself
    Call(Box<call::CallArgs>),
    /// List the tools that you may call; see and approve how the server defines them
    Tools(tools::ToolsArgs),
    /// Show what decides about a server's calls
    Policy(policy::PolicyArgs),
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
        Command::List(args) => list::list(&cluster, &args, printer).await,
        Command::Get(args) => list::get(&cluster, &args, printer).await,
        Command::Export(args) => list::export(&cluster, &args, printer).await,
        Command::Status(args) => status::status(&cluster, &args, printer).await,
        Command::Create(args) => create::create(&cluster, *args, printer).await,
        Command::Delete(args) => create::delete(&cluster, &args, printer).await,
        Command::Logs(args) => logs::logs(&cluster, &args, printer).await,
        Command::Call(args) => call::call(&cluster, &args, printer).await,
        Command::Tools(args) => tools::tools(&cluster, args, printer).await,
        Command::Policy(args) => policy::policy(&cluster, &args, printer).await,
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
}
