//! `kubectl mcp setup uninstall`: removes what setup installed, found by its label.
//!
//! The webhook configurations and static policies go first, so that nothing guards what follows; with `--purge` the
//! users' objects go while the operator still runs, and the kinds last. The Kubernetes objects of servers keep running
//! until their `MCPServer` is deleted.

use std::time::Instant;

use api::names;
use common::api_error::During as _;
use common::confirm::confirm;
use common::error::{Error, Exit, Result};
use common::output::DryRun;
use common::{Cluster, Printer};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};

use crate::cli::UninstallArgs;
use crate::progress::Progress;
use crate::wait;

/// A kind of which setup installs objects.
#[derive(Clone, Copy, Debug)]
struct Kind {
    group: &'static str,
    version: &'static str,
    name: &'static str,
}

const fn kind(group: &'static str, version: &'static str, name: &'static str) -> Kind {
    Kind {
        group,
        version,
        name,
    }
}

/// What would refuse the deletion of the rest.
const GUARDS: [Kind; 4] = [
    kind(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
    ),
    kind(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
    ),
    kind(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicyBinding",
    ),
    kind(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicy",
    ),
];
/// The users' objects. Sessions and grants before the servers they speak of.
const DATA: [Kind; 8] = [
    kind(api::GROUP, api::VERSION, "MCPAgentSession"),
    kind(api::GROUP, api::VERSION, "MCPAccessGrant"),
    kind(api::GROUP, api::VERSION, "MCPServer"),
    kind(api::GROUP, api::VERSION, "MCPTool"),
    kind(api::GROUP, api::VERSION, "MCPPrompt"),
    kind(api::GROUP, api::VERSION, "MCPResource"),
    kind(api::GROUP, api::VERSION, "MCPRegistry"),
    kind(api::GROUP, api::VERSION, "MCPPolicy"),
];
const ROLES: [Kind; 2] = [
    kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
    kind("rbac.authorization.k8s.io", "v1", "ClusterRole"),
];
const NAMESPACE: Kind = kind("", "v1", "Namespace");
const CRD: Kind = kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");

impl Kind {
    fn resource(self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(self.group, self.version, self.name))
    }

    fn all(self, client: &Client) -> Api<DynamicObject> {
        Api::all_with(client.clone(), &self.resource())
    }

    /// `clusterrole.rbac.authorization.k8s.io`
    fn word(self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        format!("{}{dot}{}", self.name.to_lowercase(), self.group)
    }
}

/// One object that goes.
#[derive(Clone, Debug)]
struct Doomed {
    kind: Kind,
    namespace: Option<String>,
    name: String,
}

impl Doomed {
    fn api(&self, client: &Client) -> Api<DynamicObject> {
        match &self.namespace {
            Some(namespace) => {
                Api::namespaced_with(client.clone(), namespace, &self.kind.resource())
            }
            None => self.kind.all(client),
        }
    }
}

impl std::fmt::Display for Doomed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)?;
        self.namespace
            .as_ref()
            .map_or(Ok(()), |namespace| write!(f, " -n {namespace}"))
    }
}

/// Removes an installation.
pub(crate) async fn run(
    cluster: &Cluster,
    args: &UninstallArgs,
    printer: &mut Printer,
) -> Result<Exit> {
    let client = &cluster.client;
    let stages = plan(client, args.purge).await?;
    let count: usize = stages.iter().map(Vec::len).sum();
    let servers = find(client, DATA[2], false).await?.len();
    if count == 0 {
        printer.note(format_args!(
            "kubectl-mcp is not installed in context '{}'",
            cluster.context
        ));
        return Ok(Exit::Ok);
    }
    if args.dry_run == DryRun::None {
        let data = if args.purge {
            ", with every server, grant, session and policy of the cluster,"
        } else {
            ""
        };
        confirm(
            printer,
            args.yes,
            &format!(
                "remove kubectl-mcp ({count} objects){data} from context '{}'",
                cluster.context
            ),
        )?;
    }
    let deadline = Instant::now() + args.timeout;
    for stage in stages {
        for doomed in &stage {
            if args.dry_run != DryRun::Client {
                delete(client, doomed, args.dry_run).await?;
            }
            printer.line(format_args!("{doomed} deleted{}", args.dry_run.suffix()));
        }
        if args.dry_run == DryRun::None {
            wait_until_gone(client, &stage, deadline, printer).await?;
        }
    }
    if servers > 0 && !args.purge {
        let what = if servers == 1 {
            "1 server keeps".to_owned()
        } else {
            format!("{servers} servers keep")
        };
        printer.note(format_args!(
            "{what} running, and the kinds, grants and policies stay. To delete all of it: kubectl mcp setup uninstall --purge"
        ));
    }
    Ok(Exit::Ok)
}

/// What goes, in stages; each stage is gone before the next begins.
async fn plan(client: &Client, purge: bool) -> Result<Vec<Vec<Doomed>>> {
    let mut stages = Vec::new();
    stages.push(find_each(client, &GUARDS, true).await?);
    if purge {
        stages.push(find_each(client, &DATA, false).await?);
    }
    let mut platform = find_each(client, &ROLES, true).await?;
    let namespaces = find(client, NAMESPACE, true).await?;
    platform.extend(
        namespaces
            .into_iter()
            .filter(|doomed| doomed.name == names::SYSTEM_NAMESPACE),
    );
    stages.push(platform);
    stages.push(floors(client).await?);
    if purge {
        stages.push(find(client, CRD, true).await?);
    }
    Ok(stages)
}

/// The floors of the policies. The operator would put them back, so they go after it; they are known by its label.
async fn floors(client: &Client) -> Result<Vec<Doomed>> {
    let mut found = labelled(client, GUARDS[2], names::MANAGED_BY, names::OPERATOR).await?;
    found.extend(labelled(client, GUARDS[3], names::MANAGED_BY, names::OPERATOR).await?);
    Ok(found)
}

async fn find_each(client: &Client, kinds: &[Kind], ours: bool) -> Result<Vec<Doomed>> {
    let mut found = Vec::new();
    for kind in kinds {
        found.extend(find(client, *kind, ours).await?);
    }
    Ok(found)
}

/// The objects of a kind; only those that setup installed when `ours`.
async fn find(client: &Client, kind: Kind, ours: bool) -> Result<Vec<Doomed>> {
    if ours {
        labelled(client, kind, names::PART_OF, names::PROJECT).await
    } else {
        list(client, kind, &ListParams::default()).await
    }
}

async fn labelled(client: &Client, kind: Kind, label: &str, value: &str) -> Result<Vec<Doomed>> {
    let params = ListParams::default().labels(&format!("{label}={value}"));
    list(client, kind, &params).await
}

/// What is listed of a kind. A kind that is not served has none.
async fn list(client: &Client, kind: Kind, params: &ListParams) -> Result<Vec<Doomed>> {
    let list = match kind
        .all(client)
        .list_metadata(params)
        .await
        .during(format!("cannot list {}", kind.word()))
    {
        Ok(list) => list,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(list
        .items
        .into_iter()
        .map(|object| Doomed {
            kind,
            namespace: object.metadata.namespace,
            name: object.metadata.name.unwrap_or_default(),
        })
        .collect())
}

async fn delete(client: &Client, doomed: &Doomed, dry_run: DryRun) -> Result<()> {
    let params = DeleteParams {
        dry_run: dry_run == DryRun::Server,
        ..DeleteParams::background()
    };
    match doomed
        .api(client)
        .delete(&doomed.name, &params)
        .await
        .during(format!("cannot delete {doomed}"))
    {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

async fn wait_until_gone(
    client: &Client,
    stage: &[Doomed],
    deadline: Instant,
    printer: &mut Printer,
) -> Result<()> {
    if stage.is_empty() {
        return Ok(());
    }
    let progress = Progress::begin(printer, "the deleted objects to be gone");
    for doomed in stage {
        wait::until(
            &progress,
            deadline,
            &format!("the end of {doomed}"),
            async || match doomed
                .api(client)
                .get_metadata_opt(&doomed.name)
                .await
                .during(format!("cannot get {doomed}"))
            {
                Ok(None) => Ok(None),
                Ok(Some(_)) => Ok(Some(format!("{doomed} is still there"))),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            },
        )
        .await
        .map_err(|error: Error| {
            error.with_hint(format!(
                "kubectl get {doomed} -o yaml    (look at its finalizers)"
            ))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::{Options, objects};
    use crate::kinds;

    #[test]
    fn everything_installed_is_found_again_or_lies_in_the_namespace() {
        let known: Vec<&str> = GUARDS
            .iter()
            .chain(&ROLES)
            .chain(&DATA)
            .chain([&NAMESPACE, &CRD])
            .map(|kind| kind.name)
            .collect();
        for one in objects(&Options::default()) {
            let in_namespace = kinds::namespace(&one.object) == Some(names::SYSTEM_NAMESPACE);
            assert!(
                in_namespace || known.contains(&kinds::kind(&one.object)),
                "{}",
                one.object
            );
        }
    }

    #[test]
    fn the_plurals_are_those_of_the_api_server() {
        assert_eq!(
            DATA.map(|kind| kind.resource().plural),
            [
                "mcpagentsessions",
                "mcpaccessgrants",
                "mcpservers",
                "mcptools",
                "mcpprompts",
                "mcpresources",
                "mcpregistries",
                "mcppolicies"
            ]
        );
    }
}
