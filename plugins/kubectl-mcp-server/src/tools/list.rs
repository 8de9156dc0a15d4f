//! `server tools NAME`: the tools that the caller may call, as a client would see them.

use api::{MCPServer, Tool};
use common::cluster::Cluster;
use common::output::{Output, OutputArgs, print_value};
use common::table::Table;
use common::{Error, Exit, Printer, Result};
use serde_json::Value;

use super::standing::{self, Row};
use crate::call::{WayArgs, endpoint};
use crate::content::printable;
use crate::mcp::McpClient;

/// Arguments of `tools`.
#[derive(clap::Args)]
pub(super) struct ListArgs {
    /// The server
    #[arg(default_value = "", hide_default_value = true)]
    server: String,
    #[command(flatten)]
    way: WayArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// `server tools NAME`.
pub(super) async fn list(
    cluster: &Cluster,
    args: &ListArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    if args.server.is_empty() {
        return Err(Error::usage("which server? kubectl mcp server tools NAME"));
    }
    let what = format!("cannot list the tools of server '{}'", args.server);
    let endpoint = endpoint(cluster, &args.server, &args.way).await?;
    let mut client = McpClient::connect(endpoint, what, printer).await?;
    let tools = client.list("tools/list", "tools", printer).await;
    client.close().await;
    let tools = tools?;
    match args.output.output {
        Output::Json | Output::Yaml => {
            print_value(printer, args.output.output, &Value::Array(tools))?;
        }
        Output::Name => {
            for tool in &tools {
                printer.line(text(tool, "name"));
            }
        }
        Output::Table | Output::Wide => {
            // What the spec and the status say of a tool is worth a column when they may be read.
            let server = match &args.way.url {
                None => cluster.api::<MCPServer>().get(&args.server).await.ok(),
                Some(_) => None,
            };
            show(cluster, args, &tools, server.as_ref(), printer);
        }
    }
    Ok(Exit::Ok)
}

fn show(
    cluster: &Cluster,
    args: &ListArgs,
    tools: &[Value],
    server: Option<&MCPServer>,
    printer: &mut Printer,
) {
    let rows = server.map(standing::rows).unwrap_or_default();
    if tools.is_empty() {
        printer.note(format_args!(
            "There is no tool of server '{}' that you may call.",
            args.server
        ));
        printer.note(format_args!(
            "hint: kubectl mcp server policy {}{}",
            args.server,
            cluster.flags()
        ));
    } else {
        let declared = server.map_or(&[][..], |server| &server.spec.tools);
        let wide = args.output.output == Output::Wide;
        printer.line(table(tools, declared, &rows, wide));
    }
    let drifted = rows.iter().filter(|row| row.standing.differs()).count();
    if drifted > 0 {
        printer.note(format_args!(
            "{drifted} of the server's tools differ from what was approved: kubectl mcp server tools diff {}{}",
            args.server,
            cluster.flags()
        ));
    }
}

/// The column of pins is there when something is pinned, or when everything is to be shown.
fn table(tools: &[Value], declared: &[Tool], rows: &[Row], wide: bool) -> String {
    let pins = wide || rows.iter().any(|row| !row.pins.is_empty());
    let mut headers = vec!["name", "does", "trust"];
    headers.extend(pins.then_some("pin"));
    headers.extend(wide.then_some("hash"));
    headers.push("description");
    let mut table = Table::new(&headers);
    let width = if wide { usize::MAX } else { 48 };
    for tool in tools {
        let name = text(tool, "name");
        let known = declared.iter().find(|known| known.name == name);
        let row = rows.iter().find(|row| row.tool == name);
        let or_unknown = |word: Option<String>| word.unwrap_or_else(|| "?".to_owned());
        let mut cells = vec![
            name,
            or_unknown(known.map(|tool| tool.side_effect.unwrap_or_default().to_string())),
            or_unknown(known.map(|tool| tool.required_trust.unwrap_or_default().to_string())),
        ];
        if pins {
            cells.push(or_unknown(row.map(|row| row.standing.as_str().to_owned())));
        }
        if wide {
            let hash = row.and_then(|row| row.hash.as_deref());
            cells.push(or_unknown(hash.map(standing::short)));
        }
        cells.push(first_line(&text(tool, "description"), width));
        table.row(cells);
    }
    table.render()
}

fn text(tool: &Value, member: &str) -> String {
    printable(tool.get(member).and_then(Value::as_str).unwrap_or_default())
}

fn first_line(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars()
        .take(width.saturating_sub(3))
        .chain("...".chars())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tools::standing::Standing;

    #[test]
    fn a_list_of_tools_fits_a_terminal() {
        let tools = [
            json!({"name": "echo", "description": "Echoes back the input string\nand more"}),
            json!({"name": "wipe", "description": "x".repeat(60)}),
        ];
        let declared = [Tool {
            name: "echo".to_owned(),
            ..Tool::default()
        }];
        let long = "x".repeat(45);
        assert_eq!(
            table(&tools, &declared, &[], false),
            format!(
                "NAME   DOES   TRUST   DESCRIPTION\n\
                 echo   read   low     Echoes back the input string\n\
                 wipe   ?      ?       {long}..."
            )
        );
        let row = Row {
            tool: "echo".to_owned(),
            standing: Standing::Drifted,
            pins: vec!["sha256:a".to_owned()],
            hash: Some(format!("sha256:{}", "0123456789".repeat(6))),
            findings: Vec::new(),
            declared: true,
        };
        assert_eq!(
            table(&tools, &declared, std::slice::from_ref(&row), false),
            format!(
                "NAME   DOES   TRUST   PIN       DESCRIPTION\n\
                 echo   read   low     drifted   Echoes back the input string\n\
                 wipe   ?      ?       ?         {long}..."
            )
        );
        let wide = table(&tools[..1], &declared, &[row], true);
        assert!(
            wide.contains("HASH") && wide.contains("012345678901 "),
            "{wide}"
        );
    }
}
