//! `server create` and `server delete`.

use std::collections::BTreeMap;

use api::{
    MCPAccessGrant, MCPAgentSession, MCPServer, MCPServerSpec, SideEffect, Tool, Trust, names,
};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::confirm::confirm;
use common::delete::delete_one;
use common::output::{DryRun, DryRunArgs, OutputArgs, print_change};
use common::{Exit, Printer, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::EnvVar;
use kube::api::{ListParams, ObjectMeta, PostParams};

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
    let remains = Remains::read(cluster, Timestamp::now()).await;
    for name in &args.names {
        delete_one::<MCPServer>(cluster, "server", name, dry_run).await?;
        printer.line(format_args!(
            "mcpserver.kubectl-mcp.dev/{name} deleted{}",
            dry_run.suffix()
        ));
        if let Some(sentence) = remains.sentence(name) {
            printer.note(format_args!(
                "note: {sentence}; see: kubectl mcp grant list{}",
                cluster.flags()
            ));
        }
    }
    Ok(Exit::Ok)
}

/// The servers that live grants and live sessions of the namespace speak of, one entry each.
struct Remains {
    grants: Vec<String>,
    sessions: Vec<String>,
}

impl Remains {
    /// What may not be read is not counted: a deletion is not about it.
    async fn read(cluster: &Cluster, now: Timestamp) -> Self {
        let params = ListParams::default();
        let (grant_api, session_api) = (
            cluster.api::<MCPAccessGrant>(),
            cluster.api::<MCPAgentSession>(),
        );
        let grants = grant_api.list(&params).await.map_or_else(
            |_| Vec::new(),
            |list| {
                list.items
                    .into_iter()
                    .map(|grant| grant.spec)
                    .filter(|spec| spec.expires_at.as_ref().is_none_or(|end| end.0 > now))
                    .map(|spec| spec.server_ref.name)
                    .collect()
            },
        );
        let sessions = session_api.list(&params).await.map_or_else(
            |_| Vec::new(),
            |list| {
                list.items
                    .into_iter()
                    .map(|session| session.spec)
                    .filter(|spec| !spec.revoked && spec.expires_at.0 > now)
                    .map(|spec| spec.server_ref.name)
                    .collect()
            },
        );
        Self { grants, sessions }
    }

    /// `1 grant and 3 sessions for it remain and apply again to a server of this name`.
    fn sentence(&self, server: &str) -> Option<String> {
        let count = |names: &[String], word: &str| {
            let count = names.iter().filter(|name| *name == server).count();
            (count > 0).then(|| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        };
        let singular = self
            .grants
            .iter()
            .chain(&self.sessions)
            .filter(|name| *name == server)
            .count()
            == 1;
        let does = if singular {
            "remains and applies"
        } else {
            "remain and apply"
        };
        let parts: Vec<_> = [
            count(&self.grants, "grant"),
            count(&self.sessions, "session"),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| {
            format!(
                "{} for it {does} again to a server of this name",
                parts.join(" and ")
            )
        })
    }
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
    fn what_outlives_a_server_is_counted() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let remains = Remains {
            grants: names(&["w", "other"]),
            sessions: names(&["w", "w", "w"]),
        };
        assert_eq!(
            remains.sentence("w").as_deref(),
            Some("1 grant and 3 sessions for it remain and apply again to a server of this name")
        );
        assert_eq!(
            remains.sentence("other").as_deref(),
            Some("1 grant for it remains and applies again to a server of this name")
        );
        assert_eq!(remains.sentence("none"), None);
    }

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
