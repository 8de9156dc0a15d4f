//! `server status`: one server on one screen.

use std::fmt::Write as _;

use api::{MCPServer, Phase};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::output::{OutputArgs, print_value};
use common::table::Table;
use common::{Exit, Printer, Result, age};
use jiff::Timestamp;
use serde_json::to_value;

/// Arguments of `status`.
#[derive(clap::Args)]
pub(crate) struct StatusArgs {
    /// Name of the server
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// `server status`. Exit code 1 when the server is not ready.
pub(crate) async fn status(
    cluster: &Cluster,
    args: &StatusArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let name = &args.name;
    let server = cluster
        .api::<MCPServer>()
        .get(name)
        .await
        .during(format!("cannot get server '{name}'"))?;
    let status = server.status.clone().unwrap_or_default();
    if args.output.output.is_table() {
        printer.line(screen(&server, Timestamp::now()));
    } else {
        print_value(
            printer,
            args.output.output,
            &to_value(&status).unwrap_or_default(),
        )?;
    }
    Ok(if status.phase == Some(Phase::Ready) {
        Exit::Ok
    } else {
        Exit::Found
    })
}

fn screen(server: &MCPServer, now: Timestamp) -> String {
    let status = server.status.clone().unwrap_or_default();
    let mut text = String::new();
    let mut line = |label: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "{:<12}{value}", format!("{label}:"));
        }
    };
    line("Name", server.metadata.name.clone());
    line("Namespace", server.metadata.namespace.clone());
    line("Phase", Some(status.phase.unwrap_or_default().to_string()));
    line("Message", status.message.clone());
    line("URL", status.url.clone());
    line("Inside", status.internal_url.clone());
    line("Image", status.image.clone());
    if let Some(found) = &status.discovered {
        line(
            "Server",
            found
                .server_info
                .as_ref()
                .map(|info| format!("{} {}", info.name, info.version)),
        );
        line("Speaks", Some(found.protocol_versions.join(", ")));
        let count =
            |name: &str, number: Option<i32>| number.map(|number| format!("{number} {name}"));
        let counts = [
            count("tools", found.tools),
            count("prompts", found.prompts),
            count("resources", found.resources),
        ];
        line(
            "Has",
            Some(counts.into_iter().flatten().collect::<Vec<_>>().join(", ")),
        );
        line("Drift", Some(found.drift.join("; ")));
    }
    if status.conditions.is_empty() {
        text.push_str("\nThe operator has not looked at it yet.");
        return text;
    }
    let mut table = Table::new(&["condition", "status", "since", "reason", "message"]);
    for condition in &status.conditions {
        table.row([
            condition.type_.clone(),
            condition.status.clone(),
            age::since(Some(condition.last_transition_time.0), now),
            condition.reason.clone(),
            condition.message.clone(),
        ]);
    }
    let _ = write!(text, "\n{}", table.render());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_screen_shows_what_works_and_what_does_not() {
        let server: MCPServer = serde_json::from_value(json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
            "metadata": {"name": "w", "namespace": "team-a"}, "spec": {"image": "x"},
            "status": {"phase": "Pending", "message": "no pod is ready", "conditions": [
                {"type": "Ready", "status": "False", "reason": "NotReady", "message": "no pod is ready",
                 "lastTransitionTime": "1970-01-01T00:00:00Z"}]},
        }))
        .unwrap();
        assert_eq!(
            screen(&server, Timestamp::from_second(60).unwrap()),
            "\
Name:       w
Namespace:  team-a
Phase:      Pending
Message:    no pod is ready

CONDITION   STATUS   SINCE   REASON     MESSAGE
Ready       False    60s     NotReady   no pod is ready"
        );
    }
}
