//! `server list`, `get` and `export`.

use api::{MCPServer, names};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::listing::{Columns, Listing};
use common::output::{Output, OutputArgs, print_value, remove_annotations, strip, tree};
use common::table::Table;
use common::{Exit, Printer, Result, age};
use kube::ResourceExt as _;
use serde_json::Value;

/// Arguments of `list`.
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Label selector
    #[arg(long, short = 'l', value_name = "LABELS")]
    selector: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `get`.
#[derive(clap::Args)]
pub(crate) struct GetArgs {
    /// Names of servers
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `export`.
#[derive(clap::Args)]
pub(crate) struct ExportArgs {
    /// Name of the server
    name: String,
    /// How to print: yaml or json
    #[arg(short, long, value_enum, default_value = "yaml", value_name = "FORMAT")]
    output: Output,
}

const LISTING: Listing<MCPServer> = Listing {
    one: "server",
    many: "servers",
    table,
};

/// `server list`.
pub(crate) async fn list(
    cluster: &Cluster,
    args: &ListArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let selector = args.selector.as_deref();
    LISTING
        .list(cluster, selector, |_| true, args.output.output, printer)
        .await
}

/// `server get`.
pub(crate) async fn get(cluster: &Cluster, args: &GetArgs, printer: &mut Printer) -> Result<Exit> {
    LISTING
        .get(cluster, &args.names, args.output.output, printer)
        .await
}

/// `server export`.
pub(crate) async fn export(
    cluster: &Cluster,
    args: &ExportArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let name = &args.name;
    let server = cluster
        .api::<MCPServer>()
        .get(name)
        .await
        .during(format!("cannot get server '{name}'"))?;
    print_value(
        printer,
        if args.output.is_table() {
            Output::Yaml
        } else {
            args.output
        },
        &portable(tree(&server)),
    )?;
    Ok(Exit::Ok)
}

/// The object without what the cluster wrote into it.
fn portable(mut object: Value) -> Value {
    strip(&mut object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["ownerReferences", "finalizers", "namespace"] {
            metadata.remove(field);
        }
        remove_annotations(metadata, |name| name.starts_with(names::DOMAIN_PREFIX));
    }
    object
}

fn table(servers: &[MCPServer], columns: Columns) -> String {
    let Columns {
        wide,
        namespaces,
        now,
    } = columns;
    let mut headers = vec!["name", "phase", "url", "tools", "transport", "age"];
    if namespaces {
        headers.insert(0, "namespace");
    }
    if wide {
        headers.extend(["image", "gateway", "message"]);
    }
    let mut table = Table::new(&headers);
    for server in servers {
        let status = server.status.clone().unwrap_or_default();
        let mut row = Vec::new();
        if namespaces {
            row.push(server.namespace().unwrap_or_default());
        }
        row.extend([
            server.name_any(),
            status.phase.unwrap_or_default().to_string(),
            status.url.unwrap_or_default(),
            tools(server),
            server.spec.transport.unwrap_or_default().to_string(),
            age::since(
                server
                    .metadata
                    .creation_timestamp
                    .as_ref()
                    .map(|time| time.0),
                now,
            ),
        ]);
        if wide {
            row.push(
                status
                    .image
                    .or_else(|| server.spec.image.clone())
                    .unwrap_or_default(),
            );
            row.push(
                if status.gateway_ready {
                    "ready"
                } else {
                    "not ready"
                }
                .to_owned(),
            );
            row.push(status.message.unwrap_or_default());
        }
        table.row(row);
    }
    table.render()
}

/// Declared tools, and how many the server has when that was asked: `2/10`.
fn tools(server: &MCPServer) -> String {
    let declared = server.spec.tools.len();
    let discovered = server
        .status
        .as_ref()
        .and_then(|status| status.discovered.as_ref())
        .and_then(|found| found.tools);
    discovered.map_or_else(
        || declared.to_string(),
        |found| format!("{declared}/{found}"),
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_shows_phase_and_url() {
        let server: MCPServer = serde_json::from_value(json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
            "metadata": {"name": "w", "namespace": "team-a", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"image": "ghcr.io/acme/w:1", "tools": [{"name": "echo"}]},
            "status": {"phase": "Ready", "url": "http://h/w/mcp", "gatewayReady": true, "discovered": {"tools": 9}},
        }))
        .unwrap();
        assert_eq!(
            table(&[server], Columns { wide: true, namespaces: true, now: Timestamp::from_second(60).unwrap() }),
            "\
NAMESPACE   NAME   PHASE   URL              TOOLS   TRANSPORT         AGE   IMAGE              GATEWAY   MESSAGE
team-a      w      Ready   http://h/w/mcp   1/9     streamable-http   60s   ghcr.io/acme/w:1   ready     <none>"
        );
    }

    #[test]
    fn an_exported_server_can_be_applied_elsewhere() {
        let object = portable(json!({
            "kind": "MCPServer", "status": {},
            "metadata": {"name": "w", "namespace": "a", "uid": "1", "resourceVersion": "2", "annotations": {
                "kubectl-mcp.dev/requested-by": "alice", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {"image": "x"},
        }));
        assert_eq!(
            object,
            json!({"kind": "MCPServer", "metadata": {"name": "w"}, "spec": {"image": "x"}})
        );
    }
}
