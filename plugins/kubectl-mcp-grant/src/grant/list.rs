//! `grant list` and `grant get`.

use api::{Effect, MCPAccessGrant, conditions};
use common::cluster::Cluster;
use common::listing::{Columns, Listing};
use common::output::OutputArgs;
use common::table::Table;
use common::{Exit, Printer, Result, age};
use kube::ResourceExt as _;

/// Arguments of `list`.
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Only grants on this server
    #[arg(long, short)]
    server: Option<String>,
    /// Label selector
    #[arg(long, short = 'l', value_name = "LABELS")]
    selector: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `get`.
#[derive(clap::Args)]
pub(crate) struct GetArgs {
    /// Names of grants
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

const LISTING: Listing<MCPAccessGrant> = Listing {
    one: "grant",
    many: "grants",
    table,
};

/// `grant list`.
pub(crate) async fn list(
    cluster: &Cluster,
    args: &ListArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let wanted = |object: &MCPAccessGrant| {
        let server = &object.spec.server_ref.name;
        args.server.as_ref().is_none_or(|name| name == server)
    };
    let selector = args.selector.as_deref();
    LISTING
        .list(cluster, selector, wanted, args.output.output, printer)
        .await
}

/// `grant get`.
pub(crate) async fn get(cluster: &Cluster, args: &GetArgs, printer: &mut Printer) -> Result<Exit> {
    LISTING
        .get(cluster, &args.names, args.output.output, printer)
        .await
}

fn table(grants: &[MCPAccessGrant], columns: Columns) -> String {
    let Columns {
        wide,
        namespaces,
        now,
    } = columns;
    let mut headers = vec![
        "name",
        "server",
        "effect",
        "subject",
        "gives",
        "trust",
        "effective",
        "expires",
        "age",
    ];
    if namespaces {
        headers.insert(0, "namespace");
    }
    if wide {
        headers.extend(["side effects", "reason"]);
    }
    let mut table = Table::new(&headers);
    for grant in grants {
        let mut row = Vec::new();
        if namespaces {
            row.push(grant.namespace().unwrap_or_default());
        }
        let spec = &grant.spec;
        let deny = spec.effect == Effect::Deny;
        row.extend([
            grant.name_any(),
            spec.server_ref.name.clone(),
            spec.effect.to_string(),
            spec.subject.to_string(),
            gives(grant),
            if deny {
                "-".to_owned()
            } else {
                spec.max_trust.to_string()
            },
            effective(grant),
            age::until(spec.expires_at.as_ref().map(|time| time.0), now),
            age::since(
                grant
                    .metadata
                    .creation_timestamp
                    .as_ref()
                    .map(|time| time.0),
                now,
            ),
        ]);
        if wide {
            row.push(
                spec.allowed_side_effects
                    .iter()
                    .map(|effect| effect.as_str())
                    .collect::<Vec<_>>()
                    .join(","),
            );
            row.push(spec.reason.clone().unwrap_or_default());
        }
        table.row(row);
    }
    table.render()
}

/// What a grant speaks of, in few words: `echo,get_*`, `echo +2`, `prompt:*`.
fn gives(grant: &MCPAccessGrant) -> String {
    let spec = &grant.spec;
    let deny = spec.effect == Effect::Deny;
    let tools = spec
        .tool_rules
        .iter()
        .map(|rule| match (rule.decision, deny) {
            (api::Decision::Deny, false) => format!("!{}", rule.name),
            _ => rule.name.clone(),
        });
    let prompts = spec.prompts.iter().map(|name| format!("prompt:{name}"));
    let resources = spec.resources.iter().map(|uri| format!("resource:{uri}"));
    let all: Vec<_> = tools
        .chain(prompts)
        .chain(resources)
        .filter(|name| name != "(none)")
        .collect();
    match all.len() {
        0 => "*".to_owned(),
        1..=3 => all.join(","),
        more => format!("{} +{}", all[..2].join(","), more - 2),
    }
}

/// The operator's word, or what the spec alone shows.
fn effective(grant: &MCPAccessGrant) -> String {
    if grant.spec.disabled {
        return "Disabled".to_owned();
    }
    let conditions = grant
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    conditions
        .iter()
        .find(|c| c.type_ == conditions::EFFECTIVE)
        .map_or_else(
            || "Unknown".to_owned(),
            |condition| {
                if condition.status == "True" {
                    "True".to_owned()
                } else {
                    condition.reason.clone()
                }
            },
        )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn grant(spec: &serde_json::Value) -> MCPAccessGrant {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
            "metadata": {"name": "g", "namespace": "team-a", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn a_list_shows_who_may_call_what() {
        let grants = [
            grant(
                &serde_json::json!({"serverRef": {"name": "w"}, "subject": {"humanID": "alice"},
                "allowedSideEffects": ["read"], "toolRules": [{"name": "echo"}, {"name": "rm", "decision": "deny"}],
                "expiresAt": "1970-01-01T01:00:00Z"}),
            ),
            grant(
                &serde_json::json!({"serverRef": {"name": "w"}, "subject": {"group": "devs"}, "effect": "Deny",
                "disabled": true}),
            ),
        ];
        let now = Timestamp::from_second(600).unwrap();
        assert_eq!(
            table(
                &grants,
                Columns {
                    wide: false,
                    namespaces: true,
                    now
                }
            ),
            "\
NAMESPACE   NAME   SERVER   EFFECT   SUBJECT       GIVES      TRUST   EFFECTIVE   EXPIRES   AGE
team-a      g      w        Allow    human:alice   echo,!rm   low     Unknown     50m       10m
team-a      g      w        Deny     group:devs    *          -       Disabled    never     10m"
        );
    }
}
