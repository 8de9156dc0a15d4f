//! Builds the plugins, as a person would have them on PATH.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::paths;
use crate::shell::run;

/// The packages, each with a binary of the same name.
const PACKAGES: [&str; 5] = [
    "kubectl-mcp",
    "kubectl-mcp-setup",
    "kubectl-mcp-server",
    "kubectl-mcp-grant",
    "kubectl-mcp-policy",
];

/// Builds all plugins with a cargo profile; the folder they are in.
pub(crate) fn build(profile: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(paths::workspace())
        .args(["build", "--locked", "--profile", profile]);
    for package in PACKAGES {
        cargo.args(["-p", package]);
    }
    run(&mut cargo)?;
    // The profile `dev` has a folder of another name.
    Ok(paths::target().join(if profile == "dev" { "debug" } else { profile }))
}
