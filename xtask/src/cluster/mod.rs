//! `cargo xtask cluster`: a real Kubernetes on this machine, from Go modules and the distribution's packages.
//!
//! Used by people, by `cargo xtask demo` and by the test layers. Everything a cluster keeps is in one folder; two
//! clusters in two folders know nothing of each other, but only one of them can have a node.

mod addons;
mod build;
mod control_plane;
mod node;
pub(crate) mod packages;
mod pki;
mod process;
mod settings;
mod teardown;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

pub(crate) use build::Programs;
use process::Processes;
pub(crate) use process::alive;
pub(crate) use settings::Mode;
use settings::Settings;

use crate::shell::{capture, local, succeeds};
use crate::{paths, terminal};

/// The longest name of a cluster's folder: socket paths below it end at 107 bytes.
const LONGEST_FOLDER: usize = 70;

/// The file that is locked while a cluster is started.
const LOCK: &str = "up.lock";

/// Options of `cargo xtask cluster`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Build the programs of the cluster into the cache, once
    Build {
        /// Leave out the ingress controller
        #[arg(long)]
        control_plane_only: bool,
    },
    /// Start the cluster, or what of it does not run
    Up {
        /// Only etcd, API server, controller manager and scheduler; needs no root
        #[arg(long)]
        control_plane_only: bool,
        #[command(flatten)]
        folder: Folder,
    },
    /// End the cluster and clean up after it
    Down {
        /// Keep etcd and the images for the next `up`
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        folder: Folder,
    },
    /// Show what runs; exit code 1 if something does not
    Status {
        #[command(flatten)]
        folder: Folder,
    },
    /// Print the path of the administrator's kubeconfig
    Kubeconfig {
        #[command(flatten)]
        folder: Folder,
    },
}

#[derive(Debug, clap::Args)]
struct Folder {
    /// Folder of the cluster's state; keep it short
    #[arg(long, value_name = "DIR", env = "KUBECTL_MCP_CLUSTER_DIR")]
    dir: Option<PathBuf>,
}

impl Folder {
    fn open(&self) -> Result<Cluster> {
        match &self.dir {
            Some(dir) => Cluster::at(dir),
            None => Cluster::default_one(),
        }
    }
}

/// Runs one action of the command line.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.action {
        Action::Build { control_plane_only } => {
            let programs = Programs::locate()?;
            programs.build(!control_plane_only)?;
            terminal::result(&programs.folder().display().to_string());
        }
        Action::Up {
            control_plane_only,
            folder,
        } => {
            let cluster = folder.open()?;
            cluster.up(if *control_plane_only {
                Mode::ControlPlane
            } else {
                Mode::Full
            })?;
            terminal::result(&format!(
                "export KUBECONFIG={}",
                cluster.kubeconfig().display()
            ));
        }
        Action::Down { keep, folder } => folder.open()?.down(*keep)?,
        Action::Status { folder } => return folder.open()?.status(),
        Action::Kubeconfig { folder } => {
            let cluster = folder.open()?;
            if !cluster.is_up() {
                bail!(
                    "no cluster runs in {}: run `cargo xtask cluster up` first",
                    cluster.dir.display()
                );
            }
            terminal::result(&cluster.kubeconfig().display().to_string());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One cluster, running or not.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    dir: PathBuf,
    programs: Programs,
    processes: Processes,
}

impl Cluster {
    /// The cluster that is kept in `dir`.
    pub(crate) fn at(dir: &Path) -> Result<Self> {
        let dir =
            std::path::absolute(dir).with_context(|| format!("`{}` is no path", dir.display()))?;
        let length = dir.as_os_str().len();
        if length > LONGEST_FOLDER {
            bail!(
                "the cluster's folder {} has {length} characters, at most {LONGEST_FOLDER} are possible because sockets \
                 are made below it: give a shorter one with --dir or KUBECTL_MCP_CLUSTER_DIR",
                dir.display()
            );
        }
        Ok(Self {
            processes: Processes::new(&dir),
            programs: Programs::locate()?,
            dir,
        })
    }

    /// The cluster in `KUBECTL_MCP_CLUSTER_DIR`, else in the cache.
    pub(crate) fn default_one() -> Result<Self> {
        match std::env::var_os("KUBECTL_MCP_CLUSTER_DIR") {
            Some(dir) => Self::at(Path::new(&dir)),
            None => Self::at(&paths::cache()?.join("run")),
        }
    }

    /// Why this machine cannot run a node; none if it can.
    pub(crate) fn cannot_run_node() -> Option<&'static str> {
        if !cfg!(target_os = "linux") {
            Some("a node needs Linux")
        } else if !rustix::process::geteuid().is_root() {
            Some("a node needs root for mounts, network namespaces and the packet filter")
        } else {
            None
        }
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// The folder with `kubectl`, to put on PATH.
    pub(crate) fn programs(&self) -> &Path {
        self.programs.folder()
    }

    /// The address of the node, where the ingress controller listens on ports 80 and 443.
    pub(crate) fn address(&self) -> Result<String> {
        let settings = Settings::load(&self.dir)?.context("the cluster was never started")?;
        Ok(settings.address.to_string())
    }

    /// `kubectl` as the administrator.
    pub(crate) fn kubectl(&self) -> Command {
        let mut command = local(self.programs.path("kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command
    }

    /// Makes the pods of an installed platform anew: images of one name may have changed under them.
    pub(crate) fn restart_platform(&self) -> Result<()> {
        let namespace = ["-n", "kubectl-mcp-system"];
        if self.asks(&["get", "deployment/mcp-operator", namespace[0], namespace[1]]) {
            capture(
                self.kubectl()
                    .args(namespace)
                    .args(["rollout", "restart", "deployment"]),
            )?;
        }
        Ok(())
    }

    /// True if the API server runs.
    pub(crate) fn is_up(&self) -> bool {
        self.processes.pid("apiserver").is_some()
    }

    /// True if a node runs.
    pub(crate) fn has_node(&self) -> bool {
        self.is_up() && self.processes.pid("kubelet").is_some()
    }

    /// Builds what is missing, starts what does not run, and waits until it all answers.
    pub(crate) fn up(&self, mode: Mode) -> Result<()> {
        let begin = Instant::now();
        if mode == Mode::Full {
            if let Some(reason) = Self::cannot_run_node() {
                bail!("{reason}; without it `cargo xtask cluster up --control-plane-only` works");
            }
            packages::for_node()?;
        }
        self.programs.build(mode == Mode::Full)?;
        for folder in ["pki", "run", "logs", "conf"] {
            fs::create_dir_all(self.dir.join(folder))
                .with_context(|| format!("cannot make {}", self.dir.join(folder).display()))?;
        }
        let _lock = self.lock()?;
        // containerd inherits this; with a stricter one "/" of every container is closed to all but root.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let settings = self.settings(mode)?;
        let start = Instant::now();
        let step = |name: &str| {
            terminal::note(&format!(
                "{name} ready after {:.1} s",
                start.elapsed().as_secs_f32()
            ));
        };
        control_plane::start(self, &settings)?;
        step("control plane");
        if mode == Mode::Full {
            node::start(self, &settings)?;
            step("node");
            addons::start(self, &settings)?;
            step("DNS, ingress, registry");
        }
        terminal::note(&format!(
            "cluster in {} up after {:.1} s",
            self.dir.display(),
            begin.elapsed().as_secs_f32()
        ));
        Ok(())
    }

    /// Ends everything of this cluster.
    pub(crate) fn down(&self, keep: bool) -> Result<()> {
        if !self.dir.exists() {
            terminal::note(&format!("no cluster in {}", self.dir.display()));
            return Ok(());
        }
        let start = Instant::now();
        let settings = Settings::load(&self.dir).unwrap_or_else(|error| {
            // A damaged file must not keep the rest on the machine.
            terminal::note(&format!("warning: {error:#}"));
            None
        });
        teardown::run(self, settings.as_ref(), keep)?;
        terminal::note(&format!(
            "cluster in {} down after {:.1} s",
            self.dir.display(),
            start.elapsed().as_secs_f32()
        ));
        Ok(())
    }

    fn status(&self) -> Result<ExitCode> {
        let Some(settings) = Settings::load(&self.dir)? else {
            terminal::result(&format!("no cluster in {}", self.dir.display()));
            return Ok(ExitCode::from(1));
        };
        let mut names = vec!["etcd", "apiserver", "controller-manager", "scheduler"];
        if settings.mode == Mode::Full {
            names.extend(["containerd", "kubelet", "proxy", "netpol", "registry"]);
        }
        terminal::result(&format!("folder      {}", self.dir.display()));
        terminal::result(&format!("server      {}", settings.server()));
        terminal::result(&format!("kubeconfig  {}", self.kubeconfig().display()));
        terminal::result(&format!(
            "kubectl     {}",
            self.programs.path("kubectl").display()
        ));
        if settings.mode == Mode::Full {
            terminal::result(&format!(
                "registry    https://{} as registry.test",
                settings.registry()
            ));
            terminal::result(&format!(
                "ingress     http://{} https://{0}",
                settings.address
            ));
        }
        let mut all = true;
        for name in names {
            let state = self
                .processes
                .pid(name)
                .map_or("stopped".to_owned(), |pid| format!("running, pid {pid}"));
            all &= state != "stopped";
            terminal::result(&format!("{name:<20}{state}"));
        }
        Ok(if all {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }

    /// The settings of the running cluster; new ones if nothing of it runs.
    fn settings(&self, mode: Mode) -> Result<Settings> {
        let before = Settings::load(&self.dir)?;
        let runs = self
            .processes
            .names()
            .iter()
            .any(|name| self.processes.pid(name).is_some());
        match before {
            Some(settings) if runs && settings.mode != mode => bail!(
                "the cluster in {} runs in another mode: run `cargo xtask cluster down` first, or give another folder \
                 with --dir",
                self.dir.display()
            ),
            Some(settings) if runs => Ok(settings),
            before => {
                if mode == Mode::Full && std::net::TcpListener::bind(("0.0.0.0", 10250)).is_err() {
                    bail!(
                        "port 10250 is taken, so another Kubernetes node runs on this machine: end it first"
                    );
                }
                Settings::choose(&self.dir, mode, before.as_ref())
            }
        }
    }

    /// Two `up` at once on one folder would start everything twice.
    fn lock(&self) -> Result<File> {
        let path = self.dir.join(LOCK);
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    /// The multi-call program with a component as its first argument.
    fn component(&self, component: &str) -> Command {
        let mut command = local(self.programs.path("kube"));
        command.arg(component);
        command
    }

    /// True if kubectl with these arguments succeeds.
    fn asks(&self, arguments: &[&str]) -> bool {
        succeeds(self.kubectl().args(arguments))
    }
}
