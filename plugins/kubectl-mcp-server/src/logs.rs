//! `server logs`: what the server, its gateway or the audit trail of its pods say.

use api::{MCPServer, names};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::{Error, Exit, Printer, Result, age};
use futures::stream::{self, BoxStream, StreamExt as _};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams, LogParams};
use serde_json::Value;

use crate::content::printable;

/// Arguments of `logs`.
#[derive(clap::Args)]
pub(crate) struct LogsArgs {
    /// Name of the server
    name: String,
    #[command(flatten)]
    source: SourceArgs,
    /// Wait for more
    #[arg(long, short)]
    follow: bool,
    /// Only so many lines of each pod
    #[arg(long, value_name = "LINES")]
    tail: Option<i64>,
    /// Only what is newer, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = age::parse)]
    since: Option<std::time::Duration>,
}

/// Whose words.
#[derive(clap::Args)]
#[group(multiple = false)]
struct SourceArgs {
    /// What the server itself wrote (default)
    #[arg(long)]
    server: bool,
    /// What the gateway wrote, without audit lines
    #[arg(long)]
    gateway: bool,
    /// The audit trail: one JSON line per message
    #[arg(long)]
    audit: bool,
}

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Server,
    Gateway,
    Audit,
}

impl Wanted {
    fn container(self) -> &'static str {
        match self {
            Self::Server => names::SERVER_CONTAINER,
            Self::Gateway | Self::Audit => names::GATEWAY_CONTAINER,
        }
    }

    /// Audit lines and the gateway's log share a container; an audit line is JSON of the kind `audit`.
    fn takes(self, line: &str) -> bool {
        match self {
            Self::Server => true,
            Self::Gateway => !is_audit(line),
            Self::Audit => is_audit(line),
        }
    }
}

fn is_audit(line: &str) -> bool {
    line.starts_with('{')
        && serde_json::from_str::<Value>(line)
            .is_ok_and(|value| value.get("kind").is_some_and(|kind| kind == "audit"))
}

/// `server logs`.
pub(crate) async fn logs(
    cluster: &Cluster,
    args: &LogsArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let wanted = match &args.source {
        SourceArgs { gateway: true, .. } => Wanted::Gateway,
        SourceArgs { audit: true, .. } => Wanted::Audit,
        SourceArgs { server: _, .. } => Wanted::Server,
    };
    let pods = pods(cluster, &args.name).await?;
    let marks = if wanted == Wanted::Audit {
        Marks::Field
    } else if pods.len() > 1 {
        Marks::Prefix
    } else {
        Marks::None
    };
    let api: Api<Pod> = cluster.api();
    let mut streams = Vec::new();
    for pod in pods {
        streams.push(lines(&api, pod, args, wanted, marks).await?);
    }
    let mut all = stream::select_all(streams);
    if wanted == Wanted::Audit && !args.follow {
        let lines: Vec<String> = all.try_collect().await?;
        for line in by_time(lines) {
            printer.line(line);
        }
        return Ok(Exit::Ok);
    }
    while let Some(line) = all.next().await {
        printer.line(line?);
        if printer.is_closed() {
            break;
        }
    }
    Ok(Exit::Ok)
}

/// Names of the server's pods.
async fn pods(cluster: &Cluster, name: &str) -> Result<Vec<String>> {
    let params = ListParams::default().labels(&format!("{}={name}", names::SERVER_LABEL));
    let list = cluster
        .api::<Pod>()
        .list(&params)
        .await
        .during(format!("cannot list the pods of server '{name}'"))?;
    if !list.items.is_empty() {
        return Ok(list.items.iter().map(ResourceExt::name_any).collect());
    }
    cluster
        .api::<MCPServer>()
        .get(name)
        .await
        .during(format!("cannot get server '{name}'"))?;
    Err(
        Error::failed(format!("server '{name}' has no pods")).with_hint(format!(
            "kubectl mcp server status {name}{}",
            cluster.flags()
        )),
    )
}

/// How a line says of which pod it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marks {
    /// Not at all: there is one pod.
    None,
    /// `[pod]` in front.
    Prefix,
    /// As the first field of the JSON object that the line is.
    Field,
}

impl Marks {
    fn mark(self, pod: &str, line: &str) -> String {
        match (self, line.strip_prefix('{')) {
            // The rest keeps its order and its spelling: it is what the gateway wrote.
            (Self::Field, Some(rest)) => format!("{{\"pod\":{},{rest}", Value::from(pod)),
            (Self::Prefix, _) => format!("[{pod}] {line}"),
            (Self::None, _) | (Self::Field, None) => line.to_owned(),
        }
    }
}

/// Audit lines of several pods, the oldest first. Those without a time come last.
fn by_time(lines: Vec<String>) -> Vec<String> {
    let time = |line: &String| -> Option<Timestamp> {
        let value: Value = serde_json::from_str(line).ok()?;
        value.get("time")?.as_str()?.parse().ok()
    };
    let mut timed: Vec<_> = lines.into_iter().map(|line| (time(&line), line)).collect();
    timed.sort_by_key(|(time, _)| time.unwrap_or(Timestamp::MAX));
    timed.into_iter().map(|(_, line)| line).collect()
}

/// The wanted lines of one pod.
async fn lines(
    api: &Api<Pod>,
    pod: String,
    args: &LogsArgs,
    wanted: Wanted,
    marks: Marks,
) -> Result<BoxStream<'static, Result<String>>> {
    let params = LogParams {
        container: Some(wanted.container().to_owned()),
        follow: args.follow,
        // Lines of the other sort are left out afterwards, so the API server cannot count for us.
        tail_lines: args.tail.filter(|_| wanted == Wanted::Server),
        since_seconds: args
            .since
            .and_then(|since| i64::try_from(since.as_secs()).ok()),
        ..LogParams::default()
    };
    let during = format!("cannot read the log of pod '{pod}'");
    let reader = api.log_stream(&pod, &params).await.during(during.clone())?;
    let lines = reader
        .lines()
        .map_err(move |error| Error::failed(format!("{during}: {error}")))
        .try_filter(move |line| std::future::ready(wanted.takes(line)))
        .map_ok(move |line| marks.mark(&pod, &printable(&line)));
    match args
        .tail
        .and_then(|tail| usize::try_from(tail).ok())
        .filter(|_| wanted != Wanted::Server && !args.follow)
    {
        Some(tail) => {
            let all: Vec<_> = lines.collect().await;
            let start = all.len().saturating_sub(tail);
            Ok(stream::iter(all.into_iter().skip(start)).boxed())
        }
        None => Ok(lines.boxed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_line_stays_json_and_names_its_pod() {
        assert_eq!(
            Marks::Field.mark("w-1", r#"{"time":"t", "kind":"audit"}"#),
            r#"{"pod":"w-1","time":"t", "kind":"audit"}"#
        );
        assert_eq!(Marks::Prefix.mark("w-1", "hello"), "[w-1] hello");
        assert_eq!(Marks::None.mark("w-1", "hello"), "hello");
    }

    #[test]
    fn audit_lines_of_several_pods_are_in_the_order_of_their_time() {
        let line = |time: &str| format!(r#"{{"time":"{time}","kind":"audit"}}"#);
        // As text, the second would come before the first.
        let (first, second) = (line("2026-01-01T00:00:00Z"), line("2026-01-01T00:00:00.5Z"));
        assert_eq!(
            by_time(vec![second.clone(), first.clone()]),
            [first, second]
        );
    }

    #[test]
    fn audit_lines_and_the_gateways_log_are_told_apart() {
        let audit = r#"{"time":"t","kind":"audit","decision":"deny"}"#;
        let log = r#"{"level":"INFO","message":"ready"}"#;
        assert!(
            Wanted::Audit.takes(audit)
                && !Wanted::Audit.takes(log)
                && !Wanted::Audit.takes("plain")
        );
        assert!(
            !Wanted::Gateway.takes(audit)
                && Wanted::Gateway.takes(log)
                && Wanted::Gateway.takes("plain")
        );
    }
}
