//! `kubectl mcp setup`: installs, upgrades, shows the difference.
//!
//! Look for everything that stands in the way first; then apply in the order of `install::Step`; then wait until the
//! webhook really answers. Every step can be run again, so a setup that broke off is finished by the next one.

use std::time::Instant;

use api::{MCPPolicy, MCPPolicySpec, names};
use common::api_error::During as _;
use common::error::{Error, Exit, Result};
use common::output::{DryRun, name_of, pretty_json};
use common::{Cluster, Printer};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::apply::{self, Change, Outcome};
use crate::cli::{InstallArgs, ManifestFormat, SetupCli, SetupCommand};
use crate::install::{self, Installed, LiveImages, Options, Step, merge_policy};
use crate::progress::Progress;
use crate::{kinds, pods, preflight, proof, uninstall, wait};

/// What a default policy without a host means for whoever writes a server.
pub(crate) const NO_DEFAULT_HOST: &str =
    "no --default-host: every server must name its own spec.ingressHost";

/// Runs `setup` and its subcommands.
pub async fn run(cli: SetupCli, printer: &mut Printer) -> Result<Exit> {
    if cli
        .kube
        .namespace
        .as_deref()
        .is_some_and(|namespace| namespace != names::SYSTEM_NAMESPACE)
    {
        return Err(Error::usage(format!(
            "setup installs into namespace {}, leave -n out",
            names::SYSTEM_NAMESPACE
        )));
    }
    match &cli.command {
        Some(SetupCommand::Uninstall(args)) => {
            uninstall::run(&cli.kube.connect().await?, args, printer).await
        }
        Some(SetupCommand::Diff(args)) => {
            // What makes no sense is said before the cluster is asked.
            args.options(&LiveImages::default())?;
            let cluster = cli.kube.connect().await?;
            let options = args.options(&live_images(&cluster.client).await?)?;
            diff(&cluster, &options, printer).await
        }
        Some(SetupCommand::Upgrade(args)) => install(&cli, args, true, printer).await,
        Some(SetupCommand::Install(args)) => install(&cli, args, false, printer).await,
        None => install(&cli, &cli.install, false, printer).await,
    }
}

async fn install(
    cli: &SetupCli,
    args: &InstallArgs,
    upgrade: bool,
    printer: &mut Printer,
) -> Result<Exit> {
    let options = args.options(&LiveImages::default())?;
    if args.dry_run == DryRun::Client {
        // Without a look at the cluster; but an upgrade is of something that is there.
        let word = if upgrade { "configured" } else { "created" };
        print_manifest(&options, args.output, word, printer);
        return Ok(Exit::Ok);
    }
    let cluster = cli.kube.connect().await?;
    let deadline = Instant::now() + args.timeout;
    // Which objects they are does not depend on the images.
    let blockers = preflight::blockers(&cluster.client, &install::objects(&options)).await?;
    if !blockers.is_empty() {
        return Err(preflight::refuse(&blockers));
    }
    if upgrade {
        require_installation(&cluster).await?;
    }
    let live = live_images(&cluster.client).await?;
    let options = args.options(&live)?;
    let flags = args.image_flags();
    for image in live.kept_by(&flags.resolve(&live), &flags) {
        printer.note(format_args!(
            "keeping image {image}; --image-registry REGISTRY replaces it"
        ));
    }
    let objects = install::objects(&options);
    let installer = Installer {
        client: &cluster.client,
        options: &options,
        dry_run: args.dry_run,
        wait: args.wait,
    };
    installer.run(&objects, deadline, printer).await?;
    if args.dry_run == DryRun::None && args.wait {
        printer.note("kubectl-mcp is installed and its webhook answers. Next: kubectl mcp check");
    }
    Ok(Exit::Ok)
}

fn print_manifest(
    options: &Options,
    format: Option<ManifestFormat>,
    word: &str,
    printer: &mut Printer,
) {
    let objects: Vec<Value> = install::objects(options)
        .into_iter()
        .map(|one| one.object)
        .collect();
    match format {
        Some(ManifestFormat::Yaml) => printer.data(install::to_yaml(&objects).as_bytes()),
        Some(ManifestFormat::Json) => {
            printer.line(pretty_json(
                &json!({"apiVersion": "v1", "kind": "List", "items": objects}),
            ));
        }
        Some(ManifestFormat::Name) => objects
            .iter()
            .for_each(|object| printer.line(name_of(object))),
        None => objects
            .iter()
            .for_each(|object| say(printer, object, word, DryRun::Client)),
    }
}

fn say(printer: &mut Printer, object: &Value, word: &str, dry_run: DryRun) {
    printer.line(format_args!(
        "{} {word}{}",
        name_of(object),
        dry_run.suffix()
    ));
}

/// The images of the installation that is there, if there is one.
async fn live_images(client: &Client) -> Result<LiveImages> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), names::SYSTEM_NAMESPACE);
    let get = async |name: &str| {
        let live = api.get_opt(name).await;
        live.during(format!("cannot get deployment {name}"))
    };
    let (webhook, operator) = (
        get(names::WEBHOOK_NAME).await?,
        get(names::OPERATOR_NAME).await?,
    );
    Ok(LiveImages::of(webhook.as_ref(), operator.as_ref()))
}

/// `upgrade` of nothing is a mistake: probably of the context.
async fn require_installation(cluster: &Cluster) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), names::SYSTEM_NAMESPACE);
    let found = api
        .get_opt(names::OPERATOR_NAME)
        .await
        .during("cannot look for the operator")?;
    if found.is_some() {
        return Ok(());
    }
    Err(Error::failed(format!(
        "kubectl-mcp is not installed in context '{}'",
        cluster.context
    ))
    .with_hint("kubectl mcp setup"))
}

/// One installation under way.
struct Installer<'a> {
    client: &'a Client,
    options: &'a Options,
    dry_run: DryRun,
    wait: bool,
}

impl Installer<'_> {
    async fn run(
        &self,
        objects: &[Installed],
        deadline: Instant,
        printer: &mut Printer,
    ) -> Result<()> {
        // Once the webhook is asked about policies it must answer first; before that a policy needs nobody.
        let guarded = self.is_guarded().await?;
        for one in objects {
            if one.step == Step::Policy {
                if !guarded {
                    self.policy(&one.object, printer).await?;
                }
                continue;
            }
            let outcome = apply::apply(self.client, &one.object, self.dry_run).await?;
            self.report(&one.object, &outcome, printer);
            if self.is_last_crd(objects, one) {
                self.wait_for_kinds(objects, deadline, printer).await?;
            }
        }
        if self.wait && self.dry_run == DryRun::None {
            self.wait_for_servers(deadline, printer).await?;
            self.wait_for_webhook(deadline, printer).await?;
        }
        if guarded && let Some(policy) = objects.iter().find(|one| one.step == Step::Policy) {
            self.policy(&policy.object, printer).await?;
        }
        Ok(())
    }

    /// The line that kubectl would print.
    fn report(&self, object: &Value, outcome: &Outcome, printer: &mut Printer) {
        say(printer, object, outcome.word(), self.dry_run);
        if let Outcome::NotJudged(why) = outcome {
            printer.warning(format_args!(
                "{} was not judged by the server: {why}",
                name_of(object)
            ));
        }
    }

    async fn is_guarded(&self) -> Result<bool> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let found = api
            .get_opt(names::WEBHOOK_NAME)
            .await
            .during("cannot get the webhook's configuration")?;
        Ok(found.is_some())
    }

    fn is_last_crd(&self, objects: &[Installed], one: &Installed) -> bool {
        self.dry_run == DryRun::None
            && objects
                .iter()
                .rfind(|other| other.step == Step::Crds)
                .is_some_and(|last| std::ptr::eq(last, one))
    }

    /// The kinds must be served before an object of them, or a policy about them, can be stored.
    async fn wait_for_kinds(
        &self,
        objects: &[Installed],
        deadline: Instant,
        printer: &mut Printer,
    ) -> Result<()> {
        let mut crds = Vec::new();
        for one in objects.iter().filter(|one| one.step == Step::Crds) {
            let name = kinds::name(&one.object);
            if wait::crd_missing(self.client, name).await?.is_some() {
                crds.push(name);
            }
        }
        if crds.is_empty() {
            return Ok(());
        }
        let progress = Progress::begin(printer, "the kinds to be served");
        for name in crds {
            let look = async || wait::crd_missing(self.client, name).await;
            wait::until(&progress, deadline, name, look).await?;
        }
        Ok(())
    }

    async fn wait_for_servers(&self, deadline: Instant, printer: &mut Printer) -> Result<()> {
        for name in [names::WEBHOOK_NAME, names::OPERATOR_NAME] {
            let progress = Progress::begin(printer, &format!("deployment {name}"));
            let look =
                async || wait::deployment_missing(self.client, names::SYSTEM_NAMESPACE, name).await;
            let Err(error) = wait::until(&progress, deadline, name, look).await else {
                continue;
            };
            drop(progress);
            return Err(match pods::trouble(self.client, name).await {
                Some(trouble) => {
                    Error::failed(format!("{error}: {trouble}")).with_hint(trouble.hint(name))
                }
                None => error.with_hint(pods::describe(name)),
            });
        }
        Ok(())
    }

    async fn wait_for_webhook(&self, deadline: Instant, printer: &mut Printer) -> Result<()> {
        let progress = Progress::begin(
            printer,
            "the webhook to accept a good server and refuse a bad one",
        );
        let policy = live_policy(self.client).await?.map(|policy| policy.spec);
        let look = async || {
            let proof = proof::prove(self.client, names::SYSTEM_NAMESPACE, policy.as_ref()).await;
            Ok((!proof.holds()).then(|| proof.missing()))
        };
        let waited = wait::until(&progress, deadline, "the webhook", look).await;
        waited.map_err(|error| error.with_hint("kubectl mcp check"))
    }

    /// Writes `MCPPolicy/default` if it is not there, and adds what the flags say if it is.
    async fn policy(&self, first: &Value, printer: &mut Printer) -> Result<()> {
        let outcome = match live_policy(self.client).await? {
            None => {
                if self.options.policy.default_host.is_none() {
                    printer.warning(NO_DEFAULT_HOST);
                }
                self.create_policy(first).await?
            }
            Some(live) => self.extend_policy(&live).await?,
        };
        self.report(first, &outcome, printer);
        Ok(())
    }

    async fn create_policy(&self, first: &Value) -> Result<Outcome> {
        let params = PostParams {
            dry_run: self.dry_run == DryRun::Server,
            field_manager: Some(names::PLUGIN.to_owned()),
        };
        let object = serde_json::from_value(first.clone())
            .map_err(|error| Error::failed(format!("cannot make {}: {error}", name_of(first))))?;
        match kinds::api(self.client, first)
            .create(&params, &object)
            .await
            .during("cannot create the default policy")
        {
            Ok(_) => Ok(Outcome::Created),
            Err(error) if self.dry_run == DryRun::Server && error.is_not_found() => {
                Ok(Outcome::NotJudged("its kind is not served yet"))
            }
            Err(error) => Err(error),
        }
    }

    async fn extend_policy(&self, live: &MCPPolicy) -> Result<Outcome> {
        let changes = policy_changes(&live.spec, self.options)?;
        if changes.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        let spec = merge_policy(live.spec.clone(), &self.options.policy);
        // Merging takes nothing away, and the version makes sure that nobody else changed it in between.
        let patch = json!({
            "metadata": {"resourceVersion": live.metadata.resource_version},
            "spec": spec,
        });
        let params = PatchParams {
            dry_run: self.dry_run == DryRun::Server,
            field_manager: Some(names::PLUGIN.to_owned()),
            ..PatchParams::default()
        };
        let api: Api<MCPPolicy> = Api::all(self.client.clone());
        let patched = api
            .patch(names::DEFAULT_POLICY, &params, &Patch::Merge(&patch))
            .await;
        patched.during("cannot change the default policy")?;
        Ok(Outcome::Configured(changes))
    }
}

/// `MCPPolicy/default` as it is; None also while its kind is not served.
pub(crate) async fn live_policy(client: &Client) -> Result<Option<MCPPolicy>> {
    let api: Api<MCPPolicy> = Api::all(client.clone());
    match api
        .get_opt(names::DEFAULT_POLICY)
        .await
        .during("cannot get the default policy")
    {
        Err(error) if error.is_not_found() => Ok(None),
        other => other,
    }
}

/// What the flags would change in a policy.
fn policy_changes(live: &MCPPolicySpec, options: &Options) -> Result<Vec<Change>> {
    let as_value = |spec: &MCPPolicySpec| {
        serde_json::to_value(spec)
            .map_err(|error| Error::failed(format!("cannot write the default policy: {error}")))
    };
    let merged = merge_policy(live.clone(), &options.policy);
    Ok(apply::changes(&as_value(live)?, &as_value(&merged)?))
}

/// `setup diff`: what setup would change, field by field.
async fn diff(cluster: &Cluster, options: &Options, printer: &mut Printer) -> Result<Exit> {
    let mut different = false;
    for one in install::objects(options) {
        let outcome = if one.step == Step::Policy {
            match live_policy(&cluster.client).await? {
                None => Outcome::Created,
                Some(live) => match policy_changes(&live.spec, options)? {
                    changes if changes.is_empty() => Outcome::Unchanged,
                    changes => Outcome::Configured(changes),
                },
            }
        } else {
            apply::apply(&cluster.client, &one.object, DryRun::Server).await?
        };
        let name = name_of(&one.object);
        match outcome {
            Outcome::Unchanged => continue,
            Outcome::Created | Outcome::NotJudged(_) => printer.line(format_args!("+ {name}")),
            Outcome::Configured(changes) => {
                printer.line(format_args!("~ {name}"));
                for Change {
                    path,
                    before,
                    after,
                } in changes
                {
                    printer.line(format_args!("    {path}: {before} -> {after}"));
                }
            }
        }
        different = true;
    }
    Ok(if different { Exit::Found } else { Exit::Ok })
}
