//! The images of the project's own servers: one static binary each.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::archive::{Image, Source};
use super::{Built, Profile, Which, common_files, output};
use crate::shell::{capture, find, run};
use crate::{paths, terminal};

/// One server: its package and the binary it makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) which: Which,
    package: &'static str,
    binary: &'static str,
}

/// All that have an image.
pub(super) const ALL: [Server; 3] = [
    Server {
        which: Which::Webhook,
        package: "webhook",
        binary: "mcp-webhook",
    },
    Server {
        which: Which::Operator,
        package: "operator",
        binary: "mcp-operator",
    },
    Server {
        which: Which::Gateway,
        package: "gateway",
        binary: "mcp-gateway",
    },
];

/// Compiles the servers and writes their archives.
pub(super) fn build(servers: &[Server], profile: Profile) -> Result<Vec<Built>> {
    let target = target()?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(paths::workspace())
        .args([
            "build",
            "--locked",
            "--profile",
            profile.name(),
            "--target",
            &target,
        ])
        // One file that needs no libraries; with --target it does not reach build scripts.
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    for server in servers {
        cargo.args(["-p", server.package, "--bin", server.binary]);
    }
    run(&mut cargo)?;
    let folder = paths::target().join(&target).join(profile.name());
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

/// musl where the target and its linker are installed, else glibc, which also links static and resolves names.
fn target() -> Result<String> {
    let arch = std::env::consts::ARCH;
    let musl = format!("{arch}-unknown-linux-musl");
    let sysroot = capture(
        Command::new("rustc")
            .current_dir(paths::workspace())
            .args(["--print", "sysroot"]),
    )?;
    let installed = PathBuf::from(sysroot.trim())
        .join("lib/rustlib")
        .join(&musl)
        .join("lib")
        .exists();
    if installed && find("musl-gcc").is_some() {
        return Ok(musl);
    }
    if !cfg!(target_os = "linux") {
        bail!("images are built on Linux: elsewhere install the target {musl} and a linker for it");
    }
    Ok(format!("{arch}-unknown-linux-gnu"))
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
