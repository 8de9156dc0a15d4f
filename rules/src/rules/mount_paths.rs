//! MCP0319 mount-paths: a volume or a mount that the pod cannot have, or that reaches into what is the gateway's.

use std::collections::BTreeSet;

use api::MCPServerSpec;
use api::names::{BRIDGE_MOUNT, BUNDLE_MOUNT, VOLUME_PREFIX};
use k8s_openapi::api::core::v1::VolumeMount;

use crate::template::MOST_CONTAINERS;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0319", "mount-paths", SERVER, Class::Structural).summary(
        "a mount path that is relative, there twice, or the system's or the gateway's; a mount without its volume; a \
         volume name that is there twice or the gateway's",
    ),
    check,
};

/// Paths that nothing may be mounted at or below, and whose they are. The account's token has two, because `/var/run`
/// is a link to `/run` in most images.
const TAKEN: [(&str, &str); 6] = [
    ("/proc", "the kernel's"),
    ("/sys", "the kernel's"),
    (BUNDLE_MOUNT, "the gateway's"),
    (BRIDGE_MOUNT, "the gateway's"),
    ("/var/run/secrets/kubernetes.io", "the service account's: serverToken: true mounts its token there"),
    ("/run/secrets/kubernetes.io", "the service account's: serverToken: true mounts its token there"),
];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    volumes(spec, report);
    mounts(spec, report);
}

fn volumes(spec: &MCPServerSpec, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (index, volume) in spec.volumes.iter().enumerate() {
        let field = format!("spec.volumes[{index}].name");
        if volume.name.starts_with(VOLUME_PREFIX) {
            ours(field, &volume.name, report);
        } else if !seen.insert(volume.name.as_str()) {
            report.at(field).given(&volume.name).must("must not be there twice").hint("rename one of the two");
        }
    }
}

/// The mounts of the server, and of the containers beside it.
fn mounts(spec: &MCPServerSpec, report: &mut Report) {
    let pod = spec.pod_template.as_ref().and_then(|template| template.spec.as_ref());
    let further = pod.and_then(|pod| pod.volumes.as_deref()).unwrap_or_default();
    let volumes: BTreeSet<&str> = spec.volumes.iter().chain(further).map(|volume| volume.name.as_str()).collect();
    of_container("spec", &spec.volume_mounts, &volumes, report);
    // MCP0310 says it of the containers beside the server.
    for (index, mount) in spec.volume_mounts.iter().enumerate() {
        if let Some(propagation) = mount.mount_propagation.as_ref().filter(|propagation| *propagation != "None") {
            report
                .at(format!("spec.volumeMounts[{index}].mountPropagation"))
                .given(propagation)
                .must("must be None: mounts of the node must not come in, nor ours go out")
                .hint("take it away");
        }
    }
    let containers = pod.map(|pod| pod.containers.as_slice()).unwrap_or_default();
    for (index, container) in containers.iter().enumerate().take(MOST_CONTAINERS) {
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        of_container(&format!("spec.podTemplate.spec.containers[{index}]"), mounts, &volumes, report);
    }
}

fn of_container(path: &str, mounts: &[VolumeMount], volumes: &BTreeSet<&str>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let field = format!("{path}.volumeMounts[{index}].name");
        if mount.name.starts_with(VOLUME_PREFIX) {
            ours(field, &mount.name, report);
        } else if !volumes.contains(mount.name.as_str()) {
            report
                .at(field)
                .given(&mount.name)
                .must("must be the name of a volume in spec.volumes")
                .hint("add the volume, or take the mount away");
        }
        let (place, field) = (mount.mount_path.as_str(), format!("{path}.volumeMounts[{index}].mountPath"));
        if !is_plain(place) {
            report
                .at(field)
                .given(place)
                .must("must be an absolute path below '/' without '//', '.', '..' and ':'")
                .hint("mountPath: /data");
        } else if let Some((taken, whose)) = TAKEN.iter().find(|(taken, _)| is_within(place, taken)) {
            report.at(field).given(place).must(format!("must not be at or below {taken}, which is {whose}"));
        } else if !seen.insert(place.trim_end_matches('/')) {
            report.at(field).given(place).must("must not be there twice").hint("take one of the two away");
        }
    }
}

fn ours(field: String, name: &str, report: &mut Report) {
    report
        .at(field)
        .given(name)
        .must(format!("must not begin with {VOLUME_PREFIX}, as the volumes of the gateway do"))
        .hint("choose another name");
}

/// Whether the path names one place and says so: kubelet and runtime clean others up, so that two texts would be one
/// path. One slash at the end is fine.
fn is_plain(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    !path.contains(':') && !path.contains('\0') && rest.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_absolute_and_says_one_place() {
        for good in ["/data", "/data/", "/var/run", "/a.b/..c", "/procfs"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "/", "//", "data", "./data", "/a//b", "/a/../proc", "/a/./b", "/a/..", "/a:b", "//proc"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn a_path_is_within_itself_and_its_parents_by_whole_segments() {
        assert!(is_within("/proc", "/proc") && is_within("/proc/1", "/proc") && is_within("/proc/", "/proc"));
        assert!(!is_within("/procfs", "/proc") && !is_within("/var/run", "/var/run/secrets"));
    }
}
