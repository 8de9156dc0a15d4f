//! What the gateway needs to reach outside of its pod: the key of the audit sink, Redis and its password. Secrets are
//! mounted into the gateway's container alone, never into the server's, and never stand in an argument.

use api::{SecretKeyRef, names};
use k8s_openapi::api::core::v1::{KeyToPath, SecretVolumeSource, Volume, VolumeMount};

use super::Valid;

const AUDIT_VOLUME: &str = "kubectl-mcp-audit";
const REDIS_VOLUME: &str = "kubectl-mcp-redis";
/// The name of the file that holds the value of the key.
const FILE: &str = "value";
/// The port of a Redis that does not say.
const REDIS_PORT: i32 = 6379;
/// Readable by the pod's group, which is the gateway's.
const MODE: i32 = 0o440;

/// A key of a Secret, its volume, and where the gateway finds it.
struct Mounted<'s> {
    volume: &'static str,
    folder: &'static str,
    secret: &'s SecretKeyRef,
}

fn mounted(valid: &Valid) -> Vec<Mounted<'_>> {
    let spec = &valid.server.spec;
    let audit = spec.audit.as_ref();
    let key = audit.and_then(|audit| audit.api_key_secret_ref.as_ref());
    let redis = spec.redis.as_ref();
    let password = redis.and_then(|redis| redis.password_secret_ref.as_ref());
    let audit = key.map(|secret| Mounted {
        volume: AUDIT_VOLUME,
        folder: names::AUDIT_MOUNT,
        secret,
    });
    let redis = password.map(|secret| Mounted {
        volume: REDIS_VOLUME,
        folder: names::REDIS_MOUNT,
        secret,
    });
    audit.into_iter().chain(redis).collect()
}

/// Flags of the gateway.
pub(super) fn flags(valid: &Valid) -> Vec<String> {
    let mut flags = Vec::new();
    if let Some(redis) = &valid.server.spec.redis {
        flags.push(format!(
            "--redis={}.{}.svc:{}",
            redis.service_name,
            valid.effective.namespace,
            redis.port.unwrap_or(REDIS_PORT)
        ));
    }
    for mounted in mounted(valid) {
        let flag = if mounted.volume == AUDIT_VOLUME {
            "audit-key-file"
        } else {
            "redis-password-file"
        };
        flags.push(format!("--{flag}={}/{FILE}", mounted.folder));
    }
    flags.extend(
        valid
            .otlp_endpoint
            .as_ref()
            .map(|endpoint| format!("--otlp-endpoint={endpoint}")),
    );
    flags
}

/// The Secrets. Optional, so that a server starts when one comes later: the gateway reads the file whenever it needs it.
pub(super) fn volumes(valid: &Valid) -> Vec<Volume> {
    let volume = |mounted: Mounted<'_>| Volume {
        name: mounted.volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(mounted.secret.name.clone()),
            items: Some(vec![KeyToPath {
                key: mounted.secret.key.clone(),
                path: FILE.to_owned(),
                mode: None,
            }]),
            default_mode: Some(MODE),
            optional: Some(true),
        }),
        ..Volume::default()
    };
    mounted(valid).into_iter().map(volume).collect()
}

/// Where they are in the gateway's container.
pub(super) fn mounts(valid: &Valid) -> Vec<VolumeMount> {
    let mount = |mounted: Mounted<'_>| VolumeMount {
        name: mounted.volume.to_owned(),
        mount_path: mounted.folder.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    mounted(valid).into_iter().map(mount).collect()
}
