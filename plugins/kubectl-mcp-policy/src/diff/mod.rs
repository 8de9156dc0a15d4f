//! `diff`: what admission would change in a manifest, or what the cluster would store.
//!
//! Without a cluster the same function fills in defaults as in the webhook. With one the API server is asked by dry
//! run, so webhook, schema and everybody else have their say.

mod server;
mod unified;

use std::path::PathBuf;

use clap::Parser;
use common::app::CommandLine;
use common::output::yaml;
use common::printer::{WARN, styled};
use common::{Exit, KubeArgs, Printer, Result, TerminalArgs};
use jiff::Timestamp;
use rules::Kind;

use crate::manifests::{Inputs, Object, Read};
use crate::world::{Setting, World};
use unified::Change;

/// Show what admission would change in a manifest, or what the cluster would store
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    inputs: Inputs,
    /// File, directory or pattern with the policies of the cluster; may be given several times
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    policy: Vec<PathBuf>,
    /// Compare what is in the cluster with what it would store, by a dry run of its API server
    #[arg(long)]
    server: bool,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    terminal: TerminalArgs,
}

const EXAMPLES: &str = "\
Examples:
  kubectl mcp diff -f weather.yaml --policy policy.yaml
  kubectl mcp diff -R apps policy.yaml --color always
  kubectl mcp diff -f weather.yaml --server

Exit codes: 0 no difference, 1 a difference, 2 wrong command line, 3 it could not be found out.";

impl CommandLine for Cli {
    fn terminal(&self) -> &TerminalArgs {
        &self.terminal
    }
}

/// Runs the verb.
pub(crate) async fn run(cli: &Cli, printer: &mut Printer) -> Result<Exit> {
    let (run, policies) = cli.inputs.read(&cli.policy)?;
    let mut broken = false;
    for problem in run.problems.iter().chain(&policies.problems) {
        broken = true;
        printer.error(&problem.error());
    }
    if run.ours().next().is_none() {
        run.say_that_there_is_nothing("compare", true, printer);
    }
    let mut differs = false;
    if cli.server {
        let cluster = cli.kube.connect().await?;
        for (kind, object) in run.ours() {
            match server::change(&cluster, kind, object).await {
                Ok((change, warnings)) => {
                    for warning in warnings {
                        printer.note(format_args!("{} {warning}", styled(WARN, "Warning:")));
                    }
                    differs |= show(change, printer)?;
                }
                // One that is refused says nothing of the others.
                Err(error) => {
                    broken = true;
                    printer.error(&error);
                }
            }
        }
    } else {
        let world = offline(cli, &run, &policies)?;
        for (kind, object) in run.ours() {
            differs |= show(defaults(&world, kind, object), printer)?;
        }
    }
    Ok(match (broken, differs) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Found,
        (false, false) => Exit::Ok,
    })
}

fn offline(cli: &Cli, run: &Read, policies: &Read) -> Result<World> {
    let setting = Setting {
        policies_named: !cli.policy.is_empty(),
        namespace: cli
            .kube
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
    };
    World::offline(run, policies, &setting, Timestamp::now())
}

/// What defaulting changes.
fn defaults(world: &World, kind: Kind, object: &Object) -> Change {
    let case = world.case(kind, object);
    let after = world.defaulted(&case);
    let name = name_of(kind, &case.namespace, object);
    Change {
        before_name: format!("{} {name}", object.file),
        after_name: format!("admitted {name}"),
        before: Some(case.new),
        after,
    }
}

/// `MCPServer team-a/weather`, on one line whatever the name holds.
fn name_of(kind: Kind, namespace: &str, object: &Object) -> String {
    let name = match object.text("/metadata/name") {
        "" => object.text("/metadata/generateName"),
        name => name,
    };
    let (namespace, name) = (rules::escape(namespace), rules::escape(name));
    if namespace.is_empty() {
        format!("{kind} {name}")
    } else {
        format!("{kind} {namespace}/{name}")
    }
}

/// Prints a change, and says whether there is one.
fn show(mut change: Change, printer: &mut Printer) -> Result<bool> {
    unified::hide_secrets(change.before.as_mut(), &mut change.after);
    let before = change.before.as_ref().map(yaml).transpose()?;
    let after = yaml(&change.after)?;
    let text = unified::render(&change, before.as_deref().unwrap_or_default(), &after);
    printer.data(text.as_bytes());
    Ok(!text.is_empty())
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
