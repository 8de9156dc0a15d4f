//! `kubectl mcp grant`: its command line, and which file does what.

mod ask;
mod change;
mod create;

mod list;

pub(crate) use create::trust;

use clap::{Parser, Subcommand};
use common::app::CommandLine;
use common::output::{DryRunArgs, OutputArgs};
use common::{Exit, KubeArgs, Printer, Result, TerminalArgs};

/// Say who may call what, and find out why not
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
  kubectl mcp grant create --server weather --subject alice --tool forecast --for 8h
  kubectl mcp grant create --server weather --subject group:devs --tool 'get_*' --side-effect read
  kubectl mcp grant deny --server weather --subject alice --for 24h --reason 'incident 17'
  kubectl mcp grant can-i forecast --server weather --subject alice
  kubectl mcp grant explain forecast --server weather --subject alice";

#[derive(Subcommand)]
enum Command {
    /// Give a subject the use of tools, prompts and resources of a server
    Create(Box<create::CreateArgs>),
    /// Take a subject's access to a server away, also from new sessions
    Deny(create::DenyArgs),
    /// List grants
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show single grants
    Get(list::GetArgs),
    /// Delete grants
    Delete(change::DeleteArgs),
    /// Turn grants on again
    Enable(ChangeArgs),
    /// Turn grants off without deleting them
    Disable(ChangeArgs),
    /// Ask whether a call would be allowed: yes or no
    CanI(ask::CanIArgs),
    /// List who may call something
    WhoCan(ask::WhoCanArgs),
    /// Show what each grant says about a call
    Explain(ask::CanIArgs),
}

/// Arguments of `enable` and `disable`.
#[derive(clap::Args)]
pub(crate) struct ChangeArgs {
    /// Names of grants
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    output: OutputArgs,
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
        Command::Deny(args) => create::deny(&cluster, args, printer).await,
        Command::List(args) => list::list(&cluster, &args, printer).await,
        Command::Get(args) => list::get(&cluster, &args, printer).await,
        Command::Delete(args) => change::delete(&cluster, &args, printer).await,
        Command::Enable(args) => change::set_disabled(&cluster, &args, false, printer).await,
        Command::Disable(args) => change::set_disabled(&cluster, &args, true, printer).await,
        Command::CanI(args) => ask::can_i(&cluster, &args, printer).await,
        Command::WhoCan(args) => ask::who_can(&cluster, &args, printer).await,
        Command::Explain(args) => ask::explain(&cluster, &args, printer).await,
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
    fn a_subject_that_names_nobody_is_a_usage_error() {
        let line = ["x", "deny", "--server", "w", "--subject", "agent:claude"];
        let error = Cli::try_parse_from(line)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(error.contains("names nobody"), "{error}");
    }
}
