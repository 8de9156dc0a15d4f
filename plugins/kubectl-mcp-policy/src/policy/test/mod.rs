//! `policy test`: every server, grant and session that is there, judged again under a candidate policy. The other kinds
//! are not: no rule about them asks a policy.
//!
//! [`replay`] judges, with the rules of admission; this reads the cluster and prints.

mod replay;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer};
use common::cluster::Cluster;
use common::output::pretty_json;
use common::table::{TERMINAL, Table};
use common::{Error, Exit, KubeArgs, Printer, Result};
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::IngressClass;
use kube::ResourceExt as _;
use kube::api::Api;
use rules::{Finding, Severity};
use serde_json::{Value, json};

use super::reads;
use crate::manifests::Inputs;
use replay::{Changes, Live, replay};

/// Arguments of `test`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestArgs {
    #[command(flatten)]
    inputs: Inputs,
    /// Show also what is broken already
    #[arg(long)]
    all: bool,
    /// Show also what would only be warned about, or noted in the audit log
    #[arg(long)]
    warnings: bool,
    /// How to print
    #[arg(
        short,
        long,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    output: Format,
}

const EXAMPLES: &str = "\
Examples:
  kubectl mcp policy test policy.yaml
  kubectl mcp policy test -f policies/ -n team-a --warnings -o wide

Exit codes: 0 nobody would break, 1 somebody would, 2 wrong command line, 3 it could not be found out.";

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Columns for people, with the beginning of each message
    Table,
    /// More columns, and whole messages
    Wide,
    /// JSON, with the findings as `lint` prints them
    Json,
}

/// `policy test`. Without `-n` the servers, grants and sessions of all namespaces are judged.
pub(super) async fn test(kube: &KubeArgs, args: &TestArgs, printer: &mut Printer) -> Result<Exit> {
    let (read, _) = args.inputs.read(&[])?;
    for problem in &read.problems {
        printer.error(&problem.error());
    }
    if !read.problems.is_empty() {
        return Ok(Exit::Failed);
    }
    let candidates = reads::of_files(&read)?;
    if candidates.is_empty() {
        return Err(Error::failed("FILE names no MCPPolicy")
            .with_hint("kubectl mcp policy get default -o yaml > policy.yaml"));
    }
    let cluster = kube.connect().await?;
    let only = kube.namespace.as_deref().filter(|_| !kube.all_namespaces);
    let live = live(&cluster, only, printer).await?;
    for (candidate, _) in &candidates {
        let name = candidate.name_any();
        let known = live.policies.iter().any(|policy| policy.name_any() == name);
        printer.note(format_args!(
            "MCPPolicy '{name}' {}.",
            if known { "is replaced" } else { "is added" }
        ));
    }
    let changes = replay(&live, &candidates);
    match args.output {
        Format::Table | Format::Wide => tables(&changes, args, printer),
        Format::Json => printer.line(pretty_json(&as_json(&changes, args))),
    }
    summary(&changes, &live, args, printer);
    Ok(if changes.breaks.is_empty() {
        Exit::Ok
    } else {
        Exit::Found
    })
}

/// What is there, as far as the caller may read it. What decides must be readable; what only other rules look at may not
/// be, and then they say nothing before and after.
async fn live(cluster: &Cluster, only: Option<&str>, printer: &mut Printer) -> Result<Live> {
    let policies = reads::policies(cluster).await?;
    let namespaces = match (reads::namespaces(cluster).await, only) {
        (Ok(namespaces), _) => namespaces,
        (Err(error), None) => {
            return Err(error.with_hint("kubectl mcp policy test -f FILE -n NAMESPACE"));
        }
        (Err(_), Some(name)) => {
            let labels = reads::labels(cluster, name).await?.unwrap_or_default();
            [(name.to_owned(), labels)].into_iter().collect()
        }
    };
    if let Some(name) = only
        && !namespaces.contains_key(name)
    {
        return Err(Error::failed(format!("namespace '{name}' does not exist"))
            .with_hint("kubectl get namespaces"));
    }
    // Two servers on one route may be of two namespaces.
    let servers = match (
        reads::stored::<MCPServer>(cluster, None, "servers").await,
        only,
    ) {
        (Ok(servers), _) => servers,
        (Err(error), None) => return Err(error),
        (Err(_), Some(_)) => {
            printer.warning(
                "the servers of other namespaces were not looked at: you may not list them",
            );
            reads::stored::<MCPServer>(cluster, only, "servers").await?
        }
    };
    let grants = reads::stored::<MCPAccessGrant>(cluster, only, "grants").await?;
    let sessions = reads::stored::<MCPAgentSession>(cluster, only, "sessions").await?;
    let classes: Api<IngressClass> = Api::all(cluster.client.clone());
    let classes = reads::all(&classes, "ingress classes").await.ok();
    Ok(Live {
        now: Timestamp::now(),
        only: only.map(str::to_owned),
        policies,
        namespaces,
        servers,
        grants,
        sessions,
        classes: classes.map(|classes| classes.iter().map(kube::ResourceExt::name_any).collect()),
    })
}

fn tables(changes: &Changes, args: &TestArgs, printer: &mut Printer) {
    let wide = args.output == Format::Wide;
    let mut first = true;
    for (heading, findings) in sections(changes, args) {
        if findings.is_empty() {
            continue;
        }
        if !first {
            printer.line("");
        }
        if heading != BREAKS || !first {
            printer.line(format_args!("{heading}:"));
        }
        first = false;
        printer.line(table(findings, wide));
    }
}

const BREAKS: &str = "Would break";

/// What is shown, in this order.
fn sections<'a>(changes: &'a Changes, args: &TestArgs) -> Vec<(&'static str, &'a [Finding])> {
    let mut sections = vec![(BREAKS, changes.breaks.as_slice())];
    if args.warnings {
        sections.push(("Would be warned about or noted", &changes.warned));
    }
    sections.push(("Would be mended", &changes.mended));
    if args.all {
        sections.push(("Broken already", &changes.already));
    }
    sections
}

fn table(findings: &[Finding], wide: bool) -> String {
    let mut headers = vec!["namespace", "kind", "name", "code", "field", "message"];
    if wide {
        headers.extend(["value", "hint"]);
    }
    let mut table = Table::new(&headers);
    for finding in findings {
        let mut row = vec![
            finding.namespace.clone(),
            finding.kind.to_owned(),
            finding.name.clone(),
            finding.code.to_owned(),
            finding.field.clone(),
            finding.message.clone(),
        ];
        if wide {
            row.push(finding.value.clone().unwrap_or_default());
            row.push(finding.hint.clone().unwrap_or_default());
        }
        table.row(row);
    }
    if wide {
        table.render()
    } else {
        table.cut(5, TERMINAL).render()
    }
}

/// As `lint` prints findings; a live object has no file, and its place is 0.
fn as_json(changes: &Changes, args: &TestArgs) -> Value {
    let list = |findings: &[Finding]| -> Vec<Value> {
        let placed = findings.iter().map(|finding| {
            let mut value = serde_json::to_value(finding).unwrap_or_default();
            value["file"] = "".into();
            value["line"] = 0.into();
            value["column"] = 0.into();
            value
        });
        placed.collect()
    };
    let mut findings = list(&changes.breaks);
    if args.warnings {
        findings.extend(list(&changes.warned));
    }
    let mut value = json!({"findings": findings, "mended": list(&changes.mended)});
    if args.all {
        value["already"] = list(&changes.already).into();
    }
    value
}

/// How it went, on standard error.
fn summary(changes: &Changes, live: &Live, args: &TestArgs, printer: &mut Printer) {
    let (policies, objects) = (&changes.breaks, changes.objects);
    let of_policy = policies
        .iter()
        .filter(|finding| finding.kind == "MCPPolicy");
    if of_policy.count() > 0 {
        printer.warning(
            "the policy itself would be refused; what follows from it was judged all the same",
        );
    }
    let named = |findings: &[Finding]| {
        let mut names: Vec<_> = findings
            .iter()
            .filter(|finding| finding.kind != "MCPPolicy")
            .map(|finding| (&finding.namespace, finding.kind, &finding.name))
            .collect();
        names.sort();
        names.dedup();
        names.len()
    };
    let number =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let place = match &live.only {
        Some(namespace) => format!("namespace '{namespace}'"),
        None => number(live.namespaces.len(), "namespace"),
    };
    let mut parts = vec![match named(&changes.breaks) {
        0 => "Nobody would break".to_owned(),
        count => format!("{} would break", number(count, "object")),
    }];
    if !changes.mended.is_empty() {
        parts.push(format!(
            "{} would be mended",
            number(named(&changes.mended), "object")
        ));
    }
    if !changes.warned.is_empty() {
        let flag = if args.warnings {
            ""
        } else {
            " (--warnings shows them)"
        };
        parts.push(format!(
            "{} would be warned about{flag}",
            number(named(&changes.warned), "object")
        ));
    }
    if !changes.already.is_empty() {
        let flag = if args.all { "" } else { " (--all shows them)" };
        parts.push(format!(
            "{} broken already{flag}",
            number(named(&changes.already), "object")
        ));
    }
    let whole = if args.output == Format::Table && !changes.breaks.is_empty() {
        " -o wide shows whole messages and hints."
    } else {
        ""
    };
    printer.note(format_args!(
        "{}; {} in {place} judged.{whole}",
        parts.join(", "),
        number(objects, "object")
    ));
}

/// Whether a finding refuses the object, or only says something.
fn refuses(finding: &Finding) -> bool {
    finding.severity == Severity::Error
}

/// The policies after the change.
fn with_candidates(
    policies: &[std::sync::Arc<MCPPolicy>],
    candidates: &[(std::sync::Arc<MCPPolicy>, Value)],
) -> Vec<std::sync::Arc<MCPPolicy>> {
    let replaced = |policy: &MCPPolicy| {
        let same = |candidate: &MCPPolicy| candidate.metadata.name == policy.metadata.name;
        candidates.iter().any(|(candidate, _)| same(candidate))
    };
    let kept = policies.iter().filter(|policy| !replaced(policy)).cloned();
    kept.chain(candidates.iter().map(|(candidate, _)| candidate.clone()))
        .collect()
}
