//! `cargo xtask demo`: a cluster, the platform on it, and the main job on a real MCP server, as a transcript of what a
//! person would type and see.

mod transcript;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::cluster::{Cluster, Mode};
use crate::image::{self, Everything, Profile};
use crate::shell::{capture, find};
use crate::{binaries, paths, terminal};
use transcript::Transcript;

/// The rules that the bad server breaks.
const FIVE: [&str; 5] = ["MCP0102", "MCP0105", "MCP0204", "MCP0304", "MCP0308"];

/// Where the demo's server lives.
const NAMESPACE: &str = "mcp-demo";

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which cluster: a kind cluster when there is one, else the local one; never your current context unless you say
    #[arg(long, value_enum, default_value = "auto")]
    cluster: Choice,
    /// Remove everything that the demo made
    #[arg(long)]
    down: bool,
    /// Build profile of the images and plugins
    #[arg(long, value_enum, default_value = "quick")]
    profile: Profile,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Choice {
    /// kind when it runs, else local
    Auto,
    /// The cluster of `cargo xtask cluster up`
    Local,
    /// An existing kind cluster
    Kind,
    /// The current context of your kubeconfig; its nodes must be able to pull the images
    Current,
}

/// A cluster to show the main job on.
enum Stage {
    Local(Cluster),
    Kind { name: String, kubeconfig: PathBuf },
    Current,
}

/// Runs the demo, or removes it.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let stage = Stage::choose(args.cluster)?;
    if args.down {
        return stage.down();
    }
    stage.up()?;
    terminal::note("building the plugins and the images ...");
    let bin = binaries::plugins(args.profile)?;
    let mut images = image::build(args.profile)?;
    images.push(Everything::prepare()?.image);
    stage.deliver(&images)?;
    let transcript = stage.transcript(&bin)?;
    tell(&transcript)?;
    terminal::result("");
    terminal::result("The cluster stays up. Next, try:");
    terminal::result(&format!("  {}", stage.export(&bin)?));
    for line in [
        "kubectl mcp status -A",
        "kubectl mcp grant explain --server everything get-env -n mcp-demo",
        "kubectl explain mcpserver.spec",
    ] {
        terminal::result(&format!("  {line}"));
    }
    terminal::result("Remove all of it with: cargo xtask demo --down");
    Ok(ExitCode::SUCCESS)
}

/// The main job, step by step.
fn tell(transcript: &Transcript) -> Result<()> {
    transcript.quietly(
        "kubectl create namespace mcp-demo --dry-run=client -o yaml | kubectl apply -f -",
    )?;
    for leftover in ["mcpaccessgrants", "mcpagentsessions", "mcpservers"] {
        transcript.quietly(&format!(
            "kubectl delete {leftover} --all -n mcp-demo --ignore-not-found --wait=true || true"
        ))?;
    }

    transcript.step(
        "a",
        "Set the platform up, and wait until its webhook really answers",
    );
    transcript.succeeds(
        "kubectl mcp setup --default-host mcp.example.test --allow-registry registry.test",
        &[],
    )?;

    transcript.step(
        "b",
        "A server with five mistakes is refused at apply, with all of them",
    );
    transcript.fails("kubectl apply -n mcp-demo -f docs/demo/bad.yaml", &FIVE)?;
    transcript.fails(
        "kubectl mcp lint -f docs/demo/bad.yaml --policy docs/demo/policy.yaml",
        &FIVE,
    )?;

    transcript.step(
        "c",
        "A good one needs a name, an image and its tools; the rest is filled in",
    );
    transcript.succeeds(
        "kubectl apply -n mcp-demo -f docs/demo/everything.yaml",
        &[],
    )?;
    transcript.succeeds(
        "kubectl wait -n mcp-demo mcpserver/everything --for=condition=Ready --timeout=120s",
        &[],
    )?;
    transcript.eventually(
        "kubectl get mcps -n mcp-demo",
        &["http://mcp.example.test/everything/mcp"],
    )?;
    transcript.succeeds("kubectl mcp status -n mcp-demo", &["everything"])?;

    transcript.step(
        "d",
        "Without a grant a call is denied, with the command that would allow it",
    );
    transcript.succeeds(
        "kubectl mcp session create -n mcp-demo --server everything",
        &[],
    )?;
    transcript.eventually_fails(
        "kubectl mcp server call -n mcp-demo everything echo message=hello",
        &["kubectl mcp grant create"],
    )?;

    transcript.step(
        "e",
        "With a grant it answers, and exactly the granted tools are listed",
    );
    let who = transcript.answer("kubectl auth whoami -o jsonpath='{.status.userInfo.username}'")?;
    transcript.succeeds(
        &format!("kubectl mcp grant create echo -n mcp-demo --server everything --subject human:{who} --tool echo"),
        &[],
    )?;
    transcript.eventually(
        "kubectl mcp server call -n mcp-demo everything echo message=hello",
        &["hello"],
    )?;
    transcript.succeeds("kubectl mcp server tools -n mcp-demo everything", &["echo"])?;

    transcript.step(
        "f",
        "A revoked session is denied at once, a denied person with a new session too",
    );
    let took = transcript.until_denied(
        "kubectl mcp session revoke -n mcp-demo --server everything",
        "kubectl mcp server call -n mcp-demo everything echo message=hello",
    )?;
    terminal::result(&format!(
        "from the start of the revoke command to the first denied call: {took:.0?}"
    ));
    transcript.succeeds(
        &format!("kubectl mcp grant deny -n mcp-demo --server everything --subject human:{who} --for 24h --reason demo"),
        &[],
    )?;
    transcript.succeeds(
        "kubectl mcp session create -n mcp-demo --server everything",
        &[],
    )?;
    transcript.eventually_fails(
        "kubectl mcp server call -n mcp-demo everything echo message=hello",
        &["denied"],
    )?;

    transcript.step("g", "Every call left an audit line");
    transcript.eventually(
        "kubectl mcp server logs -n mcp-demo everything --audit --tail 20",
        &["tools/call", "deny", "allow"],
    )?;

    transcript.step("h", "What removing it would remove");
    transcript.succeeds(
        "kubectl mcp setup uninstall --dry-run=client",
        &["mcp-webhook"],
    )?;
    Ok(())
}

impl Stage {
    fn choose(choice: Choice) -> Result<Self> {
        match choice {
            Choice::Local => Cluster::default_one().map(Self::Local),
            Choice::Kind => Self::kind()?
                .context("no kind cluster runs: `kind create cluster`, or take --cluster local"),
            Choice::Current => Ok(Self::Current),
            Choice::Auto => match Self::kind()? {
                Some(stage) => Ok(stage),
                None => Cluster::default_one().map(Self::Local),
            },
        }
    }

    fn kind() -> Result<Option<Self>> {
        if find("kind").is_none() {
            return Ok(None);
        }
        let names = capture(Command::new("kind").args(["get", "clusters"])).unwrap_or_default();
        let Some(name) = names.lines().map(str::trim).find(|line| !line.is_empty()) else {
            return Ok(None);
        };
        let kubeconfig = paths::target().join("demo-kind.kubeconfig");
        let text = capture(Command::new("kind").args(["get", "kubeconfig", "--name", name]))?;
        std::fs::write(&kubeconfig, text)
            .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
        Ok(Some(Self::Kind {
            name: name.to_owned(),
            kubeconfig,
        }))
    }

    fn up(&self) -> Result<()> {
        match self {
            Self::Local(cluster) => cluster.up(Mode::Full),
            Self::Kind { .. } | Self::Current => Ok(()),
        }
    }

    fn deliver(&self, images: &[image::Built]) -> Result<()> {
        match self {
            Self::Local(cluster) => image::deliver(cluster, images),
            Self::Kind { name, .. } => image::load_into_kind(name, images),
            Self::Current => {
                terminal::note(
                    "the images were built but not delivered: the current cluster must be able to pull them",
                );
                Ok(())
            }
        }
    }

    fn kubeconfig(&self) -> Result<PathBuf> {
        match self {
            Self::Local(cluster) => Ok(cluster.kubeconfig()),
            Self::Kind { kubeconfig, .. } => Ok(kubeconfig.clone()),
            Self::Current => std::env::var_os("KUBECONFIG")
                .map(PathBuf::from)
                .or_else(|| std::env::home_dir().map(|home| home.join(".kube/config")))
                .filter(|path| path.exists())
                .context("no kubeconfig: set KUBECONFIG"),
        }
    }

    /// The folders to put on PATH: the plugins, and the cluster's own kubectl where the machine has none.
    fn path(&self, bin: &std::path::Path) -> Result<std::ffi::OsString> {
        let mut folders = vec![bin.to_owned()];
        if let Self::Local(cluster) = self {
            folders.push(cluster.programs().to_owned());
        } else if find("kubectl").is_none() {
            bail!("kubectl is not on PATH");
        }
        std::env::join_paths(folders).context("a folder has a colon in its name")
    }

    fn export(&self, bin: &std::path::Path) -> Result<String> {
        let path = self.path(bin)?;
        Ok(format!(
            "export KUBECONFIG={} PATH={}:$PATH",
            self.kubeconfig()?.display(),
            path.display()
        ))
    }

    fn transcript(&self, bin: &std::path::Path) -> Result<Transcript> {
        Ok(Transcript::new(&self.kubeconfig()?, &self.path(bin)?))
    }

    fn down(&self) -> Result<ExitCode> {
        if let Self::Local(cluster) = self {
            cluster.down(false)?;
            return Ok(ExitCode::SUCCESS);
        }
        let transcript = self.transcript(&binaries::plugins(Profile::Quick)?)?;
        transcript.quietly(&format!(
            "kubectl delete namespace {NAMESPACE} --ignore-not-found"
        ))?;
        transcript.quietly("kubectl mcp setup uninstall --purge --yes")?;
        Ok(ExitCode::SUCCESS)
    }
}
