//! `server tools approve`: writes the hashes of the present definitions into `spec.tools[].pin`.

use api::{MCPServer, Pins, Tool, names};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::output::{DryRun, DryRunArgs, OutputArgs, print_change};
use common::{Error, Exit, Printer, Result};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::nothing_found;
use super::standing::{self, Row};

/// Arguments of `tools approve`.
#[derive(clap::Args)]
pub(super) struct ApproveArgs {
    /// The server
    server: String,
    /// Tools whose present definitions are approved
    #[arg(value_name = "TOOL", required_unless_present = "all")]
    tools: Vec<String>,
    /// Every tool that is declared and that the server lists
    #[arg(long, conflicts_with = "tools")]
    all: bool,
    /// Keep what is approved now, for the time of a rollout
    #[arg(long)]
    add: bool,
    /// Approve also what has hidden characters in its definition
    #[arg(long)]
    allow_hidden: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// `server tools approve`.
pub(super) async fn approve(
    cluster: &Cluster,
    args: &ApproveArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let api = cluster.api::<MCPServer>();
    let during = format!("cannot approve tools of server '{}'", args.server);
    let mut server = api.get(&args.server).await.during(during.clone())?;
    if standing::definitions(&server).is_empty() {
        return Err(nothing_found(cluster, &args.server));
    }
    let rows = standing::rows(&server);
    let chosen = chosen(&rows, args)?;
    if !args.allow_hidden {
        no_hidden(&chosen)?;
    }
    let changed = pin(&mut server.spec.tools, &chosen, args.add);
    if changed.is_empty() {
        printer.note("Nothing to do: these definitions are approved already.");
        return Ok(Exit::Ok);
    }
    for row in &changed {
        printer.note(format_args!(
            "{}: {}",
            row.tool,
            row.hash.as_deref().unwrap_or_default()
        ));
    }
    let dry_run = args.dry_run.dry_run;
    if dry_run != DryRun::Client {
        let params = PatchParams {
            dry_run: dry_run == DryRun::Server,
            field_manager: Some(names::PLUGIN.to_owned()),
            ..PatchParams::default()
        };
        // The version makes the API server refuse if somebody else changed the list meanwhile.
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": server.metadata.resource_version},
            "spec": {"tools": server.spec.tools},
        }));
        server = api
            .patch(&args.server, &params, &patch)
            .await
            .during(during)?;
    }
    print_change(printer, args.output.output, &server, "approved", dry_run)?;
    Ok(Exit::Ok)
}

/// The rows to approve: those that were named, or all that can be.
fn chosen<'r>(rows: &'r [Row], args: &ApproveArgs) -> Result<Vec<&'r Row>> {
    if args.all {
        let can_be = |row: &&Row| row.declared && row.hash.is_some();
        return Ok(rows.iter().filter(can_be).collect());
    }
    let find = |tool: &String| {
        let row = rows.iter().find(|row| row.tool == *tool);
        match row {
            Some(row) if row.hash.is_some() && row.declared => Ok(row),
            Some(row) if row.hash.is_some() => Err(Error::failed(format!(
                "tool '{tool}' is not declared: add it to spec.tools of MCPServer {} with what it does, then approve it",
                args.server
            ))),
            Some(_) | None => Err(Error::failed(format!(
                "the server lists no tool '{tool}' that could be approved"
            ))),
        }
    };
    args.tools.iter().map(find).collect()
}

/// Hidden text is approved only by somebody who says so.
fn no_hidden(rows: &[&Row]) -> Result<()> {
    let hidden = |row: &&&Row| row.findings.iter().any(|finding| finding != "oversized");
    match rows.iter().find(hidden) {
        None => Ok(()),
        Some(row) => Err(Error::failed(format!(
            "the definition of tool '{}' has text that people do not see and models read ({})",
            row.tool,
            row.findings.join(", ")
        ))
        .with_hint("look at it with 'kubectl mcp server tools diff', then add --allow-hidden if it must be so")),
    }
}

/// Writes the pins; the rows that changed something.
fn pin<'r>(tools: &mut [Tool], rows: &[&'r Row], add: bool) -> Vec<&'r Row> {
    let mut changed = Vec::new();
    for row in rows {
        let tool = tools.iter_mut().find(|tool| tool.name == row.tool);
        let (Some(tool), Some(hash)) = (tool, row.hash.clone()) else {
            continue;
        };
        let before = tool.pin.clone();
        tool.pin = Some(match tool.pins() {
            pins if pins.contains(&hash) && (add || pins.len() == 1) => continue,
            pins if add && !pins.is_empty() => {
                Pins::Many(pins.iter().cloned().chain([hash]).collect())
            }
            _ => Pins::One(hash),
        });
        if tool.pin != before {
            changed.push(*row);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::super::standing::Standing;
    use super::*;

    fn row(hash: Option<&str>, declared: bool, findings: &[&str]) -> Row {
        Row {
            tool: "echo".to_owned(),
            standing: Standing::Drifted,
            pins: Vec::new(),
            hash: hash.map(str::to_owned),
            findings: findings.iter().map(|f| (*f).to_owned()).collect(),
            declared,
        }
    }

    /// The pin that the tool has afterwards; `None` if nothing changed.
    fn pinned(pin: Option<Pins>, add: bool) -> Option<Pins> {
        let mut tools = [Tool {
            name: "echo".to_owned(),
            pin,
            ..Tool::default()
        }];
        let row = row(Some("b"), true, &[]);
        let changed = !pin_all(&mut tools, &row, add).is_empty();
        tools[0].pin.clone().filter(|_| changed)
    }

    fn pin_all<'r>(tools: &mut [Tool], row: &'r Row, add: bool) -> Vec<&'r Row> {
        pin(tools, &[row], add)
    }

    #[test]
    fn a_pin_replaces_what_was_approved_unless_it_is_added() {
        let one = |pin: &str| Some(Pins::One(pin.to_owned()));
        let many = |pins: [&str; 2]| Some(Pins::Many(pins.map(str::to_owned).into()));
        assert_eq!(pinned(None, false), one("b"));
        assert_eq!(pinned(None, true), one("b"));
        assert_eq!(pinned(one("a"), false), one("b"));
        assert_eq!(pinned(one("a"), true), many(["a", "b"]));
        assert_eq!(pinned(one("b"), false), None);
        assert_eq!(pinned(many(["a", "b"]), true), None);
        assert_eq!(pinned(many(["a", "b"]), false), one("b"));
    }

    #[test]
    fn hidden_text_is_not_approved_by_the_way() {
        let hidden = row(Some("b"), true, &["tag-characters"]);
        assert!(no_hidden(&[&hidden]).is_err());
        let long = row(Some("b"), true, &["oversized"]);
        assert!(no_hidden(&[&long]).is_ok());
    }

    #[test]
    fn what_is_not_declared_or_not_listed_cannot_be_approved() {
        let args = |all| ApproveArgs {
            server: "w".to_owned(),
            tools: vec!["echo".to_owned()],
            all,
            add: false,
            allow_hidden: false,
            dry_run: DryRunArgs::default(),
            output: OutputArgs::default(),
        };
        for row in [row(Some("b"), false, &[]), row(None, true, &[])] {
            let rows = [row];
            assert!(chosen(&rows, &args(false)).is_err());
            assert!(chosen(&rows, &args(true)).is_ok_and(|rows| rows.is_empty()));
        }
    }
}
