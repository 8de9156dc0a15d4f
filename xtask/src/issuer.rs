//! The authorization server of the gateway's tests: npm's oidc-provider, by a committed lock file, kept in the cache.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::image::{node_js, npm_ci, version};
use crate::{cluster, paths, terminal};

/// The folder with its `node_modules`. It is fetched when it is not there yet.
pub(crate) fn prepare() -> Result<PathBuf> {
    let sources = paths::workspace().join("tests/issuer");
    let parent = paths::cache()?.join("issuer");
    let folder = parent.join(version(&sources)?);
    if folder.exists() {
        return Ok(folder);
    }
    terminal::note("fetching the authorization server of the tests ...");
    cluster::packages::for_node_js()?;
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // Made beside the final place and moved there when complete.
    let part = tempfile::tempdir_in(&parent).context("cannot make a folder for the packages")?;
    let wheel = part.path().join("wheel");
    let (node, npm) = node_js(&wheel)?;
    let modules = part.path().join("modules");
    npm_ci(&node, &npm, &sources, &modules)?;
    fs::rename(&modules, &folder)
        .with_context(|| format!("cannot move the packages to {}", folder.display()))?;
    Ok(folder)
}
