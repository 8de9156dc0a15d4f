//! What a node needs beyond Kubernetes itself: a name server, an ingress controller and an image registry.
//!
//! The name server and the ingress controller run as pods, under the names other clusters use. The registry runs
//! beside the kubelet, with TLS by the cluster's authority and without a password: it holds test images only.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::settings;
use super::{Cluster, Settings};
use crate::paths;
use crate::shell::{capture, feed};

/// Starts them and waits until they answer.
pub(super) fn start(cluster: &Cluster, settings: &Settings) -> Result<()> {
    cluster.import_program("probe")?;
    let kube = cluster.import_program("kube")?;
    let traefik = cluster.import_program("traefik")?;
    cluster.apply(
        "dns.yaml",
        &[("KUBE_IMAGE", &kube), ("DNS_IP", settings::DNS_ADDRESS)],
    )?;
    let address = settings.address.to_string();
    cluster.apply(
        "ingress.yaml",
        &[("TRAEFIK_IMAGE", &traefik), ("NODE_IP", &address)],
    )?;
    registry(cluster, settings)?;
    for (namespace, deployment) in [("kube-system", "coredns"), ("traefik", "traefik")] {
        let deployment = format!("deployment/{deployment}");
        capture(cluster.kubectl().args([
            "-n",
            namespace,
            "rollout",
            "status",
            &deployment,
            "--timeout=120s",
        ]))?;
    }
    Ok(())
}

fn registry(cluster: &Cluster, settings: &Settings) -> Result<()> {
    let address = settings.registry();
    let configuration = serde_json::json!({
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": cluster.dir.join("node/registry")}, "delete": {"enabled": true}},
        "http": {"addr": address, "tls": {"certificate": "pki/registry.crt", "key": "pki/registry.key"}},
    });
    let path = cluster.dir.join("conf/registry.yaml");
    fs::write(&path, format!("{configuration:#}\n"))
        .context("cannot write the registry's configuration")?;
    cluster.processes.start(
        "registry",
        cluster
            .component("registry")
            .args(["serve", "conf/registry.yaml"]),
    )?;
    cluster
        .processes
        .wait_ready("registry", Duration::from_secs(30), || {
            TcpStream::connect(&address).is_ok()
        })
}

impl Cluster {
    /// Applies a file of `tests/cluster/addons`, its placeholders filled in.
    pub(super) fn apply(&self, file: &str, values: &[(&str, &str)]) -> Result<()> {
        let path = paths::workspace().join("tests/cluster/addons").join(file);
        let mut text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for (placeholder, value) in values {
            text = text.replace(placeholder, value);
        }
        feed(self.kubectl().args(["apply", "-f", "-"]), &text)?;
        Ok(())
    }
}
