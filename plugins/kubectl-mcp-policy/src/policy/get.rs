//! `policy get`: what there is, as kubectl shows it.

use api::{MCPPolicy, conditions};
use common::api_error::During as _;
use common::cluster::Cluster;
use common::output::{Output, OutputArgs, print_list, print_object, tree};
use common::table::Table;
use common::{Exit, Printer, Result, age};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};

use super::explain::selector;

/// Arguments of `get`.
#[derive(clap::Args)]
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

/// `policy get`.
pub(super) async fn get(cluster: &Cluster, args: &GetArgs, printer: &mut Printer) -> Result<Exit> {
    let api: Api<MCPPolicy> = Api::all(cluster.client.clone());
    let output = args.output.output;
    let (found, version) = read(&api, args).await?;
    match (output, found.as_slice()) {
        (Output::Json | Output::Yaml | Output::Name, [only]) if !args.names.is_empty() => {
            print_object(printer, output, &tree(only))?;
        }
        (_, []) if output.is_table() => printer.note("No policies found."),
        _ if output.is_table() => printer.line(table(&found, output, Timestamp::now())),
        _ => print_list(printer, output, &found.iter().map(tree).collect::<Vec<_>>())?,
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
                print_object(printer, output, &tree(policy))?;
            }
            if printer.is_closed() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn table(policies: &[MCPPolicy], output: Output, now: Timestamp) -> String {
    let wide = output == Output::Wide;
    let mut headers = vec!["name", "enforcement", "namespaces", "violations", "age"];
    if wide {
        headers.extend(["selector", "excluded", "host", "accepted", "message"]);
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
                spec.namespace_selector
                    .as_ref()
                    .map_or_else(|| "all".to_owned(), selector),
                spec.exclude_namespaces.join(","),
                spec.defaults
                    .as_ref()
                    .and_then(|defaults| defaults.ingress_host.clone())
                    .unwrap_or_default(),
                accepted.map_or_else(|| "Unknown".to_owned(), |c| c.status.clone()),
                accepted.map(|c| c.message.clone()).unwrap_or_default(),
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
        assert!(wide.contains("a,b        mcp.example.com   True"), "{wide}");
        assert!(wide.contains("team=a"), "{wide}");
    }
}
