//! `cargo xtask bench`: what the gateway and the webhook cost, measured on a release build.
//!
//! The measuring itself is `gateway/benches/calls` and `tests/bench`; this builds what they need, and for the webhook
//! brings a real API server up, and ends it again.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::binaries;
use crate::cluster::{Cluster, Mode, packages};
use crate::image::Profile;
use crate::paths;
use crate::shell::run as run_command;
use crate::test::{Down, temporary};

/// What can be chosen.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Measure only this; both are measured if none is named
    #[arg(value_enum)]
    subject: Option<Subject>,
    /// Measure the binaries of this profile
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Subject {
    /// A call through the gateway, beside the same call without it
    Gateway,
    /// A review by the webhook, with a real API server
    Webhook,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::for_bench()?;
    let wanted = |subject| args.subject.is_none_or(|only| only == subject);
    if wanted(Subject::Gateway) {
        cargo_bench("gateway", "calls", args.profile.name(), &[])?;
    }
    if wanted(Subject::Webhook) {
        webhook(args.profile)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn webhook(profile: Profile) -> Result<()> {
    let servers = binaries::servers(profile)?;
    let plugins = binaries::plugins(profile)?;
    let cluster = Cluster::at(&temporary(std::process::id())?)?;
    let down = Down(cluster.clone());
    cluster.up(Mode::ControlPlane)?;
    let programs = [
        servers.join("mcp-webhook"),
        plugins.join("kubectl-mcp-setup"),
        cluster.programs().join("kubectl"),
    ];
    let environment: [(&str, OsString); 2] = [
        ("KUBECTL_MCP_TEST_BIN", folder(&programs)?.into()),
        ("KUBECTL_MCP_TEST_KUBECONFIG", cluster.kubeconfig().into()),
    ];
    let ran = cargo_bench("tests", "webhook", "dev", &environment);
    drop(down);
    ran
}

fn cargo_bench(
    package: &str,
    bench: &str,
    profile: &str,
    environment: &[(&str, OsString)],
) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(paths::workspace())
        .stdin(Stdio::null())
        .args(["bench", "-p", package, "--bench", bench])
        .args(["--profile", profile])
        .envs(environment.iter().cloned());
    run_command(&mut cargo)
}

/// A folder with links to these programs.
fn folder(programs: &[PathBuf]) -> Result<PathBuf> {
    let folder = paths::target().join("bench-bin");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for program in programs {
        let name = program
            .file_name()
            .unwrap_or(Path::new("program").as_os_str());
        std::os::unix::fs::symlink(program, folder.join(name))
            .with_context(|| format!("cannot link {}", program.display()))?;
    }
    Ok(folder)
}
