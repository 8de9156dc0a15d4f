//! The node of a full cluster: containerd, kubelet, kube-proxy and the enforcer of network policies.
//!
//! Pods hang on point-to-point links (the `ptp` plugin), so the host routes every packet between them and Services
//! and policies see it without bridge filtering.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::settings;
use super::{Cluster, Settings};
use crate::image::archive::{Image, Source};
use crate::shell::{capture, local, succeeds};

/// Where distributions put the CNI plugins.
pub(super) const PLUGIN_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// The name of the pods' network.
pub(super) const NETWORK: &str = "kubectl-mcp-pods";

/// Starts what does not run and waits for the node to be Ready.
pub(super) fn start(cluster: &Cluster, settings: &Settings) -> Result<()> {
    for folder in [
        "node/cni",
        "node/certs.d/registry.test",
        "node/kubelet",
        "node/pods",
    ] {
        fs::create_dir_all(cluster.dir.join(folder))
            .with_context(|| format!("cannot make {folder}"))?;
    }
    forward_packets()?;
    write_changed(
        &cluster.dir.join("node/cni/10-ptp.conflist"),
        &network(&cluster.dir)?,
    )?;
    write_changed(
        &cluster.dir.join("node/containerd.toml"),
        &containerd(cluster)?,
    )?;
    write_changed(
        &cluster.dir.join("node/certs.d/registry.test/hosts.toml"),
        &registry_host(cluster, settings),
    )?;

    let processes = &cluster.processes;
    processes.start(
        "containerd",
        local("containerd").args(["-c", "node/containerd.toml"]),
    )?;
    processes.wait_ready("containerd", Duration::from_secs(60), || {
        succeeds(cluster.ctr().arg("version"))
    })?;
    cluster.import_program("pause")?;

    let kubelet = cluster.dir.join("node/kubelet");
    write_changed(
        &cluster.dir.join("conf/kubelet.yaml"),
        &kubelet_configuration(cluster),
    )?;
    processes.start(
        "kubelet",
        cluster
            .component("kubelet")
            .args([
                "--config",
                "conf/kubelet.yaml",
                "--kubeconfig",
                "conf/kubelet.kubeconfig",
            ])
            .arg("--root-dir")
            .arg(&kubelet)
            .arg("--cert-dir")
            .arg(kubelet.join("pki"))
            .args([
                "--hostname-override",
                settings::NODE,
                "--node-ip",
                &settings.address.to_string(),
            ]),
    )?;
    // kube-proxy watches this file and ends when it is written, so it is only written when it differs.
    write_changed(
        &cluster.dir.join("conf/proxy.yaml"),
        &proxy_configuration(&cluster.dir),
    )?;
    processes.start(
        "proxy",
        cluster
            .component("proxy")
            .args(["--config", "conf/proxy.yaml"]),
    )?;
    cluster.apply("netpol.yaml", &[])?;
    processes.start(
        "netpol",
        cluster
            .component("netpol")
            .args(["-kubeconfig", "conf/netpol.kubeconfig"]),
    )?;
    processes.wait_ready("kubelet", Duration::from_secs(90), || {
        cluster.asks(&[
            "wait",
            "--for=condition=Ready",
            "node/node1",
            "--timeout=1s",
        ])
    })
}

/// The name of a program's image; it changes with the sources.
fn program_image(cluster: &Cluster, program: &str) -> String {
    format!("localhost/{program}:{}", cluster.programs.hash())
}

fn forward_packets() -> Result<()> {
    if settings::forwarding() {
        return Ok(());
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")
        .context("cannot turn on IPv4 forwarding, which pods need")
}

/// Writes the file if its content differs.
fn write_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn plugin_folder() -> Result<&'static str> {
    PLUGIN_FOLDERS
        .into_iter()
        .find(|folder| PathBuf::from(folder).join("ptp").exists())
        .context("no CNI plugins in /usr/lib/cni nor /opt/cni/bin")
}

fn network(dir: &Path) -> Result<String> {
    let network = serde_json::json!({
        "cniVersion": "0.4.0",
        "name": NETWORK,
        "plugins": [
            {"type": "ptp", "ipMasq": true, "ipam": {
                "type": "host-local",
                "dataDir": dir.join("node/ipam"),
                "ranges": [[{"subnet": settings::NODE_POD_RANGE}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            }},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    serde_json::to_string_pretty(&network).context("a network configuration is plain data")
}

/// `restrict_oom_score_adj`: where the machine is itself a container, lowering the score is not allowed.
/// `disable_apparmor`: the profile that containerd would load is not needed by tests.
fn containerd(cluster: &Cluster) -> Result<String> {
    let dir = cluster.dir.display();
    let plugins = plugin_folder()?;
    let pause = program_image(cluster, "pause");
    let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
    Ok(format!(
        r#"version = 2
root = "{dir}/node/containerd/root"
state = "{dir}/node/containerd/state"
[grpc]
  address = "{dir}/run/ctd.sock"
[{cri}]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [{cri}.cni]
    bin_dir = "{plugins}"
    conf_dir = "{dir}/node/cni"
  [{cri}.registry]
    config_path = "{dir}/node/certs.d"
  [{cri}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [{cri}.containerd.runtimes.runc.options]
      SystemdCgroup = false
"#
    ))
}

/// The name `registry.test` need not resolve: containerd maps it to the node's registry at every pull.
fn registry_host(cluster: &Cluster, settings: &Settings) -> String {
    let server = format!("https://{}", settings.registry());
    let authority = cluster.dir.join("pki/ca.crt");
    format!(
        "server = \"{server}\"\nca = \"{authority}\"\n[host.\"{server}\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]\n  ca = \"{authority}\"\n",
        authority = authority.display()
    )
}

/// `syncFrequency`: a changed Secret or `ConfigMap` reaches its volume within about this time instead of a minute.
/// Image collection and eviction are off in effect: images made by hand could not be pulled again.
fn kubelet_configuration(cluster: &Cluster) -> String {
    let dir = cluster.dir.display();
    let dns = settings::DNS_ADDRESS;
    format!(
        r"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {dir}/pki/ca.crt}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {dir}/pki/kubelet-serving.crt
tlsPrivateKeyFile: {dir}/pki/kubelet-serving.key
containerRuntimeEndpoint: unix://{dir}/run/ctd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
clusterDomain: cluster.local
clusterDNS: [{dns}]
syncFrequency: 5s
podLogsDir: {dir}/node/pods
volumePluginDir: {dir}/node/volume-plugins
evictionHard: {{memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
"
    )
}

/// nftables mode also drops what goes to a Service address that nobody has; the iptables mode lets it leave by the
/// default route, where somebody else may answer.
fn proxy_configuration(dir: &Path) -> String {
    let dir = dir.display();
    let (pods, node) = (settings::POD_RANGE, settings::NODE);
    format!(
        r"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: {pods}
hostnameOverride: {node}
clientConnection: {{kubeconfig: {dir}/conf/proxy.kubeconfig}}
conntrack: {{maxPerCore: 0, min: 0}}
"
    )
}

impl Cluster {
    /// Puts the image of one program into the node's containerd, unless it is there, and gives back its name.
    ///
    /// The archive is written once per build and kept beside the program.
    pub(super) fn import_program(&self, program: &str) -> Result<String> {
        let name = program_image(self, program);
        let filter = format!("name=={name}");
        let present = capture(
            self.ctr()
                .args(["-n", "k8s.io", "image", "ls", "-q", &filter]),
        )?;
        if !present.trim().is_empty() {
            return Ok(name);
        }
        let archive = self.programs.path(&format!("{program}.image"));
        if !archive.exists() {
            let part = self.programs.path(&format!("{program}.image.part"));
            let entrypoint = format!("/{program}");
            let source = Source::file(self.programs.path(program), &entrypoint);
            Image::new(name.clone(), &[&entrypoint]).write(&[source], &part)?;
            fs::rename(&part, &archive)
                .with_context(|| format!("cannot name {}", archive.display()))?;
        }
        self.import_archive(&archive)?;
        Ok(name)
    }

    /// The image of the small client and server of the tests.
    pub(crate) fn probe_image(&self) -> String {
        program_image(self, "probe")
    }

    /// Puts the images of an archive into the node's containerd, replacing those of the same names.
    pub(crate) fn import_archive(&self, archive: &Path) -> Result<()> {
        self.needs_node()?;
        capture(
            self.ctr()
                .args(["-n", "k8s.io", "image", "import"])
                .arg(archive),
        )
        .with_context(|| format!("cannot import {}", archive.display()))?;
        Ok(())
    }

    /// Sends an image of an archive to the cluster's registry and takes it out of the node again, so that the first
    /// pod that uses it has to pull it. `name` begins with `registry.test/`.
    pub(crate) fn push_archive(&self, archive: &Path, name: &str) -> Result<()> {
        self.needs_node()?;
        // A namespace of its own: the kubelet sees only k8s.io.
        let ctr = |arguments: &[&str]| {
            let mut command = self.ctr();
            command.args(["-n", "push", "image"]).args(arguments);
            command
        };
        capture(ctr(&["import", "--no-unpack"]).arg(archive))
            .or_else(|_| capture(ctr(&["import"]).arg(archive)))
            .with_context(|| format!("cannot read {}", archive.display()))?;
        let hosts = self.dir.join("node/certs.d");
        capture(ctr(&["push", "--hosts-dir"]).arg(hosts).arg(name))
            .with_context(|| format!("cannot push {name} to the cluster's registry"))?;
        capture(&mut ctr(&["rm", name]))?;
        Ok(())
    }

    fn needs_node(&self) -> Result<()> {
        if self.processes.pid("containerd").is_none() {
            bail!(
                "no node runs in {}: run `cargo xtask cluster up` first",
                self.dir.display()
            );
        }
        Ok(())
    }

    /// `ctr` on the cluster's containerd.
    pub(super) fn ctr(&self) -> std::process::Command {
        let mut command = local("ctr");
        command.arg("-a").arg(self.dir.join("run/ctd.sock"));
        command
    }
}
