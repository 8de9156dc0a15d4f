//! Compiles the servers and the plugins, all of them in one call of cargo: each subset of packages would have its own
//! features, and build the whole tree of dependencies once more.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::image::Profile;
use crate::paths;
use crate::shell::{capture, find, run};

/// The packages whose binaries go into images.
const SERVERS: [&str; 3] = ["webhook", "operator", "gateway"];
/// The packages that people have on PATH, each with a binary of the same name.
const PLUGINS: [&str; 5] = [
    "kubectl-mcp",
    "kubectl-mcp-setup",
    "kubectl-mcp-server",
    "kubectl-mcp-grant",
    "kubectl-mcp-policy",
];

/// Compiles the servers, static and for Linux; the folder they are in.
pub(crate) fn servers(profile: Profile) -> Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return all(profile);
    }
    compile(profile, &SERVERS, Some(&linux_target()?))
}

/// Compiles the plugins for this machine; the folder they are in.
pub(crate) fn plugins(profile: Profile) -> Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return all(profile);
    }
    compile(profile, &PLUGINS, None)
}

fn all(profile: Profile) -> Result<PathBuf> {
    let packages: Vec<&str> = SERVERS.iter().chain(&PLUGINS).copied().collect();
    compile(profile, &packages, Some(&linux_target()?))
}

fn compile(profile: Profile, packages: &[&str], target: Option<&str>) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::workspace()).args([
        "build",
        "--locked",
        "--bins",
        "--profile",
        profile.name(),
    ]);
    let mut folder = paths::target();
    if let Some(target) = target {
        // One file that needs no libraries; with --target it does not reach build scripts.
        cargo
            .args(["--target", target])
            .env("RUSTFLAGS", "-C target-feature=+crt-static");
        folder.push(target);
    }
    for package in packages {
        cargo.args(["-p", package]);
    }
    run(&mut cargo)?;
    Ok(folder.join(profile.name()))
}

/// musl where the target and its linker are installed, else glibc, which also links static and resolves names.
fn linux_target() -> Result<String> {
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
