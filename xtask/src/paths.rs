//! Where things are: the checkout, and the cache outside it. Creates nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The root of the checkout.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
}

/// The folder of build output, as cargo itself uses it.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// What is built once and kept for every checkout: `KUBECTL_MCP_CACHE`, else the user's cache folder.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("KUBECTL_MCP_CACHE") {
        return std::path::absolute(dir).context("KUBECTL_MCP_CACHE is no path");
    }
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("no home folder: set KUBECTL_MCP_CACHE to a folder for what is built once")?;
    Ok(base.join("kubectl-mcp"))
}
