//! `kubectl mcp policy`: its command line, and which file does what.

mod explain;
mod get;
mod reads;
mod test;

use clap::{Parser, Subcommand};
use common::app::CommandLine;
use common::{Exit, KubeArgs, Printer, Result, TerminalArgs};

/// Show policies, try a change on everything that is there, and explain what holds for a namespace
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
  kubectl mcp policy get -o wide
  kubectl mcp policy test -f policy.yaml
  kubectl mcp policy explain team-a
  kubectl mcp policy explain team-new --labels team=a

Exit codes: 0 nothing found, 1 somebody would break, 2 wrong command line, 3 it could not be done.";

#[derive(Subcommand)]
enum Command {
    /// List policies, or show single ones
    #[command(visible_aliases = ["list", "ls"])]
    Get(get::GetArgs),
    /// Find out which servers, grants and sessions would break if a policy were applied
    Test(test::TestArgs),
    /// Show what the policies of a namespace say together, and where each line comes from
    Explain(explain::ExplainArgs),
}

impl CommandLine for Cli {
    fn terminal(&self) -> &TerminalArgs {
        &self.terminal
    }
}

/// Runs the verb.
pub(crate) async fn run(cli: Cli, printer: &mut Printer) -> Result<Exit> {
    match cli.command {
        Command::Get(args) => get::get(&cli.kube.connect().await?, &args, printer).await,
        Command::Test(args) => test::test(&cli.kube, &args, printer).await,
        Command::Explain(args) => explain::explain(&cli.kube, &args, printer).await,
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
    fn every_example_of_the_help_is_a_command_line() {
        use clap::CommandFactory as _;
        let mut command = Cli::command();
        let helps = ["get", "test", "explain"].map(|name| {
            let verb = command.find_subcommand_mut(name).unwrap();
            verb.render_help().to_string()
        });
        for help in [command.render_help().to_string()].iter().chain(&helps) {
            let examples: Vec<_> = help
                .lines()
                .filter_map(|line| line.strip_prefix("  kubectl mcp policy "))
                .collect();
            assert!(examples.len() >= 2, "{help}");
            assert!(help.contains("Exit codes: 0 "), "{help}");
            for example in examples {
                // What stands behind is for the shell.
                let words = example.split(['>', '|']).next().unwrap_or_default();
                let words = ["policy"].into_iter().chain(words.split_whitespace());
                let parsed = Cli::try_parse_from(words);
                assert!(parsed.is_ok(), "{example}: {:?}", parsed.err());
            }
        }
    }
}
