//! The programs a full cluster takes from the distribution: named when missing, installed where that is possible.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::node::PLUGIN_FOLDERS;
use crate::shell::{find, run};
use crate::terminal;

/// Program and the Debian package that brings it.
const FOR_NODE: [(&str, &str); 8] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("conntrack", "conntrack"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("setsid", "util-linux"),
];

/// Makes sure that everything for a node is there.
pub(super) fn for_node() -> Result<()> {
    let mut missing: Vec<&str> = FOR_NODE
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !PLUGIN_FOLDERS
        .iter()
        .any(|folder| Path::new(folder).join("ptp").exists())
    {
        missing.push("containernetworking-plugins");
    }
    ensure(missing)
}

/// Makes sure that Python with pip is there, which fetches Node.js from the Python index.
pub(crate) fn for_node_js() -> Result<()> {
    if find("python3").is_some()
        && crate::shell::succeeds(Command::new("python3").args(["-m", "pip", "--version"]))
    {
        return Ok(());
    }
    ensure(vec!["python3", "python3-pip"])
}

/// Makes sure that the load generator of the benchmarks is there.
pub(crate) fn for_bench() -> Result<()> {
    ensure(if find("wrk").is_none() {
        vec!["wrk"]
    } else {
        Vec::new()
    })
}

fn ensure(mut missing: Vec<&str>) -> Result<()> {
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let command = format!(
        "apt-get install -y --no-install-recommends {}",
        missing.join(" ")
    );
    if !rustix::process::geteuid().is_root() || find("apt-get").is_none() {
        bail!("Debian packages are missing, or what your distribution calls them: `{command}`");
    }
    terminal::note(&format!("installing missing packages: {command}"));
    let quiet = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
            .args(arguments);
        apt.stdout(std::process::Stdio::null());
        apt
    };
    run(&mut quiet(&["update"]))?;
    run(quiet(&["install", "-y", "--no-install-recommends"]).args(&missing))
        .with_context(|| format!("install them by hand: `{command}`"))
}
