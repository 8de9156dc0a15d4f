//! `cargo xtask image`: the images of the project as OCI archives, and the image of a real MCP server for the demo
//! and the cluster tests. No Docker, no registry and no base image is needed.

pub(crate) mod archive;
mod everything;
mod servers;
pub(crate) mod stdio;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

pub(crate) use everything::{EVERYTHING, Everything, node_js, npm_ci, version};

use crate::cluster::Cluster;
use crate::shell::{capture, find};
use crate::{paths, terminal};

/// Options of `cargo xtask image`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which images; the servers of the project when none is named
    #[arg(value_enum)]
    images: Vec<Which>,
    /// How the servers are compiled
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Put them into the cluster of `cargo xtask cluster up`
    #[arg(long)]
    import: bool,
    /// Put them into the kind cluster of this name
    #[arg(long, value_name = "CLUSTER")]
    kind: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Which {
    Webhook,
    Operator,
    Gateway,
    /// @modelcontextprotocol/server-everything on Node.js
    Everything,
}

/// The cargo profile of the servers.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Optimized a little, built in minutes: for the demo and the tests
    #[default]
    Quick,
    /// What is published
    Release,
}

impl Profile {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Release => "release",
        }
    }
}

/// An image in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// Its full name with the tag.
    pub(crate) name: String,
    /// The OCI archive.
    pub(crate) archive: PathBuf,
}

/// Builds the images of the command line.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let servers: Vec<servers::Server> = servers::ALL
        .into_iter()
        .filter(|server| args.images.is_empty() || args.images.contains(&server.which))
        .collect();
    let mut built = if servers.is_empty() {
        Vec::new()
    } else {
        servers::build(&servers, args.profile)?
    };
    if args.images.contains(&Which::Everything) {
        built.push(Everything::prepare()?.image);
    }
    for image in &built {
        terminal::result(&format!("{} {}", image.name, image.archive.display()));
    }
    if args.import {
        deliver(&Cluster::default_one()?, &built)?;
    }
    if let Some(cluster) = &args.kind {
        load_into_kind(cluster, &built)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the images of all servers of the project.
pub(crate) fn build(profile: Profile) -> Result<Vec<Built>> {
    servers::build(&servers::ALL, profile)
}

/// Puts images into a cluster of ours: those named `localhost/...` into the node, others into its registry, from
/// which pods pull them.
pub(crate) fn deliver(cluster: &Cluster, images: &[Built]) -> Result<()> {
    for image in images {
        if image.name.starts_with("localhost/") {
            cluster.import_archive(&image.archive)?;
        } else {
            cluster.push_archive(&image.archive, &image.name)?;
        }
    }
    cluster.restart_platform()
}

/// Puts images into every node of a kind cluster.
pub(crate) fn load_into_kind(cluster: &str, images: &[Built]) -> Result<()> {
    if find("kind").is_none() {
        bail!("`kind` is not installed: see https://kind.sigs.k8s.io/docs/user/quick-start/");
    }
    for image in images {
        capture(
            Command::new("kind")
                .args(["load", "image-archive", "--name", cluster])
                .arg(&image.archive),
        )?;
    }
    Ok(())
}

/// Where archives of the project's own images go.
fn output(name: &str) -> Result<PathBuf> {
    let folder = paths::target().join("images");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.join(format!("{name}.tar")))
}

/// What every image holds besides its program: the certificate authorities of this machine, and a name for the user.
fn common_files() -> Result<Vec<archive::Source>> {
    const BUNDLES: [&str; 3] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    ];
    let bundle = BUNDLES
        .into_iter()
        .find(|path| Path::new(path).exists())
        .context("no bundle of certificate authorities on this machine: install the package ca-certificates")?;
    let user = archive::USER;
    Ok(vec![
        archive::Source::file(PathBuf::from(bundle), "/etc/ssl/certs/ca-certificates.crt"),
        archive::Source::text(
            format!(
                "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:{user}:{user}:nonroot:/:/sbin/nologin\n"
            ),
            "/etc/passwd",
        ),
        archive::Source::text(format!("root:x:0:\nnonroot:x:{user}:\n"), "/etc/group"),
    ])
}
