//! `server tools diff`: which definitions are not the approved ones, and what changed in them.
//!
//! Hashes come from the server's status. The texts are in the gateway's inventory only, which is reached through the
//! pod's proxy; who may not use that, sees the hashes.

use api::{MCPServer, names};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::output::{OutputArgs, pretty_json, print_value};
use common::table::Table;
use common::{Error, Exit, Printer, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use similar::TextDiff;

use super::nothing_found;
use super::standing::{self, Row, Standing};

/// Arguments of `tools diff`.
#[derive(clap::Args)]
pub(super) struct DiffArgs {
    /// The server
    server: String,
    /// Only these tools
    #[arg(value_name = "TOOL")]
    tools: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// `server tools diff`. Exit code 1 if an approved definition is not what the server has.
pub(super) async fn diff(
    cluster: &Cluster,
    args: &DiffArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let server = cluster
        .api::<MCPServer>()
        .get(&args.server)
        .await
        .during(format!("cannot read server '{}'", args.server))?;
    if standing::definitions(&server).is_empty() {
        return Err(nothing_found(cluster, &args.server));
    }
    let rows = chosen(standing::rows(&server), &args.tools)?;
    let exit = if rows.iter().any(|row| row.standing.differs()) {
        Exit::Found
    } else {
        Exit::Ok
    };
    let inventory = inventory(cluster, &args.server).await;
    if args.output.output.is_table() {
        printer.line(table(&rows));
        for row in rows.iter().filter(|row| row.standing == Standing::Drifted) {
            printer.line(format_args!("\n{}", changed(row, inventory.as_ref())));
        }
        if inventory.is_none() && exit == Exit::Found {
            printer.note("The definitions themselves are in the gateway's inventory, which needs the verb get on pods/proxy:");
            printer.note(format_args!(
                "hint: kubectl auth can-i get pods --subresource=proxy{}",
                cluster.flags()
            ));
        }
    } else {
        let value: Vec<Value> = rows
            .iter()
            .map(|row| with_texts(row, inventory.as_ref()))
            .collect();
        print_value(printer, args.output.output, &Value::Array(value))?;
    }
    Ok(exit)
}

/// The rows of the tools that were named; all, if none was.
fn chosen(mut rows: Vec<Row>, tools: &[String]) -> Result<Vec<Row>> {
    for tool in tools {
        if !rows.iter().any(|row| row.tool == *tool) {
            return Err(Error::failed(format!(
                "the server lists no tool '{tool}', and none is pinned"
            )));
        }
    }
    if !tools.is_empty() {
        rows.retain(|row| tools.contains(&row.tool));
    }
    Ok(rows)
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&["tool", "pin", "approved", "now", "suspicious"]);
    for row in rows {
        let pins: Vec<String> = row.pins.iter().map(|pin| standing::short(pin)).collect();
        table.row([
            visible(&row.tool),
            row.standing.as_str().to_owned(),
            pins.join(","),
            row.hash.as_deref().map(standing::short).unwrap_or_default(),
            row.findings.join(","),
        ]);
    }
    table.render()
}

/// What changed in a definition, as far as it is known.
fn changed(row: &Row, inventory: Option<&Value>) -> String {
    let entry = inventory.and_then(|inventory| entry(inventory, &row.tool));
    let text = |member: &str| {
        entry
            .and_then(|entry| entry.get(member))
            .map(|value| visible(&pretty_json(value)))
    };
    let name = visible(&row.tool);
    match (text("approved"), text("definition")) {
        (Some(before), Some(after)) => TextDiff::from_lines(&before, &after)
            .unified_diff()
            .context_radius(3)
            .header(&format!("{name} (approved)"), &format!("{name} (now)"))
            .to_string()
            .trim_end()
            .to_owned(),
        (None, Some(after)) => format!(
            "{name}: the gateway never saw the approved definition; it is now:\n{}",
            after.trim_end()
        ),
        (_, None) => format!("{name}: its definition is not shown"),
    }
}

fn with_texts(row: &Row, inventory: Option<&Value>) -> Value {
    let mut value = json!(row);
    let entry = inventory.and_then(|inventory| entry(inventory, &row.tool));
    for (member, from) in [("now", "definition"), ("approved", "approved")] {
        if let Some(text) = entry.and_then(|entry| entry.get(from)) {
            value[member] = text.clone();
        }
    }
    value
}

fn entry<'i>(inventory: &'i Value, tool: &str) -> Option<&'i Value> {
    let all = inventory.pointer("/tools/definitions")?.as_array()?;
    all.iter()
        .find(|entry| entry.get("name").and_then(Value::as_str) == Some(tool))
}

/// Text with its hidden characters spelled out, so that neither eye nor terminal is deceived.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\n' | '"' | '\'' | '\\') {
            out.push(c);
        } else {
            out.extend(c.escape_debug());
        }
    }
    out
}

/// The inventory of one pod's gateway, if it can be had.
async fn inventory(cluster: &Cluster, server: &str) -> Option<Value> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let labels = format!("{}={server}", names::SERVER_LABEL);
    let found = pods.list(&ListParams::default().labels(&labels)).await;
    for pod in found.ok()?.items {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}:{}/proxy/inventory",
            cluster.namespace,
            pod.name_any(),
            names::GATEWAY_ADMIN_PORT
        );
        if let Ok(request) = http::Request::get(path).body(Vec::new())
            && let Ok(inventory) = cluster.client.request(request).await
        {
            return Some(inventory);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            tool: "echo".to_owned(),
            standing: Standing::Drifted,
            pins: vec!["sha256:aaaaaaaaaaaabb".to_owned()],
            hash: Some("sha256:cccccccccccccc".to_owned()),
            findings: vec!["invisible-characters".to_owned()],
            declared: true,
        }
    }

    #[test]
    fn what_changed_is_a_diff_in_which_nothing_hides() {
        let inventory = json!({"tools": {"definitions": [{
            "name": "echo", "approved": {"description": "Echoes", "name": "echo"},
            "definition": {"description": "Echoes\u{200b}\u{202e}", "name": "echo"},
        }]}});
        let text = changed(&row(), Some(&inventory));
        assert!(
            text.contains("--- echo (approved)\n+++ echo (now)"),
            "{text}"
        );
        assert!(text.contains("\"description\": \"Echoes\",\n"), "{text}");
        assert!(
            text.contains("\"description\": \"Echoes\\u{200b}\\u{202e}\",\n"),
            "{text}"
        );
        assert_eq!(changed(&row(), None), "echo: its definition is not shown");
    }

    #[test]
    fn the_hashes_are_shown_without_the_texts() {
        assert_eq!(
            table(&[row()]),
            "TOOL   PIN       APPROVED       NOW            SUSPICIOUS\n\
             echo   drifted   aaaaaaaaaaaa   cccccccccccc   invisible-characters"
        );
        assert!(chosen(vec![row()], &["other".to_owned()]).is_err());
    }
}
