//! Stdio servers for the process tests, as their authors publish them: of npm by a committed lock file, of the Python
//! index by committed lists of versions. They are no images; only the way to Node.js is shared with the one that is.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::archive::hex;
use super::everything::{NODE_JS, node_js, npm_ci, pip_install};
use crate::{paths, terminal};

/// What decides about the content of the folder.
const SOURCES: [&str; 4] = [
    "package.json",
    "package-lock.json",
    "python.txt",
    "python-old.txt",
];

/// The folder with `npm/node_modules`, and with `python` and `python-old`, each a `PYTHONPATH`. Found in the cache, or
/// made there.
pub(crate) fn prepare() -> Result<PathBuf> {
    let sources = paths::workspace().join("tests/stdio");
    let mut hash = Sha256::new();
    hash.update(NODE_JS);
    for file in SOURCES {
        let path = sources.join(file);
        hash.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    let parent = paths::cache()?.join("stdio");
    let folder = parent.join(hex(&hash.finalize()[..6]));
    if folder.exists() {
        return Ok(folder);
    }
    terminal::note("installing the stdio servers of the tests ...");
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // Made beside the final place and moved there when complete.
    let part = tempfile::tempdir_in(&parent).context("cannot make a folder for the servers")?;
    let wheel = tempfile::tempdir_in(&parent).context("cannot make a folder for Node.js")?;
    let (node, npm) = node_js(wheel.path())?;
    npm_ci(&node, &npm, &sources, &part.path().join("npm"))?;
    for set in ["python", "python-old"] {
        let versions = sources.join(format!("{set}.txt"));
        let mut install = pip_install(&part.path().join(set));
        crate::shell::run(install.arg("--requirement").arg(versions))?;
    }
    check(&part.path().join("python"))?;
    let made = part.keep();
    fs::rename(&made, &folder)
        .with_context(|| format!("cannot move the servers to {}", folder.display()))?;
    Ok(folder)
}

/// Whether Python finds what was installed.
fn check(packages: &std::path::Path) -> Result<()> {
    let mut import = Command::new("python3");
    import.args(["-c", "import mcp_server_time"]);
    crate::shell::run(import.env("PYTHONPATH", packages).stdout(Stdio::null()))
}
