//! `server create` and `server delete`.

use std::collections::BTreeMap;

use api::{MCPServer, MCPServerSpec, SideEffect, Tool, Trust, names};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::confirm::confirm;
use common::output::{DryRun, DryRunArgs, OutputArgs, print_change};
use common::{Exit, Printer, Result};
use k8s_openapi::api::core::v1::EnvVar;
use kube::api::{DeleteParams, ObjectMeta, PostParams};

/// Arguments of `create`.
#[derive(clap::Args)]
pub(crate) struct CreateArgs {
    /// Name of the server
    name: String,
    /// Image to run
    #[arg(long)]
    image: String,
    /// A tool that may be granted: NAME, NAME:write or NAME:write:high; may be given several times
    #[arg(long = "tool", value_name = "NAME[:EFFECT[:TRUST]]", value_parser = tool)]
    tools: Vec<Tool>,
    /// The server's own port; 8088 when absent
    #[arg(long)]
    port: Option<u16>,
    /// The server's own path; /mcp when absent
    #[arg(long)]
    path: Option<String>,
    /// Host of the Ingress; the policy's when absent
    #[arg(long)]
    host: Option<String>,
    /// An environment variable; secrets belong in a Secret
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// A label of the server
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Pods; 1 when absent
    #[arg(long)]
    replicas: Option<i32>,
    /// What the server is for
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `delete`.
#[derive(clap::Args)]
pub(crate) struct DeleteArgs {
    /// Names of servers
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// `server create`.
pub(crate) async fn create(
    cluster: &Cluster,
    args: CreateArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let (dry_run, output) = (args.dry_run.dry_run, args.output.output);
    let name = args.name.clone();
    let server = object(args, &cluster.namespace);
    if dry_run == DryRun::Client {
        print_change(printer, output, &server, "created", dry_run)?;
        return Ok(Exit::Ok);
    }
    let params = PostParams {
        dry_run: dry_run == DryRun::Server,
        field_manager: Some(names::PLUGIN.to_owned()),
    };
    let created = cluster
        .api::<MCPServer>()
        .create(&params, &server)
        .await
        .during(format!("cannot create server '{name}'"))?;
    print_change(printer, output, &created, "created", dry_run)?;
    Ok(Exit::Ok)
}

fn object(args: CreateArgs, namespace: &str) -> MCPServer {
    let labels: BTreeMap<_, _> = args.labels.into_iter().collect();
    MCPServer {
        metadata: ObjectMeta {
            name: Some(args.name),
            namespace: Some(namespace.to_owned()),
            labels: (!labels.is_empty()).then_some(labels),
            ..ObjectMeta::default()
        },
        spec: MCPServerSpec {
            description: args.description,
            image: Some(args.image),
            env: args
                .env
                .into_iter()
                .map(|(name, value)| EnvVar {
                    name,
                    value: Some(value),
                    ..EnvVar::default()
                })
                .collect(),
            replicas: args.replicas,
            port: args.port.map(i32::from),
            path: args.path,
            ingress_host: args.host,
            tools: args.tools,
            ..MCPServerSpec::default()
        },
        status: None,
    }
}

/// `server delete`.
pub(crate) async fn delete(
    cluster: &Cluster,
    args: &DeleteArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let dry_run = args.dry_run.dry_run;
    let what = format!(
        "delete server {} in namespace '{}' with its pods, its Service and its Ingress",
        args.names.join(", "),
        cluster.namespace
    );
    confirm(printer, args.yes || dry_run != DryRun::None, &what)?;
    let api = cluster.api::<MCPServer>();
    for name in &args.names {
        let during = format!("cannot delete server '{name}'");
        if dry_run == DryRun::Client {
            api.get(name).await.during(during)?;
        } else {
            let params = DeleteParams {
                dry_run: dry_run == DryRun::Server,
                ..DeleteParams::default()
            };
            api.delete(name, &params).await.during(during)?;
        }
        printer.line(format_args!(
            "mcpserver.kubectl-mcp.dev/{name} deleted{}",
            dry_run.suffix()
        ));
    }
    Ok(Exit::Ok)
}

/// Reads `--tool`.
fn tool(text: &str) -> Result<Tool, String> {
    let mut parts = text.split(':');
    let name = parts
        .next()
        .filter(|name| !name.is_empty())
        .ok_or("must begin with the tool's name")?
        .to_owned();
    let side_effect = parts
        .next()
        .map(|word| {
            [SideEffect::Read, SideEffect::Write, SideEffect::Destructive]
                .into_iter()
                .find(|effect| effect.as_str() == word)
                .ok_or_else(|| format!("'{word}' must be read, write or destructive"))
        })
        .transpose()?;
    let required_trust = parts
        .next()
        .map(|word| {
            [Trust::Low, Trust::Medium, Trust::High]
                .into_iter()
                .find(|trust| trust.as_str() == word)
                .ok_or_else(|| format!("'{word}' must be low, medium or high"))
        })
        .transpose()?;
    if parts.next().is_some() {
        return Err(format!(
            "'{text}' must be NAME, NAME:EFFECT or NAME:EFFECT:TRUST"
        ));
    }
    Ok(Tool {
        name,
        side_effect,
        required_trust,
        ..Tool::default()
    })
}

/// Reads `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        // The value may be a secret: it is not repeated.
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_says_what_it_does_and_what_it_asks_for() {
        let wipe = tool("wipe:destructive:high").unwrap();
        assert_eq!(
            (wipe.side_effect, wipe.required_trust),
            (Some(SideEffect::Destructive), Some(Trust::High))
        );
        assert_eq!(tool("echo").unwrap().side_effect, None);
        for text in ["", ":read", "a:rread", "a:read:lots", "a:read:low:x"] {
            assert!(tool(text).is_err(), "{text}");
        }
    }
}
