//! The images of the project's own servers: one static binary each.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::archive::{Image, Source};
use super::{Built, Profile, Which, common_files, output};
use crate::{binaries, terminal};

/// One server and its binary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) which: Which,
    binary: &'static str,
}

/// All that have an image.
pub(super) const ALL: [Server; 3] = [
    Server {
        which: Which::Webhook,
        binary: "mcp-webhook",
    },
    Server {
        which: Which::Operator,
        binary: "mcp-operator",
    },
    Server {
        which: Which::Gateway,
        binary: "mcp-gateway",
    },
];

/// Compiles the servers and writes the archives of some of them.
pub(super) fn build(servers: &[Server], profile: Profile) -> Result<Vec<Built>> {
    let folder = binaries::servers(profile)?;
    servers
        .iter()
        .map(|server| pack(&folder, *server))
        .collect()
}

fn pack(folder: &Path, server: Server) -> Result<Built> {
    let binary = folder.join(server.binary);
    let size = std::fs::metadata(&binary)
        .with_context(|| format!("cargo built no {}", server.binary))?
        .len();
    if !is_static(&binary)? {
        bail!(
            "{} is not static: it would not start in an image of its own",
            binary.display()
        );
    }
    let entrypoint = format!("/{}", server.binary);
    let name = format!(
        "localhost/kubectl-mcp/{}:{}",
        server.binary,
        env!("CARGO_PKG_VERSION")
    );
    let image = Image::new(name.clone(), &[&entrypoint]).user(super::archive::USER);
    let mut sources = common_files()?;
    sources.push(Source::file(binary, &entrypoint));
    let archive = output(server.binary)?;
    let digest = image.write(&sources, &archive)?;
    terminal::note(&format!(
        "{name}: binary of {:.1} MB, {digest}",
        size_in_megabytes(size)
    ));
    Ok(Built { name, archive })
}

/// True if the ELF file names no program interpreter (`PT_INTERP`, ELF specification 5).
fn is_static(binary: &Path) -> Result<bool> {
    let bytes =
        std::fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let number = |offset: usize, size: usize| -> Option<u64> {
        let field = bytes.get(offset..offset.checked_add(size)?)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    };
    let headers = || -> Option<bool> {
        let table = usize::try_from(number(32, 8)?).ok()?;
        let size = usize::try_from(number(54, 2)?).ok()?;
        let count = usize::try_from(number(56, 2)?).ok()?;
        for index in 0..count {
            if number(table + index * size, 4)? == 3 {
                return Some(false);
            }
        }
        Some(true)
    };
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        bail!("{} is no 64-bit little-endian ELF file", binary.display());
    }
    headers().with_context(|| format!("{} is cut off", binary.display()))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of files, shown with one decimal"
)]
fn size_in_megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
