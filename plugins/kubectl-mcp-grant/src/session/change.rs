//! `session revoke` and `session delete`.

use api::{MCPAgentSession, SessionPhase, names};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::confirm::confirm;
use common::delete::delete_one;
use common::output::{DryRun, DryRunArgs, OutputArgs, print_change};
use common::taken::wait_until_taken;
use common::tokens::TokenStore;
use common::{Error, Exit, Printer, Result};
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// Arguments of `revoke`.
#[derive(clap::Args)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `delete`.
#[derive(clap::Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Which sessions.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct WhichArgs {
    /// Names of sessions
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The session that you use for this server
    #[arg(long, short)]
    server: Option<String>,
}

impl WhichArgs {
    /// The names; with `--server` the one whose token is in the caller's file.
    fn resolve(&self, cluster: &Cluster) -> Result<Vec<String>> {
        let Some(server) = &self.server else {
            return Ok(self.names.clone());
        };
        let stored = TokenStore::open(cluster)?.read(&cluster.namespace, server)?;
        stored.map(|token| vec![token.session]).ok_or_else(|| {
            Error::failed(format!(
                "you have no session for server '{server}' in namespace '{}'",
                cluster.namespace
            ))
            .with_hint(format!(
                "kubectl mcp session list --server {server}{}",
                cluster.flags()
            ))
        })
    }
}

/// `session revoke`. The token stays in its file: what it opens is the cluster's to say.
pub(crate) async fn revoke(
    cluster: &Cluster,
    args: &RevokeArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let dry_run = args.dry_run.dry_run;
    let api = cluster.api::<MCPAgentSession>();
    let sessions = args.which.resolve(cluster)?;
    for name in &sessions {
        let during = format!("cannot revoke session '{name}'");
        let session = if dry_run == DryRun::Client {
            api.get(name).await.during(during)?
        } else {
            let params = PatchParams {
                dry_run: dry_run == DryRun::Server,
                field_manager: Some(names::PLUGIN.to_owned()),
                ..PatchParams::default()
            };
            let patch = Patch::Merge(json!({"spec": {"revoked": true}}));
            api.patch(name, &params, &patch).await.during(during)?
        };
        print_change(printer, args.output.output, &session, "revoked", dry_run)?;
    }
    if dry_run == DryRun::None {
        wait_until_taken(&api, &sessions, is_taken).await?;
    }
    Ok(Exit::Ok)
}

/// Whether the operator has seen the revocation.
fn is_taken(session: &MCPAgentSession) -> bool {
    session.status.as_ref().is_some_and(|status| {
        status.observed_generation >= session.metadata.generation
            && status.phase == Some(SessionPhase::Revoked)
    })
}

/// `session delete`.
pub(crate) async fn delete(
    cluster: &Cluster,
    args: &DeleteArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let dry_run = args.dry_run.dry_run;
    let names = args.which.resolve(cluster)?;
    let what = format!(
        "delete session {} in namespace '{}'",
        names.join(", "),
        cluster.namespace
    );
    confirm(printer, args.yes || dry_run != DryRun::None, &what)?;
    let api = cluster.api::<MCPAgentSession>();
    for name in &names {
        let during = format!("cannot delete session '{name}'");
        let session = api.get(name).await.during(during)?;
        if dry_run != DryRun::Client {
            delete_one::<MCPAgentSession>(cluster, "session", name, dry_run).await?;
        }
        if dry_run == DryRun::None {
            forget(cluster, &session.spec.server_ref.name, name)?;
        }
        printer.line(format_args!(
            "mcpagentsession.kubectl-mcp.dev/{name} deleted{}",
            dry_run.suffix()
        ));
    }
    Ok(Exit::Ok)
}

/// Removes the token of a deleted session from the caller's files, if it is there.
fn forget(cluster: &Cluster, server: &str, session: &str) -> Result<()> {
    let Ok(store) = TokenStore::open(cluster) else {
        return Ok(());
    };
    match store.read(&cluster.namespace, server)? {
        Some(token) if token.session == session => store.forget(&cluster.namespace, server),
        _ => Ok(()),
    }
}
