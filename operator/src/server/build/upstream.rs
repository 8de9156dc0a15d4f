//! How the gateway reaches its server: in its pod, at a Service of the namespace, or elsewhere.
//!
//! What only the gateway may know, the headers from Secrets, is mounted into its container alone, and no argument
//! holds it. The files change with the Secrets, without a new pod.

use api::{SecretHeader, Transport};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount,
    VolumeProjection,
};

use super::Valid;
use super::deployment::mount;

const CA_VOLUME: &str = "kubectl-mcp-upstream-ca";
const CA_MOUNT: &str = "/etc/kubectl-mcp/upstream-ca";
const CA_FILE: &str = "ca.crt";
const HEADERS_VOLUME: &str = "kubectl-mcp-upstream-headers";
const HEADERS_MOUNT: &str = "/etc/kubectl-mcp/upstream-headers";
/// Readable by the pod's user and group only.
const SECRET_MODE: i32 = 0o440;

/// Whether the server runs in the gateway's pod.
pub(super) fn is_local(valid: &Valid) -> bool {
    valid.server.spec.remote.is_none()
}

/// The gateway's arguments about its server.
pub(super) fn flags(valid: &Valid) -> Vec<String> {
    let mut flags = vec![format!("--upstream={}{}", transport(valid), url(valid))];
    let Some(remote) = &valid.server.spec.remote else {
        return flags;
    };
    if remote.ca_bundle_ref.is_some() {
        flags.push(format!("--upstream-ca={CA_MOUNT}/{CA_FILE}"));
    }
    let headers = remote.headers_from_secret.iter().enumerate();
    flags.extend(headers.map(|(index, header)| {
        let file = file(index);
        format!("--upstream-header={}={HEADERS_MOUNT}/{file}", header.name)
    }));
    flags
}

fn transport(valid: &Valid) -> &'static str {
    match valid.effective.transport {
        Transport::Sse => "sse+",
        Transport::StreamableHttp | Transport::Stdio => "",
    }
}

fn url(valid: &Valid) -> String {
    let effective = &valid.effective;
    let remote = valid.server.spec.remote.as_ref();
    if let Some(url) = remote.and_then(|remote| remote.url.clone()) {
        return url;
    }
    match remote.and_then(|remote| remote.service.as_ref()) {
        Some(service) => format!(
            "http://{}.{}.svc:{}{}",
            service.name, effective.namespace, service.port, effective.path
        ),
        None => format!("http://127.0.0.1:{}{}", effective.port, effective.path),
    }
}

/// Not named after the header, whose name may have characters that no path has.
fn file(index: usize) -> String {
    format!("header-{index}")
}

pub(super) fn volumes(valid: &Valid) -> Vec<Volume> {
    let Some(remote) = &valid.server.spec.remote else {
        return Vec::new();
    };
    let ca = remote.ca_bundle_ref.as_ref().map(|reference| Volume {
        name: CA_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: reference.name.clone(),
            items: Some(vec![item(&reference.key, CA_FILE.to_owned())]),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    });
    let headers = (!remote.headers_from_secret.is_empty()).then(|| Volume {
        name: HEADERS_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(SECRET_MODE),
            sources: Some(
                remote
                    .headers_from_secret
                    .iter()
                    .enumerate()
                    .map(projection)
                    .collect(),
            ),
        }),
        ..Volume::default()
    });
    ca.into_iter().chain(headers).collect()
}

fn projection((index, header): (usize, &SecretHeader)) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection {
            name: header.secret_key_ref.name.clone(),
            items: Some(vec![item(&header.secret_key_ref.key, file(index))]),
            optional: None,
        }),
        ..VolumeProjection::default()
    }
}

fn item(key: &str, path: String) -> KeyToPath {
    KeyToPath {
        key: key.to_owned(),
        path,
        mode: None,
    }
}

pub(super) fn mounts(valid: &Valid) -> Vec<VolumeMount> {
    let mounted = |volume: Volume| {
        let path = if volume.name == CA_VOLUME {
            CA_MOUNT
        } else {
            HEADERS_MOUNT
        };
        mount(&volume.name, path, true)
    };
    volumes(valid).into_iter().map(mounted).collect()
}
