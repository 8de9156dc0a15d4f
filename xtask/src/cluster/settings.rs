//! What one cluster was started with: mode, addresses and ports, kept in `DIR/cluster.json`.
//!
//! Ports are chosen once, below the range the kernel gives to outgoing connections and below node ports, so that any
//! number of clusters fit on a machine and a restart finds the same ones.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::shell::{capture, local};

/// What runs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// etcd, API server, controller manager, scheduler; on loopback, for any user.
    ControlPlane,
    /// The same and a node with pods, DNS, network policies, ingress and a registry; for root.
    Full,
}

/// The fixed facts of a running cluster.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Settings {
    /// What runs.
    pub(crate) mode: Mode,
    /// The address of the node, or loopback.
    pub(crate) address: IpAddr,
    /// Port of the API server.
    pub(crate) api_port: u16,
    /// Port of etcd for its clients.
    pub(crate) etcd_port: u16,
    /// Port of etcd for its peers.
    pub(crate) peer_port: u16,
    /// Port of the registry, on the node's address.
    pub(crate) registry_port: u16,
    /// `/proc/sys/net/ipv4/ip_forward` as it was before.
    pub(crate) forwarded_before: bool,
    /// The tables of the packet filter as they were before.
    pub(crate) tables_before: Vec<String>,
}

/// The name of the only node.
pub(crate) const NODE: &str = "node1";
/// Addresses of Services.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The API server as pods see it: the first address of the range.
pub(crate) const SERVICE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));
/// The name server as pods see it.
pub(crate) const DNS_ADDRESS: &str = "10.96.0.10";
/// Addresses of pods; the only node gets the first /24.
pub(crate) const POD_RANGE: &str = "10.244.0.0/16";
/// See [`POD_RANGE`].
pub(crate) const NODE_POD_RANGE: &str = "10.244.0.0/24";

const FILE: &str = "cluster.json";
/// Where the search for free ports begins and ends.
const PORTS: std::ops::Range<u16> = 20_000..29_000;

impl Settings {
    /// Those of the cluster in `dir`, if it was started.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).with_context(|| {
                format!(
                    "{} is damaged: run `cargo xtask cluster down` and start again",
                    path.display()
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Chooses the address and free ports, those of the start `before` where they are free, and keeps them in `dir`.
    pub(crate) fn choose(dir: &Path, mode: Mode, before: Option<&Self>) -> Result<Self> {
        let address = match mode {
            Mode::ControlPlane => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Mode::Full => node_address()?,
        };
        let mut ports = free_ports();
        let mut port = |wanted: Option<u16>| match wanted {
            Some(port) if is_free(port) => Ok(port),
            _ => ports.next().context("no free port between 20000 and 29000"),
        };
        let usual = (mode == Mode::Full).then_some(6443);
        let settings = Self {
            mode,
            address,
            api_port: port(before.map(|before| before.api_port).or(usual))?,
            etcd_port: port(before.map(|before| before.etcd_port))?,
            peer_port: port(before.map(|before| before.peer_port))?,
            registry_port: port(before.map(|before| before.registry_port))?,
            // What the first start found counts, not what a start after a crash finds.
            forwarded_before: before.map_or_else(forwarding, |before| before.forwarded_before),
            tables_before: match (before, mode) {
                (Some(before), _) => before.tables_before.clone(),
                (None, Mode::Full) => filter_tables(),
                (None, Mode::ControlPlane) => Vec::new(),
            },
        };
        settings.save(dir)?;
        Ok(settings)
    }

    /// Keeps them in `dir`.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("settings are plain data")?;
        fs::write(dir.join(FILE), text + "\n")
            .with_context(|| format!("cannot write to {}", dir.display()))
    }

    /// The URL of the API server.
    pub(crate) fn server(&self) -> String {
        format!("https://{}:{}", self.address, self.api_port)
    }

    /// Host and port of the registry on the node.
    pub(crate) fn registry(&self) -> String {
        format!("{}:{}", self.address, self.registry_port)
    }
}

/// True if the kernel forwards packets between interfaces.
pub(crate) fn forwarding() -> bool {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1")
}

/// The tables of the packet filter as `FAMILY NAME`.
pub(crate) fn filter_tables() -> Vec<String> {
    let listed = capture(local("nft").args(["list", "tables"])).unwrap_or_default();
    listed
        .lines()
        .filter_map(|line| line.strip_prefix("table "))
        .map(str::to_owned)
        .collect()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// Free ports in order, from a start that differs between processes, so that two that search at once do not meet.
fn free_ports() -> impl Iterator<Item = u16> {
    let span = PORTS.end - PORTS.start;
    let offset = u16::try_from(std::process::id().wrapping_mul(17) % u32::from(span))
        .expect("smaller than the span");
    (0..span)
        .map(move |step| PORTS.start + (offset + step) % span)
        .filter(|port| is_free(*port))
}

/// The machine's own address towards other machines. Connecting a UDP socket sends nothing.
fn node_address() -> Result<IpAddr> {
    if let Ok(text) = std::env::var("KUBECTL_MCP_NODE_IP") {
        return text
            .parse()
            .with_context(|| format!("KUBECTL_MCP_NODE_IP is `{text}`, which is no address"));
    }
    let route = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        Ok(socket.local_addr()?.ip())
    };
    match route() {
        Ok(address) if !address.is_loopback() && !address.is_unspecified() => Ok(address),
        _ => bail!(
            "this machine has no route out, so the node's address is unknown: set KUBECTL_MCP_NODE_IP"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_as_they_were_chosen() {
        let dir = tempfile::tempdir().unwrap();
        let chosen = Settings::choose(dir.path(), Mode::ControlPlane, None).unwrap();
        let read = Settings::load(dir.path()).unwrap().unwrap();
        assert_eq!(read.api_port, chosen.api_port);
        assert_eq!(read.mode, Mode::ControlPlane);
        assert!(read.address.is_loopback());
    }

    #[test]
    fn a_start_after_a_stop_takes_the_same_ports() {
        let dir = tempfile::tempdir().unwrap();
        let first = Settings::choose(dir.path(), Mode::ControlPlane, None).unwrap();
        let second = Settings::choose(dir.path(), Mode::ControlPlane, Some(&first)).unwrap();
        assert_eq!(
            (first.api_port, first.etcd_port),
            (second.api_port, second.etcd_port)
        );
    }

    #[test]
    fn the_ports_of_one_cluster_differ_and_are_no_node_ports() {
        let ports: Vec<u16> = free_ports().take(4).collect();
        for (index, port) in ports.iter().enumerate() {
            assert!(PORTS.contains(port));
            assert!(!ports[..index].contains(port));
        }
    }

    #[test]
    fn a_damaged_file_says_how_to_start_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{").unwrap();
        let error = format!("{:#}", Settings::load(dir.path()).unwrap_err());
        assert!(error.contains("cargo xtask cluster down"), "{error}");
    }
}
