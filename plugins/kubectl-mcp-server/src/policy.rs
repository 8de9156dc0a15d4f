//! `server policy`: everything that decides about a server's calls, with effective values.

use std::fmt::Write as _;
use std::time::Duration;

use api::{Effect, MCPAccessGrant, MCPServer};
use common::cluster::Cluster;
use common::live::LiveServer;
use common::output::{OutputArgs, print_value};
use common::table::Table;
use common::{Exit, Printer, Result, age};
use jiff::Timestamp;
use kube::ResourceExt as _;
use rules::Effective;
use serde_json::{Value, json};

/// Arguments of `policy`.
#[derive(clap::Args)]
pub(crate) struct PolicyArgs {
    /// Name of the server
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// `server policy`.
pub(crate) async fn policy(
    cluster: &Cluster,
    args: &PolicyArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let now = Timestamp::now();
    let live = LiveServer::read(cluster, &args.name, now).await?;
    for sentence in &live.unseen {
        printer.warning(sentence);
    }
    if args.output.output.is_table() {
        printer.line(screen(&live, now));
    } else {
        print_value(printer, args.output.output, &value(&live))?;
    }
    Ok(Exit::Ok)
}

/// The settings as label and value, in the order in which they are shown.
fn settings(effective: &Effective) -> Vec<(&'static str, String)> {
    let ceiling =
        |duration: Option<Duration>| duration.map_or_else(|| "none".to_owned(), age::human);
    vec![
        (
            "Gateway",
            if effective.gateway.enabled {
                "on"
            } else {
                "off: nothing is enforced"
            }
            .to_owned(),
        ),
        ("Callers are known by", effective.auth.mode.to_string()),
        ("Mode", effective.policy.mode.to_string()),
        (
            "Without a grant",
            effective.policy.default_decision.to_string(),
        ),
        (
            "Undeclared tools",
            effective.policy.undeclared_tools.to_string(),
        ),
        ("Session required", effective.session.required.to_string()),
        (
            "Longest session",
            age::human(effective.session.max_lifetime),
        ),
        (
            "Highest trust",
            effective
                .access
                .max_trust
                .map_or_else(|| "none set".to_owned(), |trust| trust.to_string()),
        ),
        (
            "Longest grant",
            ceiling(effective.access.max_grant_lifetime),
        ),
        ("Audit", effective.audit_sink.to_string()),
    ]
}

fn screen(live: &LiveServer, now: Timestamp) -> String {
    let mut text = String::new();
    for (label, value) in settings(&live.effective) {
        let _ = writeln!(text, "{:<22}{value}", format!("{label}:"));
    }
    let _ = write!(text, "\n{}\n\n{}", tools(&live.server), grants(live, now));
    text
}

fn tools(server: &MCPServer) -> String {
    if server.spec.tools.is_empty() {
        return "The server declares no tools, so none can be granted.".to_owned();
    }
    let mut table = Table::new(&["tool", "does", "trust"]);
    for tool in &server.spec.tools {
        table.row([
            tool.name.clone(),
            tool.side_effect.unwrap_or_default().to_string(),
            tool.required_trust.unwrap_or_default().to_string(),
        ]);
    }
    table.render()
}

fn grants(live: &LiveServer, now: Timestamp) -> String {
    if live.grants.is_empty() {
        return "There are no grants.".to_owned();
    }
    let mut table = Table::new(&["grant", "effect", "subject", "trust", "live", "expires"]);
    for grant in &live.grants {
        table.row([
            grant.name_any(),
            grant.spec.effect.to_string(),
            grant.spec.subject.to_string(),
            if grant.spec.effect == Effect::Deny {
                "-".to_owned()
            } else {
                grant.spec.max_trust.to_string()
            },
            if is_live(live, grant) { "yes" } else { "no" }.to_owned(),
            age::until(grant.spec.expires_at.as_ref().map(|time| time.0), now),
        ]);
    }
    table.render()
}

/// Whether the gateway has it.
fn is_live(live: &LiveServer, grant: &MCPAccessGrant) -> bool {
    live.bundle
        .grants
        .iter()
        .any(|entry| entry.name == grant.name_any())
}

fn value(live: &LiveServer) -> Value {
    let effective = &live.effective;
    json!({
        "gateway": effective.gateway.enabled,
        "auth": effective.auth.mode.as_str(),
        "mode": effective.policy.mode.as_str(),
        "defaultDecision": effective.policy.default_decision,
        "undeclaredTools": effective.policy.undeclared_tools,
        "sessionRequired": effective.session.required,
        "maxSessionLifetimeSeconds": effective.session.max_lifetime.as_secs(),
        "maxTrust": effective.access.max_trust,
        "maxGrantLifetimeSeconds": effective.access.max_grant_lifetime.map(|lifetime| lifetime.as_secs()),
        "audit": effective.audit_sink.as_str(),
        "tools": live.server.spec.tools,
        "grants": live.grants.iter().map(|grant| json!({
            "name": grant.name_any(), "live": is_live(live, grant), "spec": grant.spec,
        })).collect::<Vec<_>>(),
    })
}
