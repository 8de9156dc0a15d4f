//! `lint`: its command line, and the way from files to findings.

mod judge;
mod report;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use common::app::CommandLine;
use common::{Exit, KubeArgs, Printer, Result, TerminalArgs};
use jiff::Timestamp;
use rules::Severity;

use crate::manifests::{Inputs, Read};
use crate::world::{Setting, Unseen, World, sentences};
use judge::Located;
use report::Sources;

/// Check manifests by the cluster's own rules, with or without a cluster
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    inputs: Inputs,
    /// File, directory or pattern with the policies of the cluster; may be given several times
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    policy: Vec<PathBuf>,
    /// Look up in the cluster what the rules want to know, with your own rights
    #[arg(long)]
    server: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Format,
    /// From which severity on the exit code is 1
    #[arg(long, value_enum, default_value = "error", value_name = "SEVERITY")]
    fail_on: FailOn,
    /// List what could not be checked, and which objects were passed over
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    terminal: TerminalArgs,
}

const EXAMPLES: &str = "\
Examples:
  kubectl mcp lint weather.yaml --policy policy.yaml
  kubectl mcp lint -f 'apps/**/*.{yaml,json}' -o github
  kubectl kustomize overlays/prod | kubectl mcp lint -f - --server

Exit codes: 0 nothing found, 1 found something, 2 wrong command line, 3 something could not be read, or nothing is there.";

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
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
pub(crate) async fn run(cli: &Cli, printer: &mut Printer) -> Result<Exit> {
    let (run, policies) = cli.inputs.read(&cli.policy)?;
    let problems: Vec<_> = run.problems.iter().chain(&policies.problems).collect();
    for problem in &problems {
        printer.error(&problem.error());
    }
    let (world, unseen) = look(cli, &run, &policies, printer).await?;
    let findings = judge::judge(&run, &world);
    let kinds: Vec<_> = run.ours().map(|(kind, _)| kind).collect();
    let said = findings.iter().map(|located| &located.finding);
    for sentence in sentences(&unseen, &kinds, said) {
        printer.warning(sentence);
    }
    match cli.output {
        Format::Text => report::text(&findings, cli.verbose, printer),
        Format::Json => report::json(&findings, printer),
        Format::Sarif => report::sarif(&findings, &problems, cli.verbose, printer),
        Format::Github => report::github(&findings, &problems, cli.verbose, printer),
    }
    let sources = Sources {
        server: cli.server,
        policies: world.knows_policies(),
    };
    report::summary(&findings, &run, sources, cli.verbose, printer);
    Ok(exit(&findings, cli.fail_on, !problems.is_empty()))
}

/// What the rules may know.
async fn look(
    cli: &Cli,
    run: &Read,
    policies: &Read,
    printer: &mut Printer,
) -> Result<(World, Vec<Unseen>)> {
    let now = Timestamp::now();
    let mut setting = Setting {
        policies_named: !cli.policy.is_empty(),
        namespace: cli
            .kube
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
    };
    if !cli.server {
        if cli.kube.context.is_some() || cli.kube.kubeconfig.is_some() || cli.kube.as_user.is_some()
        {
            printer.warning("no cluster is asked without --server: --context, --kubeconfig and --as change nothing");
        }
        return Ok((World::offline(run, policies, &setting, now)?, Vec::new()));
    }
    let cluster = cli.kube.connect().await?;
    setting.namespace.clone_from(&cluster.namespace);
    World::online(&cluster, run, &setting, now).await
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
