//! `kubectl mcp status`: the platform and its servers on one screen.

use std::fmt::Write as _;
use std::time::Duration;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer, Phase, SessionPhase, names};
use common::api_error::During as _;
use common::error::{Error, Exit, Result};
use common::printer::{HINT, styled};
use common::table::Table;
use common::{Cluster, Printer, age};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};
use serde::Serialize;

use crate::cli::{StatusCli, StatusFormat};
use crate::install::VERSION_LABEL;
use crate::preflight;

/// Stands where a person has no right to look.
const NOT_VISIBLE: &str = "not visible to you";
const EVERY: Duration = Duration::from_secs(2);

/// Everything on the screen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    client_version: String,
    cluster_version: String,
    /// None when the caller may not see the platform's namespace. So for whatever else may be absent here.
    parts: Option<Vec<Part>>,
    policies: Option<Vec<Policy>>,
    servers: Vec<Server>,
    grants: Option<usize>,
    active_sessions: Option<usize>,
    /// The namespace, or None for all of them.
    namespace: Option<String>,
}

/// A Deployment of the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    name: String,
    installed: bool,
    version: Option<String>,
    available: i32,
    wanted: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    name: String,
    enforcement: String,
    default_host: Option<String>,
    registries: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    namespace: String,
    name: String,
    phase: String,
    tools: Option<i32>,
    url: Option<String>,
    message: Option<String>,
    created: Option<Timestamp>,
}

/// Prints the status once, or whenever it changes.
pub async fn run(cli: StatusCli, printer: &mut Printer) -> Result<Exit> {
    let cluster = cli.kube.connect().await?;
    let mut shown = None;
    loop {
        let status = look(&cluster).await?;
        if shown.as_ref() != Some(&status) {
            match cli.output {
                StatusFormat::Table => {
                    if shown.is_some() {
                        printer.line("");
                    }
                    printer.line(render(&status, Timestamp::now()));
                }
                StatusFormat::Json => {
                    let value = serde_json::to_value(&status).unwrap_or_default();
                    printer.line(common::output::pretty_json(&value));
                }
            }
        }
        if !cli.watch || printer.is_closed() {
            let Some(remedy) = remedy(&status) else {
                return Ok(Exit::Ok);
            };
            printer.note(format_args!("{} {remedy}", styled(HINT, "hint:")));
            return Ok(Exit::Found);
        }
        shown = Some(status);
        tokio::time::sleep(EVERY).await;
    }
}

/// What to type next when a part is not ready. A part scaled to nothing is not; what cannot be seen is not judged.
fn remedy(status: &Status) -> Option<&'static str> {
    let parts = status.parts.as_deref().unwrap_or_default();
    if parts.iter().any(|part| !part.installed || part.wanted == 0) {
        return Some("kubectl mcp setup    (restores what is missing)");
    }
    let down = parts.iter().any(|part| part.available < part.wanted);
    down.then_some("kubectl mcp check")
}

/// What the caller may not see is None, every other failure one.
fn if_visible<T>(looked: Result<T>) -> Result<Option<T>> {
    match looked {
        Err(Error::Api { code: 403, .. }) => Ok(None),
        other => other.map(Some),
    }
}

async fn look_at_parts(cluster: &Cluster) -> Result<Vec<Part>> {
    let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), names::SYSTEM_NAMESPACE);
    let mut parts = Vec::new();
    for name in [names::WEBHOOK_NAME, names::OPERATOR_NAME] {
        let live = api
            .get_opt(name)
            .await
            .during(format!("cannot get deployment {name}"))?;
        parts.push(part(name, live));
    }
    Ok(parts)
}

async fn look(cluster: &Cluster) -> Result<Status> {
    let all = ListParams::default();
    let version = preflight::server_version(&cluster.client).await?;
    let parts = if_visible(look_at_parts(cluster).await)?;
    let policies: Api<MCPPolicy> = Api::all(cluster.client.clone());
    let policies = if_visible(policies.list(&all).await.during("cannot list policies"))?;
    let servers = cluster
        .list_api::<MCPServer>()
        .list(&all)
        .await
        .during("cannot list servers")?;
    let grants = cluster
        .list_api::<MCPAccessGrant>()
        .list_metadata(&all)
        .await
        .during("cannot list grants");
    let grants = if_visible(grants)?;
    let sessions = cluster
        .list_api::<MCPAgentSession>()
        .list(&all)
        .await
        .during("cannot list sessions");
    let sessions = if_visible(sessions)?;
    Ok(Status {
        client_version: common::VERSION.to_owned(),
        cluster_version: version.git,
        parts,
        policies: policies.map(|list| list.items.into_iter().map(policy).collect()),
        servers: servers.items.into_iter().map(server).collect(),
        grants: grants.map(|list| list.items.len()),
        active_sessions: sessions
            .map(|list| list.items.iter().filter(|one| is_active(one)).count()),
        namespace: (!cluster.all_namespaces).then(|| cluster.namespace.clone()),
    })
}

fn is_active(session: &MCPAgentSession) -> bool {
    session.status.as_ref().and_then(|status| status.phase) == Some(SessionPhase::Active)
}

fn part(name: &str, live: Option<Deployment>) -> Part {
    let installed = live.is_some();
    let live = live.unwrap_or_default();
    Part {
        name: name.to_owned(),
        installed,
        version: live
            .metadata
            .labels
            .and_then(|labels| labels.get(VERSION_LABEL).cloned()),
        available: live
            .status
            .and_then(|status| status.available_replicas)
            .unwrap_or(0),
        wanted: live.spec.and_then(|spec| spec.replicas).unwrap_or(1),
    }
}

fn policy(policy: MCPPolicy) -> Policy {
    Policy {
        name: policy.metadata.name.unwrap_or_default(),
        enforcement: policy.spec.enforcement.unwrap_or_default().to_string(),
        default_host: policy
            .spec
            .defaults
            .and_then(|defaults| defaults.ingress_host),
        registries: policy
            .spec
            .images
            .and_then(|images| images.allowed_registries)
            .unwrap_or_default(),
    }
}

fn server(server: MCPServer) -> Server {
    let status = server.status.unwrap_or_default();
    let ready = status.phase == Some(Phase::Ready);
    Server {
        namespace: server.metadata.namespace.unwrap_or_default(),
        name: server.metadata.name.unwrap_or_default(),
        phase: status.phase.unwrap_or_default().to_string(),
        tools: status.discovered.and_then(|discovered| discovered.tools),
        url: status.url,
        message: status
            .message
            .filter(|message| !ready && !message.is_empty()),
        created: server.metadata.creation_timestamp.map(|time| time.0),
    }
}

fn render(status: &Status, now: Timestamp) -> String {
    let mut sections = vec![format!(
        "Platform\nkubectl-mcp {}, Kubernetes {}",
        status.client_version, status.cluster_version
    )];
    sections.push(
        status
            .parts
            .as_deref()
            .map_or(format!("platform: {NOT_VISIBLE}"), parts),
    );
    let policies = status
        .policies
        .as_deref()
        .map_or(NOT_VISIBLE.to_owned(), policies);
    sections.push(format!("Policies\n{policies}"));
    sections.push(format!("Servers\n{}", servers(status, now)));
    let place = status
        .namespace
        .as_ref()
        .map_or("in all namespaces".to_owned(), |name| {
            format!("in namespace {name}")
        });
    let count = |count: Option<usize>, what: &str| match count {
        Some(count) => format!("{count} {what}"),
        None => format!("{what} {NOT_VISIBLE}"),
    };
    sections.push(format!(
        "{} and {} {place}",
        count(status.grants, "grants"),
        count(status.active_sessions, "active sessions")
    ));
    sections.join("\n\n")
}

fn parts(parts: &[Part]) -> String {
    let mut table = Table::new(&["part", "ready", "version"]);
    for part in parts {
        let ready = if part.installed {
            format!("{}/{}", part.available, part.wanted)
        } else {
            "not installed".to_owned()
        };
        table.row([
            part.name.clone(),
            ready,
            part.version.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

fn policies(policies: &[Policy]) -> String {
    if policies.is_empty() {
        return "none: kubectl mcp setup writes a default one".to_owned();
    }
    let mut table = Table::new(&["name", "enforcement", "default host", "registries"]);
    for policy in policies {
        let registries = if policy.registries.is_empty() {
            "any".to_owned()
        } else {
            policy.registries.join(",")
        };
        let host = policy.default_host.clone().unwrap_or_default();
        table.row([
            policy.name.clone(),
            policy.enforcement.clone(),
            host,
            registries,
        ]);
    }
    table.render()
}

fn servers(status: &Status, now: Timestamp) -> String {
    if status.servers.is_empty() {
        return match &status.namespace {
            Some(namespace) => format!("none in namespace {namespace}; -A looks everywhere"),
            None => "none".to_owned(),
        };
    }
    let everywhere = status.namespace.is_none();
    let headers = ["namespace", "name", "phase", "tools", "url", "age"];
    let mut table = Table::new(if everywhere { &headers } else { &headers[1..] });
    for server in &status.servers {
        let mut row = vec![
            server.name.clone(),
            server.phase.clone(),
            server
                .tools
                .map(|tools| tools.to_string())
                .unwrap_or_default(),
            server.url.clone().unwrap_or_default(),
            age::since(server.created, now),
        ];
        if everywhere {
            row.insert(0, server.namespace.clone());
        }
        table.row(row);
    }
    let mut text = table.render();
    for server in &status.servers {
        if let Some(message) = &server.message {
            let _ = write!(text, "\n{}/{}: {message}", server.namespace, server.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            client_version: "0.1.0".to_owned(),
            cluster_version: "v1.36.3".to_owned(),
            parts: Some(vec![
                Part {
                    name: "mcp-webhook".to_owned(),
                    installed: true,
                    version: Some("0.1.0".to_owned()),
                    available: 2,
                    wanted: 2,
                },
                Part {
                    name: "mcp-operator".to_owned(),
                    installed: false,
                    version: None,
                    available: 0,
                    wanted: 1,
                },
            ]),
            policies: Some(vec![Policy {
                name: "default".to_owned(),
                enforcement: "Enforce".to_owned(),
                default_host: Some("mcp.example.test".to_owned()),
                registries: Vec::new(),
            }]),
            servers: vec![
                Server {
                    namespace: "team-a".to_owned(),
                    name: "weather".to_owned(),
                    phase: "Ready".to_owned(),
                    tools: Some(3),
                    url: Some("http://mcp.example.test/weather/mcp".to_owned()),
                    message: None,
                    created: Timestamp::from_second(940).ok(),
                },
                Server {
                    namespace: "team-b".to_owned(),
                    name: "search".to_owned(),
                    phase: "Pending".to_owned(),
                    tools: None,
                    url: None,
                    message: Some("deployment has 0 of 1 replicas".to_owned()),
                    created: None,
                },
            ],
            grants: Some(4),
            active_sessions: Some(1),
            namespace: None,
        }
    }

    #[test]
    fn the_screen_shows_parts_policies_and_servers() {
        insta::assert_snapshot!(render(&status(), Timestamp::from_second(1000).unwrap()), @r"
        Platform
        kubectl-mcp 0.1.0, Kubernetes v1.36.3

        PART           READY           VERSION
        mcp-webhook    2/2             0.1.0
        mcp-operator   not installed   <none>

        Policies
        NAME      ENFORCEMENT   DEFAULT HOST       REGISTRIES
        default   Enforce       mcp.example.test   any

        Servers
        NAMESPACE   NAME      PHASE     TOOLS    URL                                   AGE
        team-a      weather   Ready     3        http://mcp.example.test/weather/mcp   60s
        team-b      search    Pending   <none>   <none>                                <unknown>
        team-b/search: deployment has 0 of 1 replicas

        4 grants and 1 active sessions in all namespaces
        ");
    }

    #[test]
    fn a_part_that_is_not_there_is_a_problem() {
        let mut status = status();
        assert!(remedy(&status).unwrap_or_default().contains("setup"));
        let webhook = status.parts.iter().flatten().next().cloned().unwrap();
        let mut at = |available: i32, wanted: i32| {
            status.parts = Some(vec![Part {
                available,
                wanted,
                ..webhook.clone()
            }]);
            remedy(&status)
        };
        assert_eq!(at(2, 2), None);
        assert_eq!(at(1, 2), Some("kubectl mcp check"));
        assert!(
            at(0, 0).unwrap_or_default().contains("setup"),
            "0 replicas are not ready"
        );
    }

    #[test]
    fn what_a_person_may_not_see_is_said_and_the_servers_are_shown() {
        let status = Status {
            parts: None,
            policies: None,
            grants: None,
            ..status()
        };
        let text = render(&status, Timestamp::from_second(1000).unwrap());
        for words in [
            "platform: not visible to you\n",
            "Policies\nnot visible to you\n",
            "weather",
            "grants not visible to you and 1 active sessions in all namespaces",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert_eq!(remedy(&status), None);
    }
}
