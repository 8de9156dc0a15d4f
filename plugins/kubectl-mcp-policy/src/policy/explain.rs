//! `policy explain`: what the policies of a namespace say together, and which of them each line comes from.
//!
//! The rules say it (`rules::provenance`, `PolicySet::consider`); this prints it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use api::MCPPolicy;
use clap::ValueEnum;
use common::output::{Output, print_value};
use common::table::{TERMINAL, Table, wrap};
use common::{Error, Exit, KubeArgs, Printer, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use rules::effective::provenance::{Combined, Given, Line, RuleLine};
use rules::{PolicySet, Provenance, Selection, Unmet};
use serde_json::{Value, json};

use super::reads;
use crate::manifests;

/// Arguments of `explain`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArgs {
    /// The namespace; it need not exist
    #[arg(value_name = "NAMESPACE")]
    name: String,
    /// Labels to explain it with, instead of those it has: KEY=VALUE, several with commas
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = reads::label)]
    labels: Vec<(String, String)>,
    /// Policies from a file, directory or pattern such as 'policies/*.yaml' instead of the cluster's; no cluster is
    /// asked then; may be given several times
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

const EXAMPLES: &str = "\
Examples:
  kubectl mcp policy explain team-a
  kubectl mcp policy explain team-new --labels team=a
  kubectl mcp policy explain team-a --policy policy.yaml -o json

Exit codes: 0 explained, 2 wrong command line, 3 it could not be found out.";

/// How an explanation is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people
    #[value(alias = "table")]
    Text,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// What is known of the namespace, and the policies.
struct Known {
    policies: Vec<Arc<MCPPolicy>>,
    labels: BTreeMap<String, String>,
    /// `None`: nobody looked.
    exists: Option<bool>,
}

/// `policy explain`.
pub(super) async fn explain(
    kube: &KubeArgs,
    args: &ExplainArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let known = if args.policy.is_empty() {
        from_cluster(kube, args, printer).await?
    } else {
        from_files(args, printer)?
    };
    let considered = PolicySet::consider(&known.policies, &args.name, &known.labels);
    let selected = PolicySet::select(&known.policies, &args.name, &known.labels);
    let provenance = rules::provenance(&selected, &args.name);
    match args.output {
        Format::Text => text(&args.name, &known, &considered, &provenance, printer),
        Format::Json | Format::Yaml => {
            let output = if args.output == Format::Json {
                Output::Json
            } else {
                Output::Yaml
            };
            let value = value(&args.name, &known, &considered, &provenance);
            print_value(printer, output, &value)?;
        }
    }
    Ok(Exit::Ok)
}

async fn from_cluster(kube: &KubeArgs, args: &ExplainArgs, printer: &mut Printer) -> Result<Known> {
    let cluster = kube.connect().await?;
    let policies = reads::policies(&cluster).await?;
    if !args.labels.is_empty() {
        return Ok(Known {
            policies,
            labels: args.labels.iter().cloned().collect(),
            exists: None,
        });
    }
    let found = reads::labels(&cluster, &args.name).await.map_err(|error| {
        error.with_hint(format!(
            "kubectl mcp policy explain {} --labels KEY=VALUE    (say its labels yourself)",
            args.name
        ))
    })?;
    if found.is_none() {
        printer.note(format_args!(
            "Namespace '{}' does not exist: explained as if it were made without labels; --labels KEY=VALUE says others.",
            args.name
        ));
    }
    Ok(Known {
        policies,
        exists: Some(found.is_some()),
        labels: found.unwrap_or_default(),
    })
}

/// The policies of files. A Namespace among them gives its labels.
fn from_files(args: &ExplainArgs, printer: &mut Printer) -> Result<Known> {
    let read = manifests::read(&args.policy, false);
    if let Some(problem) = read.problems.first() {
        return Err(problem.error());
    }
    let policies = reads::of_files(&read)?;
    if policies.is_empty() {
        return Err(Error::failed("--policy names no MCPPolicy")
            .with_hint("kubectl mcp policy get -o yaml > policy.yaml"));
    }
    let itself = read.objects.iter().find(|object| {
        object.text("/apiVersion") == "v1"
            && object.text("/kind") == "Namespace"
            && object.text("/metadata/name") == args.name
    });
    let labels = match itself {
        _ if !args.labels.is_empty() => args.labels.iter().cloned().collect(),
        Some(namespace) => namespace
            .value
            .pointer("/metadata/labels")
            .and_then(|labels| serde_json::from_value(labels.clone()).ok())
            .unwrap_or_default(),
        None => {
            printer.note(format_args!(
                "Namespace '{}' is not in the files: explained without labels; --labels KEY=VALUE says others.",
                args.name
            ));
            BTreeMap::new()
        }
    };
    Ok(Known {
        policies: policies.into_iter().map(|(policy, _)| policy).collect(),
        labels,
        exists: None,
    })
}

/// Why a policy speaks of the namespace, or does not.
fn why(selection: &Selection<'_>, policy: Option<&Arc<MCPPolicy>>) -> String {
    match selection {
        Selection::Everywhere => "it has no namespaceSelector: every namespace".to_owned(),
        Selection::Matched => {
            let written = policy.and_then(|policy| policy.spec.namespace_selector.as_ref());
            let written = written.map(selector).unwrap_or_default();
            format!("its namespaceSelector matches: {written}")
        }
        Selection::Excluded => "its excludeNamespaces names the namespace".to_owned(),
        Selection::Unmet(Unmet {
            key,
            operator,
            values,
            found,
        }) => {
            let wanted = match *operator {
                "In" => format!("be {}", values.join(" or ")),
                "NotIn" => format!("not be {}", values.join(" or ")),
                "Exists" => "be there".to_owned(),
                "DoesNotExist" => "not be there".to_owned(),
                other => format!("meet '{}', which no namespace does", rules::escape(other)),
            };
            let found = match found {
                Some(found) => format!("is {found}"),
                None => "is not there".to_owned(),
            };
            format!("its namespaceSelector does not match: label {key} must {wanted}, and {found}")
        }
    }
}

/// A label selector as kubectl writes one.
pub(super) fn selector(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| format!("{key}={value}"));
    let expressions = selector
        .match_expressions
        .iter()
        .flatten()
        .map(|requirement| {
            let key = &requirement.key;
            let values = requirement.values.as_deref().unwrap_or_default().join(",");
            match requirement.operator.as_str() {
                "In" => format!("{key} in ({values})"),
                "NotIn" => format!("{key} notin ({values})"),
                "Exists" => key.clone(),
                "DoesNotExist" => format!("!{key}"),
                other => format!("{key} {other} ({values})"),
            }
        });
    let all: Vec<_> = labels.chain(expressions).collect();
    if all.is_empty() {
        "all".to_owned()
    } else {
        all.join(",")
    }
}

type Considered<'a> = [(&'a str, Selection<'a>)];

fn text(
    name: &str,
    known: &Known,
    considered: &Considered<'_>,
    provenance: &Provenance,
    printer: &mut Printer,
) {
    let labels: Vec<_> = known
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let labels = if labels.is_empty() {
        "none".to_owned()
    } else {
        labels.join(", ")
    };
    let line = format!("Namespace {name}, labels: {labels}");
    printer.line(format_args!("{}\n", wrap(&line, TERMINAL)));
    if considered.is_empty() {
        printer.note("There is no MCPPolicy.");
    } else {
        let mut table = Table::new(&["policy", "speaks", "why"]);
        for (policy, selection) in considered {
            let speaks = if selection.selects() { "yes" } else { "no" };
            let object = find(known, policy);
            table.row([
                (*policy).to_owned(),
                speaks.to_owned(),
                why(selection, object),
            ]);
        }
        printer.line(format_args!("{}\n", table.wrapped(2, TERMINAL).render()));
    }
    printer.line(format_args!("{}\n", fields(&provenance.lines)));
    if !provenance.rules.is_empty() {
        printer.line(format_args!("{}\n", rules_table(&provenance.rules)));
    }
    let codes: Vec<_> = provenance
        .by_default
        .iter()
        .map(|meta| format!("{} {}", meta.code, meta.name))
        .collect();
    if !codes.is_empty() {
        let line = format!(
            "Enforced by default, and no policy mentions them: {}.",
            codes.join(", ")
        );
        printer.line(wrap(&line, TERMINAL));
    }
}

fn find<'a>(known: &'a Known, name: &str) -> Option<&'a Arc<MCPPolicy>> {
    let is_it = |policy: &&Arc<MCPPolicy>| policy.metadata.name.as_deref() == Some(name);
    known.policies.iter().find(is_it)
}

/// One row for a field; below it one for each policy, where several speak.
fn fields(lines: &[Line]) -> String {
    let mut table = Table::new(&["field", "value", "from"]);
    for line in lines {
        let field = line.field.to_owned();
        match line.given.as_slice() {
            [] => table.row([field, say(&line.holds), "(built in)".to_owned()]),
            [only] if line.holds.is_object() => {
                for (member, value) in members(&line.holds) {
                    table.row([format!("{field}{member}"), value, only.policy.clone()]);
                }
            }
            [only] => table.row([field, holding(line), only.policy.clone()]),
            several => {
                let how = format!("({})", line.combined.as_str());
                table.row([field, holding(line), how]);
                for given in several {
                    table.row(["  -".to_owned(), say(&given.value), from(given)]);
                }
            }
        }
    }
    table.wrapped(1, TERMINAL).render()
}

/// The members of a value, each with the end of its path: `.limits.cpu`.
fn members(value: &Value) -> Vec<(String, String)> {
    let Some(entries) = value.as_object().filter(|entries| !entries.is_empty()) else {
        return vec![(String::new(), say(value))];
    };
    let below = entries.iter().flat_map(|(key, value)| {
        let inner = members(value).into_iter();
        inner.map(move |(path, text)| (format!(".{key}{path}"), text))
    });
    below.collect()
}

fn from(given: &Given) -> String {
    let overruled = if given.counts { "" } else { " (overruled)" };
    format!("{}{overruled}", given.policy)
}

fn holding(line: &Line) -> String {
    match (&line.holds, line.combined) {
        (Value::Null, Combined::Every) => "what is in each list".to_owned(),
        (Value::Null, _) => "false".to_owned(),
        (holds, _) => say(holds),
    }
}

/// A value on one line.
fn say(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(entries) if entries.is_empty() => "nothing".to_owned(),
        Value::Array(entries) => entries.iter().map(say).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| match value {
                Value::Object(_) | Value::Array(_) => format!("{key}: {value}"),
                value => format!("{key}: {}", say(value)),
            });
            members.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

fn rules_table(lines: &[RuleLine]) -> String {
    let mut table = Table::new(&["rule", "name", "enforcement", "from"]);
    for line in lines {
        let said = line.said.iter().map(|said| {
            let how = if said.overridden { ", override" } else { "" };
            format!("{} ({}{how})", said.policy, said.enforcement)
        });
        table.row([
            line.meta.code.to_owned(),
            line.meta.name.to_owned(),
            line.enforcement.to_string(),
            said.collect::<Vec<_>>().join(", "),
        ]);
    }
    table.wrapped(3, TERMINAL).render()
}

fn value(name: &str, known: &Known, considered: &Considered<'_>, provenance: &Provenance) -> Value {
    let policies = considered.iter().map(|(policy, selection)| {
        let reason = why(selection, find(known, policy));
        json!({"name": policy, "selects": selection.selects(), "reason": reason})
    });
    let fields = provenance.lines.iter().map(|line| {
        let given = line.given.iter().map(
            |given| json!({"policy": given.policy, "value": given.value, "counts": given.counts}),
        );
        json!({
            "field": line.field, "value": line.holds, "combined": line.combined.as_str(),
            "from": given.collect::<Vec<_>>(),
        })
    });
    let rules = provenance.rules.iter().map(|line| {
        let said = line.said.iter().map(|said| {
            let by = if said.overridden { "override" } else { "field" };
            json!({"policy": said.policy, "enforcement": said.enforcement, "by": by})
        });
        json!({
            "code": line.meta.code, "name": line.meta.name, "enforcement": line.enforcement,
            "docs": rules::docs(line.meta.code), "from": said.collect::<Vec<_>>(),
        })
    });
    let by_default = provenance
        .by_default
        .iter()
        .map(|meta| json!({"code": meta.code, "name": meta.name, "docs": rules::docs(meta.code)}));
    json!({
        "namespace": name, "labels": known.labels, "exists": known.exists,
        "policies": policies.collect::<Vec<_>>(), "fields": fields.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(), "byDefault": by_default.collect::<Vec<_>>(),
    })
}
