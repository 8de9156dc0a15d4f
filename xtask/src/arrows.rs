//! The arrows between the crates: which may depend on which, and what the pure ones must not pull in.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::paths;
use crate::shell::capture;

/// Crates of the workspace that others may depend on, and who may: `*` is everybody, `plugins` every plugin.
const USERS: [(&str, &[&str]); 5] = [
    ("api", &["*"]),
    (
        "rules",
        &[
            "access", "webhook", "operator", "gateway", "common", "plugins",
        ],
    ),
    ("access", &["operator", "gateway", "common", "plugins"]),
    ("daemon", &["webhook", "operator", "gateway"]),
    ("common", &["plugins"]),
];

/// Crates that decide and build only.
const PURE: [&str; 3] = ["api", "rules", "access"];

/// What does input and output, or reads a clock for it.
const IMPURE: [&str; 6] = [
    "tokio",
    "kube-client",
    "kube-runtime",
    "hyper",
    "reqwest",
    "axum",
];

/// Fails on the first arrow that goes the wrong way.
pub(crate) fn check() -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let listed = capture(cargo.current_dir(paths::workspace()).args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--locked",
    ]))?;
    let metadata: Value = serde_json::from_str(&listed).context("cargo metadata wrote no JSON")?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let from = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let ours = dependency["path"].is_string();
            let shipped = dependency["kind"].is_null();
            if ours && shipped && !allowed(from, to) {
                bail!("{from} must not depend on {to}: see the arrows in docs/development.md");
            }
        }
    }
    PURE.iter().try_for_each(|package| pure(package))
}

fn allowed(from: &str, to: &str) -> bool {
    USERS.iter().any(|(used, users)| {
        *used == to
            && users.iter().any(|user| {
                *user == "*"
                    || *user == from
                    || *user == "plugins" && from.starts_with("kubectl-mcp")
            })
    }) || ["tests", "xtask"].contains(&from)
}

fn pure(package: &str) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let tree = capture(cargo.current_dir(paths::workspace()).args([
        "tree", "--locked", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{lib}",
    ]))?;
    match tree
        .lines()
        .find(|line| IMPURE.iter().any(|name| line.replace('_', "-") == *name))
    {
        Some(found) => bail!("{package} must stay pure, but pulls in {found}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_never_depend_on_one_another() {
        assert!(allowed("webhook", "rules") && allowed("kubectl-mcp-grant", "access"));
        assert!(allowed("kubectl-mcp", "common") && allowed("kubectl-mcp-grant", "common"));
        assert!(!allowed("webhook", "operator") && !allowed("kubectl-mcp-setup", "daemon"));
        assert!(!allowed("rules", "access"));
    }
}
