//! Ends a cluster and takes back what it left on the machine: processes, mounts, network namespaces, packet filter
//! rules, cgroups. Every step is tried even if another fails, so a cluster that came up only in part goes too.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::mount::{UnmountFlags, unmount};

use super::node::NETWORK;
use super::settings::{Mode, filter_tables};
use super::{Cluster, Settings};
use crate::shell::{capture, feed, find, local, succeeds, wait_until};

/// What a cluster keeps in its folder, without what `--keep` saves.
const STATE: [&str; 9] = [
    "etcd",
    "node",
    "run",
    "logs",
    "conf",
    "pki",
    "admin.kubeconfig",
    "cluster.json",
    super::LOCK,
];

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// Ends the cluster. With `keep`, etcd and the images stay for the next start.
pub(super) fn run(cluster: &Cluster, settings: Option<&Settings>, keep: bool) -> Result<()> {
    let processes = &cluster.processes;
    // Only etcd and containerd keep anything; the API server would wait a minute for its watchers.
    let stateless = [
        "kubelet",
        "proxy",
        "netpol",
        "registry",
        "scheduler",
        "controller-manager",
        "apiserver",
    ];
    processes.stop(&stateless, Duration::from_secs(1));
    processes.stop(&["etcd"], GRACE);
    // Without settings, because their file is damaged, the folder of the node tells.
    let had_node = settings.map_or_else(
        || cluster.dir.join("node").exists(),
        |settings| settings.mode == Mode::Full,
    );
    if had_node {
        end_containers(cluster);
        processes.stop(&["containerd"], GRACE);
        unmount_below(&cluster.dir.join("node"));
        delete_namespaces();
        clean_packet_filter(cluster);
        restore(settings);
        remove_cgroups();
        remove_leftovers();
    }
    for name in processes.names() {
        processes.stop(&[&name], GRACE);
    }
    if !keep {
        for entry in STATE {
            remove(&cluster.dir.join(entry))?;
        }
        // Only when nothing else is in it: the folder may have been there before.
        let _ = fs::remove_dir(&cluster.dir);
    }
    Ok(())
}

/// Containers outlive the kubelet and containerd (each has its shim), so they end while containerd still answers.
fn end_containers(cluster: &Cluster) {
    if cluster.processes.pid("containerd").is_none() {
        return;
    }
    let ctr = |arguments: &[&str]| {
        let mut command = cluster.ctr();
        command.args(["-n", "k8s.io"]).args(arguments);
        command
    };
    let list = |what: &str| -> Vec<String> {
        let listed = capture(&mut ctr(&[what, "ls", "-q"])).unwrap_or_default();
        listed.lines().map(str::to_owned).collect()
    };
    for task in list("task") {
        succeeds(&mut ctr(&["task", "kill", "-s", "KILL", &task]));
    }
    wait_until(Duration::from_secs(10), || {
        !capture(&mut ctr(&["task", "ls"]))
            .unwrap_or_default()
            .contains(" RUNNING")
    });
    for task in list("task") {
        succeeds(&mut ctr(&["task", "rm", "-f", &task]));
    }
    for container in list("container") {
        succeeds(&mut ctr(&["container", "rm", &container]));
    }
}

fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let prefix = format!("{}/", folder.display());
    let mut points: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|point| point.starts_with(&prefix))
        .collect();
    points.sort_unstable();
    for point in points.into_iter().rev() {
        let _ = unmount(point, UnmountFlags::DETACH);
    }
}

fn delete_namespaces() {
    let listed = capture(local("ip").args(["netns", "list"])).unwrap_or_default();
    for name in listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.starts_with("cni-"))
    {
        succeeds(local("ip").args(["netns", "del", name]));
    }
}

/// Takes out our table, kube-proxy's, and the chains of the CNI plugins and the kubelet; other rules stay.
fn clean_packet_filter(cluster: &Cluster) {
    succeeds(cluster.component("proxy").arg("--cleanup"));
    succeeds(local("nft").args(["delete", "table", "inet", "netpol"]));
    for family in ["iptables", "ip6tables"] {
        if find(family).is_none() {
            continue;
        }
        for table in ["filter", "nat", "mangle"] {
            let Ok(rules) = capture(local(format!("{family}-save")).args(["-t", table])) else {
                continue;
            };
            if !(rules.contains("CNI-") || rules.contains("KUBE-")) {
                continue;
            }
            let kept: Vec<&str> = rules
                .lines()
                .filter(|line| !(line.contains("CNI-") || line.contains("KUBE-")))
                .collect();
            // A failure leaves the rules as they were, and the next `up` uses them again.
            let _ = feed(
                local(format!("{family}-restore")).args(["-T", table]),
                &(kept.join("\n") + "\n"),
            );
        }
    }
}

/// Sets back what was otherwise before the first start.
fn restore(settings: Option<&Settings>) {
    let Some(settings) = settings else { return };
    if !settings.forwarded_before {
        let _ = fs::write("/proc/sys/net/ipv4/ip_forward", "0");
    }
    // iptables on nftables leaves its tables; those that came with us and hold no rule go.
    for table in filter_tables()
        .iter()
        .filter(|table| !settings.tables_before.contains(table))
    {
        let words: Vec<&str> = table.split(' ').collect();
        let rules =
            capture(local("nft").args(["-s", "list", "table"]).args(&words)).unwrap_or_default();
        if rules.lines().all(is_empty_table) {
            succeeds(local("nft").args(["delete", "table"]).args(&words));
        }
    }
}

/// True for the lines of a table that has no rules: braces, chains and their types.
fn is_empty_table(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line == "}"
        || line.ends_with('{')
        || line.starts_with("type ")
        || line.starts_with('#')
}

/// Deepest first, because only empty groups can go; version 1 has one tree per controller.
fn remove_cgroups() {
    fn visit(folder: &Path, inside: bool) {
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        {
            let ours = inside || entry.file_name().to_string_lossy().starts_with("kubepods");
            visit(&entry.path(), ours);
            if ours {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
    visit(Path::new("/sys/fs/cgroup"), false);
}

/// What the CNI plugins and the kubelet keep at fixed places: files of our network, and folders that are then empty.
fn remove_leftovers() {
    // One file per sandbox and interface, the loopback included: NETWORK-SANDBOX-INTERFACE.
    let results: Vec<_> = fs::read_dir("/var/lib/cni/results")
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    let names: Vec<String> = results
        .iter()
        .map(|result| result.file_name().to_string_lossy().into_owned())
        .collect();
    let sandboxes: Vec<&str> = names
        .iter()
        .filter_map(|name| {
            name.strip_prefix(NETWORK)?
                .strip_prefix('-')?
                .split('-')
                .next()
        })
        .collect();
    for (result, name) in results.iter().zip(&names) {
        if sandboxes.iter().any(|sandbox| name.contains(sandbox)) {
            let _ = fs::remove_file(result.path());
        }
    }
    for file in ["kubelet_internal_checkpoint", "DEPRECATION", "kubelet.sock"] {
        let _ = fs::remove_file(Path::new("/var/lib/kubelet/device-plugins").join(file));
    }
    for folder in [
        "/var/lib/cni/results",
        "/var/lib/cni",
        "/var/lib/kubelet/device-plugins",
        "/var/lib/kubelet",
    ] {
        let _ = fs::remove_dir(folder);
    }
}

fn remove(path: &Path) -> Result<()> {
    let outcome = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match outcome {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_counts_as_empty_only_without_rules() {
        let empty = "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}";
        assert!(empty.lines().all(is_empty_table));
        assert!(
            !"table ip filter {\n\tchain INPUT {\n\t\ttcp dport 22 accept\n\t}\n}"
                .lines()
                .all(is_empty_table)
        );
    }
}
