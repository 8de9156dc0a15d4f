//! `session list` and `session get`.

use api::{MCPAgentSession, SessionPhase};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::output::{Output, OutputArgs, print_list, print_object, tree};
use common::table::Table;
use common::{Exit, Printer, Result, age};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::ListParams;

/// Arguments of `list`.
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Only sessions for this server
    #[arg(long, short)]
    server: Option<String>,
    /// Label selector
    #[arg(long, short = 'l', value_name = "LABELS")]
    selector: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `get`.
#[derive(clap::Args)]
pub(crate) struct GetArgs {
    /// Names of sessions
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// `session list`.
pub(crate) async fn list(
    cluster: &Cluster,
    args: &ListArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let params = ListParams {
        label_selector: args.selector.clone(),
        ..ListParams::default()
    };
    let list = cluster
        .list_api::<MCPAgentSession>()
        .list(&params)
        .await
        .during("cannot list sessions")?;
    let wanted = |s: &MCPAgentSession| {
        args.server
            .as_ref()
            .is_none_or(|name| s.spec.server_ref.name == *name)
    };
    let sessions: Vec<_> = list.items.into_iter().filter(wanted).collect();
    if sessions.is_empty() && args.output.output.is_table() {
        let place = if cluster.all_namespaces {
            String::new()
        } else {
            format!(" in namespace '{}'", cluster.namespace)
        };
        printer.note(format_args!("No sessions found{place}."));
        return Ok(Exit::Ok);
    }
    print(cluster, args.output.output, &sessions, printer)?;
    Ok(Exit::Ok)
}

/// `session get`.
pub(crate) async fn get(cluster: &Cluster, args: &GetArgs, printer: &mut Printer) -> Result<Exit> {
    let mut sessions = Vec::new();
    for name in &args.names {
        let session = cluster
            .api::<MCPAgentSession>()
            .get(name)
            .await
            .during(format!("cannot get session '{name}'"))?;
        sessions.push(session);
    }
    match (args.output.output, sessions.as_slice()) {
        (Output::Json | Output::Yaml | Output::Name, [only]) => {
            print_object(printer, args.output.output, &tree(only))?;
        }
        (output, _) => print(cluster, output, &sessions, printer)?,
    }
    Ok(Exit::Ok)
}

fn print(
    cluster: &Cluster,
    output: Output,
    sessions: &[MCPAgentSession],
    printer: &mut Printer,
) -> Result<()> {
    if output.is_table() {
        printer.line(table(sessions, cluster.all_namespaces, Timestamp::now()));
        return Ok(());
    }
    print_list(
        printer,
        output,
        &sessions.iter().map(tree).collect::<Vec<_>>(),
    )
}

fn table(sessions: &[MCPAgentSession], namespaces: bool, now: Timestamp) -> String {
    let mut headers = vec![
        "name", "server", "subject", "trust", "status", "expires", "age",
    ];
    if namespaces {
        headers.insert(0, "namespace");
    }
    let mut table = Table::new(&headers);
    for session in sessions {
        let mut row = Vec::new();
        if namespaces {
            row.push(session.namespace().unwrap_or_default());
        }
        let spec = &session.spec;
        row.extend([
            session.name_any(),
            spec.server_ref.name.clone(),
            spec.subject.to_string(),
            spec.consented_trust.to_string(),
            phase(session, now).to_string(),
            age::until(Some(spec.expires_at.0), now),
            age::since(
                session
                    .metadata
                    .creation_timestamp
                    .as_ref()
                    .map(|time| time.0),
                now,
            ),
        ]);
        table.row(row);
    }
    table.render()
}

/// From the spec and the clock, so that it is right the moment after a revocation.
fn phase(session: &MCPAgentSession, now: Timestamp) -> SessionPhase {
    if session.spec.revoked {
        SessionPhase::Revoked
    } else if session.spec.expires_at.0 <= now {
        SessionPhase::Expired
    } else {
        SessionPhase::Active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str, revoked: bool, expires: &str) -> MCPAgentSession {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession",
            "metadata": {"name": name, "namespace": "team-a", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"serverRef": {"name": "w"}, "subject": {"humanID": "alice"}, "expiresAt": expires,
                "revoked": revoked, "tokenHash": "0".repeat(64)},
        }))
        .unwrap()
    }

    #[test]
    fn a_list_shows_what_still_opens() {
        let sessions = [
            session("a", false, "1970-01-01T08:00:00Z"),
            session("b", true, "1970-01-01T08:00:00Z"),
            session("c", false, "1970-01-01T00:05:00Z"),
        ];
        assert_eq!(
            table(&sessions, false, Timestamp::from_second(600).unwrap()),
            "\
NAME   SERVER   SUBJECT       TRUST   STATUS    EXPIRES   AGE
a      w        human:alice   low     Active    7h50m     10m
b      w        human:alice   low     Revoked   7h50m     10m
c      w        human:alice   low     Expired   expired   10m"
        );
    }
}
