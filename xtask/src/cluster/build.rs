//! Builds the Go programs of the cluster from their modules, once, into the cache.
//!
//! The folder's name is a hash of everything that goes in, so a changed source builds a new set and an unchanged one
//! is found by every checkout. Starts nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::image::archive::hex;
use crate::shell::{capture, find, run};
use crate::{paths, terminal};

/// The version that nodes and clients report; it must be that of `k8s.io/kubernetes` in `go.mod`.
const KUBERNETES: &str = "v1.36.3";
/// Built in a copy of its own module, because its go.mod has replace lines that a dependent does not inherit.
const TRAEFIK: &str = "github.com/traefik/traefik/v3@v3.6.12";
/// Static programs: the same file runs on the host and alone in an image.
const GO_FLAGS: &str = "-trimpath -buildvcs=false";

/// The folder of the built programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    bin: PathBuf,
    hash: String,
}

impl Programs {
    /// Where the programs of this checkout's sources are or will be.
    pub(crate) fn locate() -> Result<Self> {
        let hash = source_hash(&sources())?;
        let bin = paths::cache()?.join("cluster").join(&hash).join("bin");
        Ok(Self { bin, hash })
    }

    /// The file of one program.
    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }

    /// The folder, to put on PATH: it holds `kubectl` among others.
    pub(crate) fn folder(&self) -> &Path {
        &self.bin
    }

    /// A name for these sources, to use as the tag of images.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// Builds what is missing. `ingress` is false where only a control plane is wanted.
    pub(crate) fn build(&self, ingress: bool) -> Result<()> {
        let mut missing: Vec<&str> = ["kube", "pause", "probe"].into();
        if ingress {
            missing.push("traefik");
        }
        missing.retain(|program| !self.path(program).exists());
        if !missing.is_empty() {
            if find("go").is_none() {
                bail!(
                    "`go` 1.26 or newer is missing: install it from your distribution or from https://go.dev/dl/"
                );
            }
            fs::create_dir_all(&self.bin)
                .with_context(|| format!("cannot make {}", self.bin.display()))?;
        }
        for (number, program) in missing.iter().enumerate() {
            let start = Instant::now();
            terminal::note(&format!(
                "building {program} ({} of {}) ...",
                number + 1,
                missing.len()
            ));
            match *program {
                "traefik" => self.build_traefik()?,
                program => self.build_own(program)?,
            }
            let size =
                fs::metadata(self.path(program)).map_or(0, |metadata| metadata.len() / 1_000_000);
            terminal::note(&format!(
                "built {program}: {size} MB, {} s",
                start.elapsed().as_secs()
            ));
        }
        let kubectl = self.path("kubectl");
        if !kubectl.exists() {
            std::os::unix::fs::symlink("kube", &kubectl).context("cannot link kubectl")?;
        }
        Ok(())
    }

    fn build_own(&self, program: &str) -> Result<()> {
        let (package, linker) = match program {
            "kube" => {
                let version = "k8s.io/component-base/version";
                let (major, minor) = KUBERNETES[1..].split_once('.').expect("a version has dots");
                let minor = minor.split('.').next().unwrap_or_default();
                let linker = format!(
                    "-s -w -X {version}.gitVersion={KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
                );
                (".".to_owned(), linker)
            }
            other => (format!("./{other}"), "-s -w".to_owned()),
        };
        self.go_build(&sources(), program, &package, &linker)
    }

    fn build_traefik(&self) -> Result<()> {
        let mut download = go(&paths::workspace().join("tests"));
        let listing = capture(download.args(["mod", "download", "-json", TRAEFIK]))?;
        let listing: serde_json::Value =
            serde_json::from_str(&listing).context("go mod download wrote no JSON")?;
        let module = listing["Dir"]
            .as_str()
            .context("go mod download named no folder")?;
        let copy = tempfile::tempdir().context("cannot make a folder for the copy of Traefik")?;
        run(Command::new("cp")
            .args(["-r", "--no-preserve=mode"])
            .arg(format!("{module}/."))
            .arg(copy.path()))?;
        self.go_build(copy.path(), "traefik", "./cmd/traefik", "-s -w")
    }

    fn go_build(&self, folder: &Path, program: &str, package: &str, linker: &str) -> Result<()> {
        // Linked under another name first: what has the final name is complete.
        let part = self.path(&format!("{program}.part"));
        run(go(folder)
            .args(["build", "-ldflags", linker, "-o"])
            .arg(&part)
            .arg(package))?;
        fs::rename(&part, self.path(program)).with_context(|| format!("cannot name {program}"))
    }
}

fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", GO_FLAGS)
        .env("GOWORK", "off");
    command
}

fn sources() -> PathBuf {
    paths::workspace().join("tests/cluster/kube")
}

/// The first twelve digits of a hash over names and contents of all sources and over the versions above.
fn source_hash(folder: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for part in [KUBERNETES, TRAEFIK, GO_FLAGS, std::env::consts::ARCH] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut files = Vec::new();
    collect(folder, &mut files).with_context(|| format!("cannot list {}", folder.display()))?;
    files.sort();
    for file in files {
        let name = file.strip_prefix(folder).expect("listed below the folder");
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        hash.update(name.as_os_str().as_encoded_bytes());
        hash.update(content.len().to_le_bytes());
        hash.update(&content);
    }
    Ok(hex(&hash.finalize()[..6]))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_source_gets_another_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("main.go"), "package main").unwrap();
        let before = source_hash(folder.path()).unwrap();
        assert_eq!(before, source_hash(folder.path()).unwrap());
        fs::write(folder.path().join("main.go"), "package main\n").unwrap();
        assert_ne!(before, source_hash(folder.path()).unwrap());
    }

    #[test]
    fn the_reported_version_is_the_one_in_go_mod() {
        let module = fs::read_to_string(sources().join("go.mod")).unwrap();
        assert!(module.contains(&format!("k8s.io/kubernetes {KUBERNETES}\n")));
    }
}
