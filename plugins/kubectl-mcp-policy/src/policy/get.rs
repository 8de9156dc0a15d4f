//! `policy get`: what there is, as kubectl shows it.

use api::{MCPPolicy, conditions, names};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::output::{
    Output, OutputArgs, print_list, print_object, remove_annotations, strip, tree,
};
use common::table::Table;
use common::{Exit, Printer, Result, age};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use serde_json::Value;

use super::explain::selector;

/// The longest list in a column, in bytes.
const LONGEST_LIST: usize = 14;

/// Arguments of `get`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GetArgs {
    /// Names of policies; all when absent
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Label selector
    #[arg(long, short = 'l', value_name = "LABELS", conflicts_with = "names")]
    selector: Option<String>,
    /// Go on with every change
    #[arg(long, short = 'w')]
    watch: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  kubectl mcp policy get -o wide
  kubectl mcp policy get default -o yaml > policy.yaml

YAML leaves out what the cluster keeps in the object, so that it can be kept in git and applied.

Exit codes: 0 shown, 2 wrong command line, 3 it could not be done.";

/// `policy get`.
pub(super) async fn get(cluster: &Cluster, args: &GetArgs, printer: &mut Printer) -> Result<Exit> {
    let api: Api<MCPPolicy> = Api::all(cluster.client.clone());
    let output = args.output.output;
    let (found, version) = read(&api, args).await?;
    match (output, found.as_slice()) {
        (Output::Json | Output::Yaml | Output::Name, [only]) if !args.names.is_empty() => {
            print_object(printer, output, &printable(only, output))?;
        }
        (_, []) if output.is_table() => printer.note("No policies found."),
        _ if output.is_table() => printer.line(table(&found, output, Timestamp::now())),
        _ => {
            let objects: Vec<_> = found
                .iter()
                .map(|policy| printable(policy, output))
                .collect();
            print_list(printer, output, &objects)?;
        }
    }
    if args.watch {
        follow(&api, args, found, version, printer).await?;
    }
    Ok(Exit::Ok)
}

/// What was asked for, and from which version on to watch.
async fn read(api: &Api<MCPPolicy>, args: &GetArgs) -> Result<(Vec<MCPPolicy>, String)> {
    if args.names.is_empty() || args.watch {
        let params = ListParams {
            label_selector: args.selector.clone(),
            ..ListParams::default()
        };
        let list = api.list(&params).await.during("cannot list policies")?;
        let wanted = |policy: &MCPPolicy| is_wanted(policy, args);
        let version = list.metadata.resource_version.unwrap_or_default();
        return Ok((list.items.into_iter().filter(wanted).collect(), version));
    }
    let mut found = Vec::new();
    for name in &args.names {
        let policy = api.get(name).await;
        found.push(policy.during(format!("cannot get policy '{name}'"))?);
    }
    Ok((found, String::new()))
}

fn is_wanted(policy: &MCPPolicy, args: &GetArgs) -> bool {
    args.names.is_empty() || args.names.contains(&policy.name_any())
}

/// A line, or an object, for every change, until nobody reads any more.
async fn follow(
    api: &Api<MCPPolicy>,
    args: &GetArgs,
    mut shown: Vec<MCPPolicy>,
    mut version: String,
    printer: &mut Printer,
) -> Result<()> {
    let output = args.output.output;
    let params = WatchParams {
        label_selector: args.selector.clone(),
        ..WatchParams::default()
    };
    while !printer.is_closed() {
        let events = api
            .watch(&params, &version)
            .await
            .during("cannot watch policies")?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events
            .try_next()
            .await
            .during("the watch of policies broke off")?
        {
            let policy = match event {
                WatchEvent::Added(policy)
                | WatchEvent::Modified(policy)
                | WatchEvent::Deleted(policy) => policy,
                WatchEvent::Bookmark(mark) => {
                    version = mark.metadata.resource_version;
                    continue;
                }
                // Too old to go on from: what there is now is the next line.
                WatchEvent::Error(status) if status.code == 410 => {
                    (shown, version) = read(api, args).await?;
                    break;
                }
                WatchEvent::Error(status) => {
                    return Err(kube::Error::Api(status)).during("the watch of policies broke off");
                }
            };
            version = policy.resource_version().unwrap_or_default();
            if !is_wanted(&policy, args) {
                continue;
            }
            let empty = shown.is_empty();
            shown.retain(|other| other.name_any() != policy.name_any());
            shown.push(policy);
            if output.is_table() {
                let text = table(&shown, output, Timestamp::now());
                let last = text.rsplit('\n').next().unwrap_or_default();
                printer.line(if empty { &text } else { last });
            } else if let Some(policy) = shown.last() {
                print_object(printer, output, &printable(policy, output))?;
            }
            if printer.is_closed() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A policy as it is printed. YAML is for files that are kept and applied again: without what the cluster keeps in the
/// object. JSON is for programs, and has all of it.
fn printable(policy: &MCPPolicy, output: Output) -> Value {
    let mut value = tree(policy);
    if output == Output::Yaml {
        strip(&mut value);
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            let stamps = [
                names::REQUESTED_BY,
                names::REQUESTED_BY_GROUPS,
                names::EDITED_BY,
            ];
            remove_annotations(metadata, |name| stamps.contains(&name));
        }
    }
    value
}

/// `team=a but b`: the label selector, and what is excluded from it.
fn selects(policy: &MCPPolicy) -> String {
    let spec = &policy.spec;
    let selected = spec
        .namespace_selector
        .as_ref()
        .map_or_else(|| "all".to_owned(), selector);
    match short(&spec.exclude_namespaces).as_str() {
        "" => selected,
        excluded => format!("{selected} but {excluded}"),
    }
}

/// `a,b`, or the first and how many more where that would be long.
fn short(names: &[String]) -> String {
    let all = names.join(",");
    match names {
        [first, more @ ..] if all.len() > LONGEST_LIST && !more.is_empty() => {
            format!("{first} +{}", more.len())
        }
        _ => all,
    }
}

fn table(policies: &[MCPPolicy], output: Output, now: Timestamp) -> String {
    let wide = output == Output::Wide;
    let mut headers = vec!["name", "enforcement", "namespaces", "violations", "age"];
    if wide {
        headers.extend(["accepted", "selects"]);
    }
    let mut table = Table::new(&headers);
    for policy in policies {
        let (spec, status) = (&policy.spec, policy.status.clone().unwrap_or_default());
        let number = |count: Option<i32>| count.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let created = policy.metadata.creation_timestamp.as_ref();
        let mut row = vec![
            policy.name_any(),
            spec.enforcement.unwrap_or_default().to_string(),
            number(status.matched_namespaces),
            number(status.violations),
            age::since(created.map(|time| time.0), now),
        ];
        if wide {
            let accepted = status
                .conditions
                .iter()
                .find(|condition| condition.type_ == conditions::ACCEPTED);
            row.extend([
                accepted.map_or_else(|| "Unknown".to_owned(), |c| c.status.clone()),
                selects(policy),
            ]);
        }
        table.row(row);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_shows_what_a_policy_speaks_of_and_who_breaks_it() {
        let policies: Vec<MCPPolicy> = serde_json::from_value(json!([
            {"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
             "metadata": {"name": "default", "creationTimestamp": "1970-01-01T00:00:00Z"},
             "spec": {"excludeNamespaces": ["a", "b"], "defaults": {"ingressHost": "mcp.example.com"}},
             "status": {"matchedNamespaces": 4, "violations": 2, "conditions": [
                {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "the policy is understood",
                 "lastTransitionTime": "1970-01-01T00:00:00Z"}]}},
            {"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
             "metadata": {"name": "team", "creationTimestamp": "1970-01-01T00:00:00Z"},
             "spec": {"enforcement": "Warn", "namespaceSelector": {"matchLabels": {"team": "a"}}}},
        ]))
        .unwrap();
        let now = Timestamp::from_second(60).unwrap();
        assert_eq!(
            table(&policies, Output::Table, now),
            "\
NAME      ENFORCEMENT   NAMESPACES   VIOLATIONS   AGE
default   Enforce       4            2            60s
team      Warn          -            -            60s"
        );
        let wide = table(&policies, Output::Wide, now);
        assert!(wide.contains("True       all but a,b"), "{wide}");
        assert!(wide.contains("Unknown    team=a"), "{wide}");
        for line in wide.lines() {
            assert!(line.chars().count() <= common::table::TERMINAL, "{line}");
        }
        let many = ["kube-system", "kube-public", "x"].map(str::to_owned);
        assert_eq!(short(&many), "kube-system +2");
    }

    #[test]
    fn yaml_can_be_kept_and_applied_again_and_json_has_everything() {
        let policy: MCPPolicy = serde_json::from_value(json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
            "metadata": {"name": "default", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"},
                         "annotations": {names::REQUESTED_BY: "alice", "mine": "1"}},
            "spec": {"excludeNamespaces": ["a"]}, "status": {"violations": 2},
        }))
        .unwrap();
        assert_eq!(
            printable(&policy, Output::Yaml),
            json!({
                "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
                "metadata": {"name": "default", "labels": {"a": "b"}, "annotations": {"mine": "1"}},
                "spec": {"excludeNamespaces": ["a"]},
            })
        );
        let json = printable(&policy, Output::Json);
        assert_eq!(json["status"]["violations"], 2);
        assert_eq!(json["metadata"]["uid"], "u");
    }
}
