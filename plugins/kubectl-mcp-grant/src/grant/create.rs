//! `grant create` and `grant deny`: makes an `MCPAccessGrant` of a command line.

use std::collections::BTreeSet;
use std::time::Duration;

use api::{
    Decision, Effect, MCPAccessGrant, MCPAccessGrantSpec, MCPServer, ServerRef, SideEffect,
    Subject, Tool, ToolRule, Trust, names as api_names,
};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::output::{DryRun, DryRunArgs, OutputArgs, print_change};
use common::taken::wait_until_taken;
use common::{Error, Exit, Printer, Result, age};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, PostParams};

use super::change::is_taken;
use crate::{names, subject};

/// No tool can have this name. A grant of prompts or resources alone needs a rule, because no rule means every tool.
const NO_TOOL: &str = "(none)";

/// Arguments of `create`.
#[derive(clap::Args)]
pub(crate) struct CreateArgs {
    /// Name of the grant; made up when absent
    name: Option<String>,
    /// The server
    #[arg(long, short)]
    server: String,
    /// Who: alice, human:alice, group:devs, team:x, serviceaccount:ns/name
    #[arg(long, value_parser = subject::parse)]
    subject: Subject,
    /// A tool, or a pattern with *; may be given several times
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
    /// A prompt, or a pattern with *; may be given several times
    #[arg(long = "prompt", value_name = "NAME")]
    prompts: Vec<String>,
    /// A resource's URI, or a pattern with *; may be given several times
    #[arg(long = "resource", value_name = "URI")]
    resources: Vec<String>,
    /// The highest trust that the grant gives
    #[arg(long, value_parser = trust, default_value = "low")]
    trust: Trust,
    /// What a call may do: read, write, destructive; what the named tools do when absent
    #[arg(long = "side-effect", value_parser = side_effect, value_name = "EFFECT", value_delimiter = ',')]
    side_effects: Vec<SideEffect>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Arguments of `deny`.
#[derive(clap::Args)]
pub(crate) struct DenyArgs {
    /// Name of the grant; made up when absent
    name: Option<String>,
    /// The server
    #[arg(long, short)]
    server: String,
    /// Who: alice, human:alice, group:devs, team:x, serviceaccount:ns/name
    #[arg(long, value_parser = subject::parse)]
    subject: Subject,
    /// A tool, or a pattern with *; everything of the server when absent
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// What both have.
#[derive(clap::Args)]
struct CommonArgs {
    /// When the grant ends, such as 8h; never when absent
    #[arg(long = "for", value_name = "DURATION", value_parser = age::parse)]
    lifetime: Option<Duration>,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A trust level. For clap's `value_parser`.
pub(crate) fn trust(text: &str) -> Result<Trust, String> {
    [Trust::Low, Trust::Medium, Trust::High]
        .into_iter()
        .find(|trust| trust.as_str() == text)
        .ok_or_else(|| "must be low, medium or high".to_owned())
}

fn side_effect(text: &str) -> Result<SideEffect, String> {
    [SideEffect::Read, SideEffect::Write, SideEffect::Destructive]
        .into_iter()
        .find(|effect| effect.as_str() == text)
        .ok_or_else(|| "must be read, write or destructive".to_owned())
}

/// `grant create`.
pub(crate) async fn create(
    cluster: &Cluster,
    args: CreateArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    if args.tools.is_empty() && args.prompts.is_empty() && args.resources.is_empty() {
        return Err(
            Error::usage("must name what is granted: --tool, --prompt or --resource")
                .with_hint("--tool '*'    (every tool of the server)"),
        );
    }
    // With --dry-run=client nothing need be there; side effects then come from the flag, or are `read`.
    let declared = declared_tools(cluster, &args, printer).await?;
    for warning in warnings(&args, declared.as_deref()) {
        printer.warning(warning);
    }
    let spec = spec_of_create(
        &args,
        declared.as_deref().unwrap_or_default(),
        Timestamp::now(),
    )?;
    send(cluster, args.name, spec, &args.common, printer).await
}

/// `grant deny`.
pub(crate) async fn deny(cluster: &Cluster, args: DenyArgs, printer: &mut Printer) -> Result<Exit> {
    let spec = spec_of_deny(&args, Timestamp::now())?;
    send(cluster, args.name, spec, &args.common, printer).await
}

/// The tools that the server declares; `None` when the server could not be read, which is said.
async fn declared_tools(
    cluster: &Cluster,
    args: &CreateArgs,
    printer: &mut Printer,
) -> Result<Option<Vec<Tool>>> {
    if args.common.dry_run.dry_run == DryRun::Client && !args.side_effects.is_empty() {
        return Ok(None);
    }
    match cluster
        .api::<MCPServer>()
        .get_opt(&args.server)
        .await
        .during("cannot get the server")
    {
        Ok(Some(server)) => Ok(Some(server.spec.tools)),
        Ok(None) => {
            let missing = format!(
                "there is no mcpserver '{}' in namespace '{}'",
                args.server, cluster.namespace
            );
            if args.side_effects.is_empty() {
                let hint = format!(
                    "kubectl mcp server list{}    (or say what the tools do with --side-effect)",
                    cluster.flags()
                );
                return Err(Error::failed(missing).with_hint(hint));
            }
            printer.warning(format_args!("{missing}: the grant waits for one"));
            Ok(None)
        }
        Err(error) if args.side_effects.is_empty() => Err(error),
        Err(error) => {
            printer.warning(error);
            Ok(None)
        }
    }
}

/// What the person should know before the grant turns out to allow less than he meant.
fn warnings(args: &CreateArgs, declared: Option<&[Tool]>) -> Vec<String> {
    let Some(declared) = declared else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    for name in &args.tools {
        let matched: Vec<_> = declared
            .iter()
            .filter(|tool| access::glob::matches(name, &tool.name))
            .collect();
        if matched.is_empty() && name != "*" {
            warnings.push(format!(
                "server '{}' declares no tool '{name}'",
                args.server
            ));
        }
        for tool in matched {
            let needed = tool.required_trust.unwrap_or_default();
            if needed > args.trust {
                warnings.push(format!(
                    "tool '{}' needs trust {needed}: add --trust {needed}",
                    tool.name
                ));
            }
        }
    }
    warnings
}

fn spec_of_create(
    args: &CreateArgs,
    declared: &[Tool],
    now: Timestamp,
) -> Result<MCPAccessGrantSpec> {
    let mut tool_rules: Vec<_> = args
        .tools
        .iter()
        .map(|name| rule(name, Decision::Allow))
        .collect();
    if tool_rules.is_empty() {
        tool_rules.push(rule(NO_TOOL, Decision::Allow));
    }
    Ok(MCPAccessGrantSpec {
        server_ref: ServerRef {
            name: args.server.clone(),
        },
        effect: Effect::Allow,
        subject: args.subject.clone(),
        max_trust: args.trust,
        allowed_side_effects: side_effects(args, declared),
        tool_rules,
        prompts: args.prompts.clone(),
        resources: args.resources.clone(),
        expires_at: expiry(&args.common, now)?,
        disabled: false,
        reason: args.common.reason.clone(),
    })
}

fn spec_of_deny(args: &DenyArgs, now: Timestamp) -> Result<MCPAccessGrantSpec> {
    Ok(MCPAccessGrantSpec {
        server_ref: ServerRef {
            name: args.server.clone(),
        },
        effect: Effect::Deny,
        subject: args.subject.clone(),
        tool_rules: args
            .tools
            .iter()
            .map(|name| rule(name, Decision::Deny))
            .collect(),
        expires_at: expiry(&args.common, now)?,
        reason: args.common.reason.clone(),
        ..MCPAccessGrantSpec::default()
    })
}

fn rule(name: &str, decision: Decision) -> ToolRule {
    ToolRule {
        name: name.to_owned(),
        decision,
        required_trust: None,
    }
}

/// What was asked for, else what the named tools do. Prompts and resources are read.
fn side_effects(args: &CreateArgs, declared: &[Tool]) -> Vec<SideEffect> {
    if !args.side_effects.is_empty() {
        return args
            .side_effects
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
    }
    let named = |tool: &&Tool| {
        args.tools
            .iter()
            .any(|name| access::glob::matches(name, &tool.name))
    };
    let mut effects: BTreeSet<_> = declared
        .iter()
        .filter(named)
        .map(|tool| tool.side_effect.unwrap_or_default())
        .collect();
    if effects.is_empty() || !args.prompts.is_empty() || !args.resources.is_empty() {
        effects.insert(SideEffect::Read);
    }
    effects.into_iter().collect()
}

fn expiry(args: &CommonArgs, now: Timestamp) -> Result<Option<Time>> {
    args.lifetime
        .map(|lifetime| age::deadline(now, lifetime).map(Time))
        .transpose()
}

fn generated_name(spec: &MCPAccessGrantSpec) -> Result<String> {
    let server = &spec.server_ref.name;
    let what = if spec.effect == Effect::Deny {
        format!("deny-{server}")
    } else {
        server.clone()
    };
    names::generate(&what, &spec.subject.to_string())
}

/// Creates the grant, or only says what it would be.
async fn send(
    cluster: &Cluster,
    name: Option<String>,
    spec: MCPAccessGrantSpec,
    args: &CommonArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let name = match name {
        Some(name) => name,
        None => generated_name(&spec)?,
    };
    let grant = MCPAccessGrant {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(cluster.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    };
    let dry_run = args.dry_run.dry_run;
    if dry_run == DryRun::Client {
        print_change(printer, args.output.output, &grant, "created", dry_run)?;
        return Ok(Exit::Ok);
    }
    let params = PostParams {
        dry_run: dry_run == DryRun::Server,
        field_manager: Some(api_names::PLUGIN.to_owned()),
    };
    let api = cluster.api::<MCPAccessGrant>();
    let created = api
        .create(&params, &grant)
        .await
        .during(format!("cannot create grant '{name}'"))?;
    print_change(printer, args.output.output, &created, "created", dry_run)?;
    if dry_run == DryRun::None {
        wait_until_taken(&api, &[name], is_taken).await?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Create {
        #[command(flatten)]
        args: CreateArgs,
    }

    fn args(line: &str) -> CreateArgs {
        Create::try_parse_from(
            ["x", "--server", "w", "--subject", "alice"]
                .into_iter()
                .chain(line.split_whitespace()),
        )
        .unwrap()
        .args
    }

    fn tools() -> Vec<Tool> {
        [
            ("echo", None, None),
            ("wipe", Some(SideEffect::Destructive), Some(Trust::High)),
        ]
        .map(|(name, side_effect, required_trust)| Tool {
            name: name.to_owned(),
            side_effect,
            required_trust,
            ..Tool::default()
        })
        .to_vec()
    }

    fn spec(line: &str) -> MCPAccessGrantSpec {
        spec_of_create(&args(line), &tools(), Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn side_effects_are_those_of_the_named_tools() {
        assert_eq!(spec("--tool echo").allowed_side_effects, [SideEffect::Read]);
        assert_eq!(
            spec("--tool wipe").allowed_side_effects,
            [SideEffect::Destructive]
        );
        assert_eq!(
            spec("--tool *").allowed_side_effects,
            [SideEffect::Read, SideEffect::Destructive]
        );
        assert_eq!(
            spec("--tool unknown").allowed_side_effects,
            [SideEffect::Read]
        );
        assert_eq!(
            spec("--tool wipe --side-effect read,write").allowed_side_effects,
            [SideEffect::Read, SideEffect::Write]
        );
    }

    #[test]
    fn a_grant_of_prompts_gives_no_tool() {
        let spec = spec("--prompt *");
        assert_eq!(spec.tool_rules, [rule(NO_TOOL, Decision::Allow)]);
        assert_eq!(spec.prompts, ["*"]);
    }

    #[test]
    fn the_lifetime_becomes_a_time() {
        assert_eq!(
            spec("--tool echo --for 8h").expires_at,
            Some(Time(Timestamp::from_second(28_800).unwrap()))
        );
        assert_eq!(spec("--tool echo").expires_at, None);
    }

    #[test]
    fn trust_that_does_not_suffice_is_said_at_once() {
        assert_eq!(
            warnings(&args("--tool wipe"), Some(&tools())),
            ["tool 'wipe' needs trust high: add --trust high"]
        );
        assert!(warnings(&args("--tool wipe --trust high"), Some(&tools())).is_empty());
        assert_eq!(
            warnings(&args("--tool ecko"), Some(&tools())),
            ["server 'w' declares no tool 'ecko'"]
        );
    }
}
