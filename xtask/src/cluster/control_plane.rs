//! etcd, the API server, the controller manager and the scheduler as background processes.
//!
//! In control-plane mode everything binds loopback and needs no rights. In full mode the API server also listens on
//! the node's address, because pods reach it there; it asks for TLS certificates or tokens and RBAC decides.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::pki::{Authority, Purpose};
use super::settings::{self, Mode};
use super::{Cluster, Settings};
use crate::paths;

/// Components of the cluster that are clients of the API server, with the identity RBAC knows.
const CLIENTS: [(&str, &str, Option<&str>); 6] = [
    ("admin", "admin", Some("system:masters")),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("proxy", "system:kube-proxy", None),
    ("netpol", "netpol", None),
    ("kubelet", "system:node:node1", Some("system:nodes")),
];

/// Starts what does not run and waits until the API server answers and pods would be admitted.
pub(super) fn start(cluster: &Cluster, settings: &Settings) -> Result<()> {
    if cluster.processes.pid("apiserver").is_none() {
        identities(cluster, settings)?;
        let policy = paths::workspace().join("tests/cluster/audit.yaml");
        fs::copy(&policy, cluster.dir.join("conf/audit.yaml"))
            .context("cannot copy the audit policy")?;
    }
    let processes = &cluster.processes;
    processes.start("etcd", &etcd(cluster, settings))?;
    processes.wait_ready("etcd", Duration::from_secs(60), || {
        etcd_ready(settings.etcd_port)
    })?;
    processes.start("apiserver", &api_server(cluster, settings))?;
    processes.wait_ready("apiserver", Duration::from_secs(120), || {
        cluster.asks(&["get", "--raw", "/readyz"])
    })?;
    processes.start("controller-manager", &controller_manager(cluster))?;
    processes.start("scheduler", &scheduler(cluster))?;
    // Without this account no pod is admitted; the controller manager makes it.
    processes.wait_ready("controller-manager", Duration::from_secs(60), || {
        cluster.asks(&["-n", "default", "get", "serviceaccount", "default"])
    })
}

fn identities(cluster: &Cluster, settings: &Settings) -> Result<()> {
    let authority = Authority::open(&cluster.dir.join("pki"))?;
    authority.service_account_key()?;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let addresses = [loopback, settings::SERVICE_ADDRESS, settings.address];
    authority.issue(
        "apiserver",
        "kube-apiserver",
        &Purpose::Server {
            names: &names,
            addresses: &addresses,
        },
    )?;
    let masters = Purpose::Client {
        group: Some("system:masters"),
    };
    authority.issue(
        "apiserver-kubelet",
        "kube-apiserver-kubelet-client",
        &masters,
    )?;
    let node = [settings.address];
    authority.issue(
        "kubelet-serving",
        "system:node:node1",
        &Purpose::Server {
            names: &[settings::NODE],
            addresses: &node,
        },
    )?;
    authority.issue(
        "registry",
        "registry",
        &Purpose::Server {
            names: &["registry.test"],
            addresses: &node,
        },
    )?;
    for (file, name, group) in CLIENTS {
        authority.issue(file, name, &Purpose::Client { group })?;
        let target = match file {
            "admin" => cluster.kubeconfig(),
            other => cluster.dir.join(format!("conf/{other}.kubeconfig")),
        };
        authority.kubeconfig(&target, &settings.server(), file)?;
    }
    Ok(())
}

/// No fsync, because the data is thrown away; no TLS, because it listens on loopback of a test machine.
fn etcd(cluster: &Cluster, settings: &Settings) -> Command {
    let client = format!("http://127.0.0.1:{}", settings.etcd_port);
    let peer = format!("http://127.0.0.1:{}", settings.peer_port);
    let mut command = cluster.component("etcd");
    command
        .args([
            "--data-dir",
            "etcd",
            "--unsafe-no-fsync",
            "--logger",
            "zap",
            "--log-level",
            "warn",
        ])
        .args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .args(["--initial-cluster", &format!("default={peer}")]);
    command
}

fn api_server(cluster: &Cluster, settings: &Settings) -> Command {
    // A loopback address may not stand in an Endpoints object, so the control plane alone writes none.
    let (bind, reconciler) = match settings.mode {
        Mode::ControlPlane => ("127.0.0.1", "none"),
        Mode::Full => ("0.0.0.0", "lease"),
    };
    let mut command = cluster.component("apiserver");
    command
        .args([
            "--etcd-servers",
            &format!("http://127.0.0.1:{}", settings.etcd_port),
        ])
        .args([
            "--bind-address",
            bind,
            "--secure-port",
            &settings.api_port.to_string(),
        ])
        .args([
            "--advertise-address",
            &settings.address.to_string(),
            "--endpoint-reconciler-type",
            reconciler,
        ])
        .args([
            "--tls-cert-file",
            "pki/apiserver.crt",
            "--tls-private-key-file",
            "pki/apiserver.key",
        ])
        .args([
            "--client-ca-file",
            "pki/ca.crt",
            "--authorization-mode",
            "Node,RBAC",
        ])
        .args([
            "--enable-admission-plugins",
            "NodeRestriction",
            "--allow-privileged",
        ])
        .args(["--kubelet-client-certificate", "pki/apiserver-kubelet.crt"])
        .args(["--kubelet-client-key", "pki/apiserver-kubelet.key"])
        .args(["--kubelet-certificate-authority", "pki/ca.crt"])
        .args(["--kubelet-preferred-address-types", "InternalIP"])
        .args([
            "--service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        ])
        .args([
            "--service-account-key-file",
            "pki/sa.pub",
            "--service-account-signing-key-file",
            "pki/sa.key",
        ])
        .args(["--service-cluster-ip-range", settings::SERVICE_RANGE])
        .args([
            "--audit-policy-file",
            "conf/audit.yaml",
            "--audit-log-path",
            "logs/audit.log",
        ])
        .args(["--audit-log-maxsize", "50", "--audit-log-maxbackup", "2"]);
    command
}

/// Port 0: no port of its own for metrics, so that several control planes fit on one machine.
fn controller_manager(cluster: &Cluster) -> Command {
    let mut command = cluster.component("controller-manager");
    command
        .args([
            "--kubeconfig",
            "conf/controller-manager.kubeconfig",
            "--secure-port",
            "0",
            "--leader-elect=false",
        ])
        .args([
            "--use-service-account-credentials",
            "--service-account-private-key-file",
            "pki/sa.key",
        ])
        .args(["--root-ca-file", "pki/ca.crt"])
        .args([
            "--cluster-signing-cert-file",
            "pki/ca.crt",
            "--cluster-signing-key-file",
            "pki/ca.key",
        ])
        .args([
            "--allocate-node-cidrs",
            "--cluster-cidr",
            settings::POD_RANGE,
        ])
        .args(["--service-cluster-ip-range", settings::SERVICE_RANGE]);
    command
}

fn scheduler(cluster: &Cluster) -> Command {
    let mut command = cluster.component("scheduler");
    command.args([
        "--kubeconfig",
        "conf/scheduler.kubeconfig",
        "--secure-port",
        "0",
        "--leader-elect=false",
    ]);
    command
}

fn etcd_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}
