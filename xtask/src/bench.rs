//! `cargo xtask bench`: what the webhook costs, measured on a release build against a real API server.
//!
//! The measuring itself is `tests/bench`; this builds what it needs, brings the API server up, and ends it again.

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
    /// Measure the binaries of this profile
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::for_bench()?;
    let servers = binaries::servers(args.profile)?;
    let plugins = binaries::plugins(args.profile)?;
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
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(paths::workspace())
        .stdin(Stdio::null())
        .args([
            "bench",
            "-p",
            "tests",
            "--bench",
            "webhook",
            "--profile",
            "dev",
        ])
        .envs(environment);
    let ran = run_command(&mut cargo);
    drop(down);
    ran.map(|()| ExitCode::SUCCESS)
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
