//! `cargo xtask soak`: what shows only after a while. Half an hour of right and wrong calls through the gateway, which is
//! `gateway/tests/soak.rs`, of which `cargo xtask test` runs a sample; and an hour of kept-alive connections between Go's
//! HTTP client, which every API server uses, and a real webhook beside a real API server, whose client is `tests/soak`.
//!
//! This builds what they need, brings it up, and ends it again.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::cluster::{Cluster, Mode};
use crate::image::Profile;
use crate::shell::{local, run as run_command, wait_until};
use crate::test::{Down, temporary};
use crate::{paths, terminal};

/// How long the webhook may take until it is ready.
const START: Duration = Duration::from_secs(60);

/// Options of `cargo xtask soak`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this; both if none is named
    #[arg(value_enum)]
    subject: Option<Subject>,
    /// How long, such as 4m or 1h30m, instead of 30m for the gateway and 1h for the webhook. Less than 3m tests nothing
    /// of the webhook
    #[arg(long = "for", value_name = "DURATION", value_parser = seconds)]
    long: Option<u64>,
    /// Soak the gateway of this profile
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Pauses between two uses of a connection. Go's client keeps an idle connection for 90 s
    #[arg(long, value_name = "LIST", default_value = "29s,31s,89s,91s")]
    pauses: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Subject {
    /// 500 messages a second while the bundle changes every second
    Gateway,
    /// Kept-alive connections that are used again after pauses
    Webhook,
}

/// A duration such as `1h30m`, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let read = || {
        let mut total = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (number, after) = rest.split_at(rest.find(['h', 'm', 's'])?);
            let unit = match after.as_bytes()[0] {
                b'h' => 3600,
                b'm' => 60,
                _ => 1,
            };
            total += number.parse::<u32>().ok().map(u64::from)? * unit;
            rest = &after[1..];
        }
        (total > 0).then_some(total)
    };
    read().ok_or_else(|| "must be a duration, for example 4m or 1h30m".to_owned())
}

/// Soaks what was asked for.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let wanted = |subject| args.subject.is_none_or(|only| only == subject);
    if wanted(Subject::Gateway) {
        soak_gateway(args.long.unwrap_or(30 * 60), args.profile)?;
    }
    if wanted(Subject::Webhook) {
        soak_webhook(args.long.unwrap_or(60 * 60), &args.pauses)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn soak_gateway(seconds: u64, profile: Profile) -> Result<()> {
    terminal::note(&format!("soaking the gateway for {seconds} s ..."));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(paths::workspace())
        .stdin(Stdio::null())
        .env("KUBECTL_MCP_SOAK_SECONDS", seconds.to_string())
        .args(["test", "-p", "gateway", "--test", "soak"])
        .args(["--profile", profile.name(), "--", "--nocapture"]);
    run_command(&mut cargo)
}

/// Brings everything up, waits for the client's verdict, and ends everything.
fn soak_webhook(seconds: u64, pauses: &str) -> Result<()> {
    let client = build()?;
    let cluster = Cluster::at(&temporary(std::process::id())?)?;
    let down = Down(cluster.clone());
    cluster.up(Mode::ControlPlane)?;
    run_command(
        local(cluster.programs().join("kubectl"))
            .env("KUBECONFIG", cluster.kubeconfig())
            .args(["apply", "--server-side", "-f"])
            .arg(paths::workspace().join("manifests/crds")),
    )?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    certificate(folder.path())?;
    let review = folder.path().join("review.json");
    fs::write(&review, REVIEW).context("cannot write the review")?;
    let (port, webhook) = webhook(&cluster, folder.path())?;
    terminal::note(&format!("soaking the webhook for {seconds} s ..."));
    let ran = run_command(
        local(client)
            .args(["-url", &format!("https://127.0.0.1:{port}/mutate")])
            .arg("-ca")
            .arg(folder.path().join("ca.crt"))
            .arg("-body")
            .arg(&review)
            .args(["-for", &format!("{seconds}s"), "-pauses", pauses]),
    );
    drop(webhook);
    drop(down);
    ran
}

/// Builds the webhook and the client; the client's file.
fn build() -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(paths::workspace())
        .args(["build", "--locked", "-p", "webhook", "--bins"]);
    run_command(&mut cargo)?;
    let client = paths::target().join("soak");
    run_command(
        Command::new("go")
            .current_dir(paths::workspace().join("tests/soak"))
            .env("GOWORK", "off")
            .args(["build", "-o"])
            .arg(&client)
            .arg("."),
    )?;
    Ok(client)
}

/// An authority and a certificate for loopback.
fn certificate(folder: &Path) -> Result<()> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = ca.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?
        .signed_by(&key, &Issuer::from_params(&ca, &ca_key))?;
    for (name, text) in [
        ("ca.crt", authority.pem()),
        ("tls.crt", leaf.pem()),
        ("tls.key", key.serialize_pem()),
    ] {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// The webhook as a process, ended when dropped.
struct Webhook(Child);

impl Drop for Webhook {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the webhook and waits until it is ready: its port, and the process.
fn webhook(cluster: &Cluster, folder: &Path) -> Result<(u16, Webhook)> {
    let (port, admin) = (free_port()?, free_port()?);
    let child = local(paths::target().join("debug/mcp-webhook"))
        .env("KUBECONFIG", cluster.kubeconfig())
        .args([
            format!("--listen=127.0.0.1:{port}"),
            format!("--admin=127.0.0.1:{admin}"),
        ])
        .arg("--cert-dir")
        .arg(folder)
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start mcp-webhook")?;
    let webhook = Webhook(child);
    if !wait_until(START, || is_ready(admin)) {
        bail!("mcp-webhook is not ready after {} s", START.as_secs());
    }
    Ok((port, webhook))
}

fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("loopback has no free port")?;
    Ok(listener.local_addr()?.port())
}

fn is_ready(admin: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, admin))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// What an API server posts when somebody creates a server.
const REVIEW: &str = r#"{
  "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
  "request": {
    "uid": "11111111-2222-3333-4444-555555555555",
    "kind": {"group": "kubectl-mcp.dev", "version": "v1alpha1", "kind": "MCPServer"},
    "resource": {"group": "kubectl-mcp.dev", "version": "v1alpha1", "resource": "mcpservers"},
    "name": "one", "namespace": "default", "operation": "CREATE",
    "userInfo": {"username": "admin", "groups": ["system:masters"]},
    "object": {
      "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
      "metadata": {"name": "one", "namespace": "default"},
      "spec": {"image": "registry.test/mcp/everything:1.0.0", "tools": [{"name": "echo", "sideEffect": "read"}]}
    },
    "oldObject": null, "dryRun": false, "options": null
  }
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_units() {
        for (good, expected) in [("4m", 240), ("1h", 3600), ("1h30m", 5400), ("200s", 200)] {
            assert_eq!(seconds(good), Ok(expected));
        }
        for bad in ["", "4", "m", "four minutes", "-4m", "4d", "1h30", "0s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
