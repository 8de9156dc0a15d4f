//! `lint`: its command line, and the way from files to findings.

mod facts;
mod files;
mod judge;
mod node;
mod report;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use common::app::CommandLine;
use common::{Error, Exit, Printer, Result, TerminalArgs};
use jiff::Timestamp;
use rules::Severity;

use judge::Located;

/// Check manifests by the cluster's own rules, without a cluster
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// File, directory or - for standard input; may be given several times
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    filename: Vec<PathBuf>,
    /// File or directory with the policies of the cluster; may be given several times
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Go into the directories of a directory
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Namespace of objects that name none
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Format,
    /// From which severity on the exit code is 1
    #[arg(long, value_enum, default_value = "error", value_name = "SEVERITY")]
    fail_on: FailOn,
    #[command(flatten)]
    terminal: TerminalArgs,
}

const EXAMPLES: &str = "\
Examples:
  kubectl mcp lint -f weather.yaml --policy policy.yaml
  kubectl kustomize overlays/prod | kubectl mcp lint -f -
  kubectl get mcppolicy -o yaml > policy.yaml

Exit codes: 0 nothing found, 1 found something, 2 wrong command line, 3 something could not be read.";

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// Annotations of a workflow run on GitHub
    Github,
}

/// From which severity on the exit code is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// What a cluster refuses
    Error,
    /// What a cluster warns about, too
    Warning,
    /// Nothing
    Never,
}

impl CommandLine for Cli {
    fn terminal(&self) -> &TerminalArgs {
        &self.terminal
    }
}

/// Runs the verb.
pub(crate) fn run(cli: &Cli, printer: &mut Printer) -> Result<Exit> {
    if cli
        .filename
        .iter()
        .chain(&cli.policy)
        .filter(|path| path.as_os_str() == "-")
        .count()
        > 1
    {
        return Err(Error::usage("standard input (-) must be named once"));
    }
    let judged = files::read(&cli.filename, cli.recursive)?;
    let policies = files::read(&cli.policy, cli.recursive)?;
    let unknown: Vec<_> = judged
        .objects
        .iter()
        .chain(&policies.objects)
        .filter_map(judge::unknown_kind)
        .collect();
    let problems: Vec<_> = judged
        .problems
        .iter()
        .chain(&policies.problems)
        .chain(&unknown)
        .collect();
    for problem in &problems {
        printer.error(problem);
    }
    let facts = facts::gather(
        &judged.objects,
        &policies.objects,
        !cli.policy.is_empty(),
        &cli.namespace,
        Timestamp::now(),
    )?;
    let findings = judge::judge(&judged.objects, &facts, &cli.namespace);
    match cli.output {
        Format::Text => report::text(&findings, printer),
        Format::Json => report::json(&findings, printer),
        Format::Github => report::github(&findings, printer),
    }
    report::summary(&findings, judge::count(&judged.objects), printer);
    Ok(exit(&findings, cli.fail_on, !problems.is_empty()))
}

/// A file that could not be read is worse than a finding: nobody knows what is in it.
fn exit(findings: &[Located], fail_on: FailOn, broken: bool) -> Exit {
    let found = |severity| {
        findings
            .iter()
            .any(|located| located.finding.severity == severity)
    };
    match fail_on {
        _ if broken => Exit::Failed,
        FailOn::Error if found(Severity::Error) => Exit::Found,
        FailOn::Warning if found(Severity::Error) || found(Severity::Warning) => Exit::Found,
        FailOn::Error | FailOn::Warning | FailOn::Never => Exit::Ok,
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
