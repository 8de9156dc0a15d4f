//! `cargo xtask gen`: writes the generated files. They are committed; CI generates again and compares.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::shell::capture;
use crate::{paths, terminal};

/// Options of `cargo xtask gen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if a committed file differs from what would be generated
    #[arg(long)]
    check: bool,
}

/// Generates or compares everything.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.check {
        check()?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, text) in stale()? {
        let path = paths::workspace().join(&name);
        let folder = path.parent().context("a generated file is in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        terminal::note(&format!("wrote {name}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails if a committed file differs from what would be generated.
pub(crate) fn check() -> Result<()> {
    let names: Vec<String> = stale()?.into_iter().map(|(name, _)| name).collect();
    if !names.is_empty() {
        bail!(
            "{} no longer match the code: run `cargo xtask gen` and commit the result",
            names.join(", ")
        );
    }
    Ok(())
}

/// The generated files that differ from those in the checkout, with what they should hold.
fn stale() -> Result<Vec<(String, String)>> {
    let mut files = manifests()?;
    files.push((
        "docs/rules/README.md".to_owned(),
        cargo_run(&["-p", "rules", "--example", "docs_index"])?,
    ));
    files.retain(|(name, text)| {
        !fs::read_to_string(paths::workspace().join(name)).is_ok_and(|old| old == *text)
    });
    Ok(files)
}

/// What `kubectl mcp setup` installs: each CRD in a file of its own, and the rest as one install manifest.
fn manifests() -> Result<Vec<(String, String)>> {
    let all = cargo_run(&[
        "-p",
        "kubectl-mcp-setup",
        "--",
        "setup",
        "--dry-run=client",
        "-o",
        "yaml",
        "--default-host",
        "mcp.example.test",
        "--allow-registry",
        "registry.test",
    ])?;
    let mut files = Vec::new();
    let mut install = String::new();
    for document in all.split("---\n").filter(|text| !text.trim().is_empty()) {
        if let Some(plural) = crd_name(document) {
            files.push((format!("manifests/crds/{plural}.yaml"), document.to_owned()));
        } else {
            install.push_str("---\n");
            install.push_str(document);
        }
    }
    files.push(("manifests/install/install.yaml".to_owned(), install));
    Ok(files)
}

/// The plural of a CRD's kind; none if the document is something else.
fn crd_name(document: &str) -> Option<&str> {
    document
        .lines()
        .find(|line| *line == "kind: CustomResourceDefinition")?;
    document.lines().find_map(|line| {
        line.strip_prefix("  name: ")?
            .strip_suffix(".kubectl-mcp.dev")
    })
}

fn cargo_run(arguments: &[&str]) -> Result<String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    capture(
        cargo
            .current_dir(paths::workspace())
            .args(["run", "--quiet", "--locked"])
            .args(arguments),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crd_is_told_from_other_objects_by_its_kind() {
        let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: mcpservers.kubectl-mcp.dev\n";
        assert_eq!(crd_name(crd), Some("mcpservers"));
        assert_eq!(
            crd_name("kind: Namespace\nmetadata:\n  name: x.kubectl-mcp.dev\n"),
            None
        );
    }
}
