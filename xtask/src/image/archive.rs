//! Writes an image with one layer as an OCI archive. The same input gives the same bytes: times are zero, the owner is
//! root, names are sorted, modes are 0755 or 0644.
//!
//! See the OCI image specification 1.1: image-layout.md, manifest.md, config.md, layer.md.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The user and group of our images: the "nonroot" that other base images use too.
pub(crate) const USER: u32 = 65532;

/// Something that becomes a part of the image.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// One file; `target` is absolute.
    File { host: PathBuf, target: String },
    /// A file with this text.
    Text { text: String, target: String },
    /// Everything below a folder, which becomes "/".
    Tree(PathBuf),
}

impl Source {
    /// The file `host` as `target`.
    pub(crate) fn file(host: PathBuf, target: &str) -> Self {
        Self::File {
            host,
            target: target.to_owned(),
        }
    }

    /// `text` as the file `target`.
    pub(crate) fn text(text: String, target: &str) -> Self {
        Self::Text {
            text,
            target: target.to_owned(),
        }
    }
}

/// How an image is named and started.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Host, repository and tag; a name without a host would be given a public registry's.
    pub(crate) name: String,
    entrypoint: Vec<String>,
    env: Vec<String>,
    user: Option<u32>,
}

impl Image {
    /// An image that starts `entrypoint` as root.
    pub(crate) fn new(name: String, entrypoint: &[&str]) -> Self {
        Self {
            name,
            entrypoint: entrypoint.iter().map(|&part| part.to_owned()).collect(),
            env: vec!["PATH=/usr/local/bin:/usr/bin:/bin".to_owned()],
            user: None,
        }
    }

    /// Starts as this user and group instead.
    pub(crate) fn user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// Adds an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Writes the archive and gives back the manifest's digest.
    pub(crate) fn write(&self, sources: &[Source], target: &Path) -> Result<String> {
        let mut layer = tempfile::tempfile().context("cannot make a file for a layer")?;
        let (layer_digest, layer_size) = write_layer(sources, &mut layer)?;
        let config = blob(&self.config(&layer_digest))?;
        let manifest = blob(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config.digest,
                "size": config.bytes.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer_digest,
                "size": layer_size,
            }],
        }))?;
        let index = blob(&self.index(&manifest))?;

        let file =
            File::create(target).with_context(|| format!("cannot write {}", target.display()))?;
        let mut tar = tar::Builder::new(std::io::BufWriter::new(file));
        let mut add = |name: &str, data: &mut dyn Read, size: u64| -> Result<()> {
            tar.append_data(
                &mut header(tar::EntryType::Regular, 0o644, size),
                name,
                data,
            )
            .with_context(|| format!("cannot write {}", target.display()))
        };
        add(
            "oci-layout",
            &mut &br#"{"imageLayoutVersion":"1.0.0"}"#[..],
            30,
        )?;
        add("index.json", &mut &index.bytes[..], index.size())?;
        add(
            &blob_name(&manifest.digest),
            &mut &manifest.bytes[..],
            manifest.size(),
        )?;
        add(
            &blob_name(&config.digest),
            &mut &config.bytes[..],
            config.size(),
        )?;
        layer.rewind().context("cannot read the layer again")?;
        add(&blob_name(&layer_digest), &mut layer, layer_size)?;
        tar.into_inner()
            .and_then(|mut buffer| buffer.flush())
            .with_context(|| format!("cannot write {}", target.display()))?;
        Ok(manifest.digest)
    }

    fn config(&self, layer: &str) -> Value {
        let mut run = json!({"Entrypoint": self.entrypoint, "Env": self.env});
        if let Some(user) = self.user {
            run["User"] = json!(format!("{user}:{user}"));
        }
        json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        })
    }

    fn index(&self, manifest: &Blob) -> Value {
        let tag = self.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": manifest.digest,
                "size": manifest.bytes.len(),
                "platform": {"architecture": architecture(), "os": "linux"},
                // containerd takes the name from the first, other tools the tag from the second.
                "annotations": {
                    "io.containerd.image.name": self.name,
                    "org.opencontainers.image.ref.name": tag,
                },
            }],
        })
    }
}

struct Blob {
    bytes: Vec<u8>,
    digest: String,
}

impl Blob {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn blob(value: &Value) -> Result<Blob> {
    let bytes = serde_json::to_vec(value).context("a manifest is plain data")?;
    let digest = format!("sha256:{}", hex(&Sha256::digest(&bytes)));
    Ok(Blob { bytes, digest })
}

fn blob_name(digest: &str) -> String {
    digest.replacen("sha256:", "blobs/sha256/", 1)
}

/// The architecture's name in images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

enum Entry {
    Folder,
    File(PathBuf),
    Text(String),
    Link(PathBuf),
}

fn write_layer(sources: &[Source], layer: &mut File) -> Result<(String, u64)> {
    let entries = entries(sources)?;
    let mut tar = tar::Builder::new(Hashing {
        inner: std::io::BufWriter::new(layer),
        hash: Sha256::new(),
        size: 0,
    });
    for (name, entry) in &entries {
        append(&mut tar, name, entry)
            .with_context(|| format!("cannot put /{} into a layer", name.display()))?;
    }
    let mut hashing = tar.into_inner().context("cannot finish a layer")?;
    hashing.flush().context("cannot write a layer")?;
    Ok((
        format!("sha256:{}", hex(&hashing.hash.finalize())),
        hashing.size,
    ))
}

fn append<W: Write>(tar: &mut tar::Builder<W>, name: &Path, entry: &Entry) -> std::io::Result<()> {
    match entry {
        Entry::Folder => tar.append_data(
            &mut header(tar::EntryType::Directory, 0o755, 0),
            name,
            std::io::empty(),
        ),
        Entry::Link(to) => {
            tar.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), name, to)
        }
        Entry::Text(text) => tar.append_data(
            &mut header(tar::EntryType::Regular, 0o644, text.len() as u64),
            name,
            text.as_bytes(),
        ),
        Entry::File(host) => {
            let file = File::open(host)?;
            let metadata = file.metadata()?;
            let mode = if metadata.permissions().mode() & 0o111 == 0 {
                0o644
            } else {
                0o755
            };
            tar.append_data(
                &mut header(tar::EntryType::Regular, mode, metadata.len()),
                name,
                file,
            )
        }
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// All names without the leading slash, parents included; a later source wins over an earlier one.
fn entries(sources: &[Source]) -> Result<BTreeMap<PathBuf, Entry>> {
    let mut entries = BTreeMap::new();
    for source in sources {
        match source {
            Source::File { host, target } => {
                entries.insert(relative(target)?, Entry::File(host.clone()));
            }
            Source::Text { text, target } => {
                entries.insert(relative(target)?, Entry::Text(text.clone()));
            }
            Source::Tree(root) => {
                tree(root, root, &mut entries)
                    .with_context(|| format!("cannot list {}", root.display()))?;
            }
        }
    }
    let names: Vec<PathBuf> = entries.keys().cloned().collect();
    for name in names {
        for parent in name
            .ancestors()
            .skip(1)
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            entries.entry(parent.to_owned()).or_insert(Entry::Folder);
        }
    }
    Ok(entries)
}

fn relative(target: &str) -> Result<PathBuf> {
    match target.strip_prefix('/') {
        Some(rest) if !rest.is_empty() && !rest.split('/').any(|part| part == "..") => {
            Ok(PathBuf::from(rest))
        }
        _ => bail!("`{target}` is no absolute path of a file in an image"),
    }
}

fn tree(root: &Path, folder: &Path, entries: &mut BTreeMap<PathBuf, Entry>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .strip_prefix(root)
            .expect("listed below the root")
            .to_owned();
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            entries.insert(name, Entry::Folder);
            tree(root, &path, entries)?;
        } else if kind.is_symlink() {
            entries.insert(name, Entry::Link(fs::read_link(&path)?));
        } else {
            entries.insert(name, Entry::File(path));
        }
    }
    Ok(())
}

/// Passes bytes on, and knows their hash and number.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let deep = root
            .path()
            .join("a-folder-with-a-long-name".repeat(3))
            .join("another-long-one".repeat(4));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "content").unwrap();
        std::os::unix::fs::symlink("file", deep.join("link")).unwrap();
        root
    }

    fn write(root: &Path, target: &Path) -> String {
        let image = Image::new("localhost/test:1".to_owned(), &["/program"]).user(USER);
        let sources = [
            Source::Tree(root.to_owned()),
            Source::text("hello".to_owned(), "/etc/greeting"),
        ];
        image.write(&sources, target).unwrap()
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("1.tar"), folder.path().join("2.tar"));
        assert_eq!(write(root().path(), &first), write(root().path(), &second));
        assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
    }

    #[test]
    fn every_blob_has_the_digest_that_is_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        let digest = write(root().path(), &path);
        let mut names = Vec::new();
        for entry in tar::Archive::new(File::open(path).unwrap())
            .entries()
            .unwrap()
        {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if let Some(expected) = name.strip_prefix("blobs/sha256/") {
                assert_eq!(hex(&Sha256::digest(&bytes)), expected);
            }
            names.push(name);
        }
        assert!(names.contains(&blob_name(&digest)));
        assert_eq!(names.len(), 5);
    }

    #[test]
    fn a_layer_holds_parents_first_and_belongs_to_root() {
        let folder = root();
        let mut layer = tempfile::tempfile().unwrap();
        let sources = [
            Source::text("hello".to_owned(), "/etc/ssl/greeting"),
            Source::Tree(folder.path().to_owned()),
        ];
        write_layer(&sources, &mut layer).unwrap();
        layer.rewind().unwrap();
        let mut seen: Vec<PathBuf> = Vec::new();
        for entry in tar::Archive::new(layer).entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            assert_eq!(
                (
                    entry.header().uid().unwrap(),
                    entry.header().mtime().unwrap()
                ),
                (0, 0)
            );
            if let Some(parent) = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                assert!(
                    seen.iter().any(|name| name == parent),
                    "{} before its folder",
                    path.display()
                );
            }
            seen.push(path);
        }
        assert!(seen.contains(&PathBuf::from("etc/ssl/greeting")));
        assert!(seen.iter().any(|path| path.ends_with("link")));
    }

    #[test]
    fn a_target_outside_the_image_is_refused() {
        assert!(relative("/../etc/passwd").is_err());
        assert!(relative("etc/passwd").is_err());
    }
}
