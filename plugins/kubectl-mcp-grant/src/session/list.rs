//! `session list` and `session get`.

use api::{MCPAgentSession, SessionPhase};
use common::cluster::Cluster;
use common::listing::{Columns, Listing};
use common::output::OutputArgs;
use common::table::Table;
use common::{Exit, Printer, Result, age};
use jiff::Timestamp;
use kube::ResourceExt as _;

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

const LISTING: Listing<MCPAgentSession> = Listing {
    one: "session",
    many: "sessions",
    table,
};

/// `session list`.
pub(crate) async fn list(
    cluster: &Cluster,
    args: &ListArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let wanted = |object: &MCPAgentSession| {
        let server = &object.spec.server_ref.name;
        args.server.as_ref().is_none_or(|name| name == server)
    };
    let selector = args.selector.as_deref();
    LISTING
        .list(cluster, selector, wanted, args.output.output, printer)
        .await
}

/// `session get`.
pub(crate) async fn get(cluster: &Cluster, args: &GetArgs, printer: &mut Printer) -> Result<Exit> {
    LISTING
        .get(cluster, &args.names, args.output.output, printer)
        .await
}

fn table(sessions: &[MCPAgentSession], columns: Columns) -> String {
    let Columns {
        namespaces, now, ..
    } = columns;
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
            table(
                &sessions,
                Columns {
                    wide: false,
                    namespaces: false,
                    now: Timestamp::from_second(600).unwrap()
                }
            ),
            "\
NAME   SERVER   SUBJECT       TRUST   STATUS    EXPIRES   AGE
a      w        human:alice   low     Active    7h50m     10m
b      w        human:alice   low     Revoked   7h50m     10m
c      w        human:alice   low     Expired   expired   10m"
        );
    }
}
