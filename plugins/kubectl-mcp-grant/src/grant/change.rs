//! `grant delete`, `enable` and `disable`.

use api::{MCPAccessGrant, names};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::confirm::confirm;
use common::delete::delete_one;
use common::output::{DryRun, DryRunArgs, print_change};
use common::taken::wait_until_taken;
use common::{Exit, Printer, Result};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::ChangeArgs;

/// Arguments of `delete`.
#[derive(clap::Args)]
pub(crate) struct DeleteArgs {
    /// Names of grants
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// `grant delete`.
pub(crate) async fn delete(
    cluster: &Cluster,
    args: &DeleteArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let dry_run = args.dry_run.dry_run;
    let what = format!(
        "delete grant {} in namespace '{}'",
        args.names.join(", "),
        cluster.namespace
    );
    confirm(printer, args.yes || dry_run != DryRun::None, &what)?;
    for name in &args.names {
        delete_one::<MCPAccessGrant>(cluster, "grant", name, dry_run).await?;
        printer.line(format_args!(
            "mcpaccessgrant.kubectl-mcp.dev/{name} deleted{}",
            dry_run.suffix()
        ));
    }
    Ok(Exit::Ok)
}

/// `grant enable` and `grant disable`.
pub(crate) async fn set_disabled(
    cluster: &Cluster,
    args: &ChangeArgs,
    disabled: bool,
    printer: &mut Printer,
) -> Result<Exit> {
    let verb = if disabled { "disable" } else { "enable" };
    let dry_run = args.dry_run.dry_run;
    let api = cluster.api::<MCPAccessGrant>();
    for name in &args.names {
        let during = format!("cannot {verb} grant '{name}'");
        let grant = if dry_run == DryRun::Client {
            api.get(name).await.during(during)?
        } else {
            let params = PatchParams {
                dry_run: dry_run == DryRun::Server,
                field_manager: Some(names::PLUGIN.to_owned()),
                ..PatchParams::default()
            };
            let patch = Patch::Merge(json!({"spec": {"disabled": disabled}}));
            api.patch(name, &params, &patch).await.during(during)?
        };
        print_change(
            printer,
            args.output.output,
            &grant,
            &format!("{verb}d"),
            dry_run,
        )?;
    }
    if dry_run == DryRun::None {
        wait_until_taken(&api, &args.names, is_taken).await?;
    }
    Ok(Exit::Ok)
}

/// Whether the operator has seen the grant as it is now.
pub(crate) fn is_taken(grant: &MCPAccessGrant) -> bool {
    grant
        .status
        .as_ref()
        .is_some_and(|status| status.observed_generation >= grant.metadata.generation)
}
