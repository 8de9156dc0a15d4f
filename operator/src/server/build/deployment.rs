//! The Deployment: the server, and the gateway beside it. Hardened by default: no root, no privileges, a read-only
//! root file system with a `/tmp` of its own.

use api::{RolloutStrategy, Transport, names};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, ConfigMapVolumeSource, Container, ContainerPort,
    DownwardAPIProjection, DownwardAPIVolumeFile, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    HTTPGetAction, KeyToPath, LocalObjectReference, ObjectFieldSelector, PodSecurityContext,
    PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource, ResourceRequirements, SeccompProfile,
    SecretVolumeSource, SecurityContext, ServiceAccountTokenProjection, TCPSocketAction,
    TopologySpreadConstraint, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;

use super::{Valid, account, labels, metadata, outside, selector, stdio, upstream};

/// The user that containers run as: "nobody" of the distroless images.
const USER: i64 = 65_532;
const BUNDLE_VOLUME: &str = "kubectl-mcp-access";
const TOKEN_VOLUME: &str = "kubectl-mcp-token";
const SESSION_KEY_VOLUME: &str = "kubectl-mcp-session-key";
const TMP_VOLUME: &str = "kubectl-mcp-tmp";
/// The kubelet renews the token at 80 % of this.
const TOKEN_SECONDS: i64 = 3600;

pub(super) fn deployment(valid: &Valid) -> Deployment {
    let effective = &valid.effective;
    Deployment {
        metadata: metadata(valid, &effective.name),
        spec: Some(DeploymentSpec {
            replicas: Some(effective.replicas),
            selector: LabelSelector {
                match_labels: Some(selector(&effective.name)),
                ..LabelSelector::default()
            },
            strategy: Some(strategy(valid)),
            revision_history_limit: Some(3),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(&effective.name)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(valid)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn strategy(valid: &Valid) -> DeploymentStrategy {
    let rollout = valid.server.spec.rollout.clone().unwrap_or_default();
    match rollout.strategy.unwrap_or_default() {
        RolloutStrategy::Recreate => DeploymentStrategy {
            type_: Some("Recreate".to_owned()),
            rolling_update: None,
        },
        RolloutStrategy::RollingUpdate | RolloutStrategy::Canary => DeploymentStrategy {
            type_: Some("RollingUpdate".to_owned()),
            rolling_update: Some(RollingUpdateDeployment {
                max_unavailable: Some(
                    rollout
                        .max_unavailable
                        .unwrap_or(IntOrString::String("25%".to_owned())),
                ),
                max_surge: Some(
                    rollout
                        .max_surge
                        .unwrap_or(IntOrString::String("25%".to_owned())),
                ),
            }),
        },
    }
}

fn pod(valid: &Valid) -> PodSpec {
    let effective = &valid.effective;
    let spec = &valid.server.spec;
    let gateway = effective.gateway.enabled;
    let (mut containers, mut volumes) = (Vec::new(), Vec::new());
    if upstream::is_local(valid) {
        containers.push(server(valid));
        let own = spec.volumes.iter();
        volumes.extend(own.filter(|volume| !is_ours(&volume.name)).cloned());
        volumes.push(Volume {
            name: TMP_VOLUME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        });
    }
    if gateway {
        containers.push(self::gateway(valid));
        volumes.extend(upstream::volumes(valid));
        volumes.push(bundle_volume(&effective.name));
        volumes.extend(outside::volumes(valid));
        volumes.push(session_key_volume(&effective.name));
    }
    if gateway || spec.server_token == Some(true) {
        volumes.push(token_volume());
    }
    let stdio = effective.transport == Transport::Stdio;
    if stdio {
        volumes.extend(stdio::volumes());
    }
    PodSpec {
        service_account_name: Some(account(valid)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: (!effective.image_pull_secrets.is_empty()).then(|| {
            effective
                .image_pull_secrets
                .iter()
                .map(|name| LocalObjectReference { name: name.clone() })
                .collect()
        }),
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(selector(&effective.name)),
                ..LabelSelector::default()
            }),
            ..TopologySpreadConstraint::default()
        }]),
        init_containers: stdio.then(|| vec![stdio::init_container(valid)]),
        containers,
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

/// Whether a volume is the gateway's. MCP0319 refuses such names in a spec; here no mistake of that rule can give the
/// server's container the gateway's token.
fn is_ours(volume: &str) -> bool {
    volume.starts_with(names::VOLUME_PREFIX)
}

fn server(valid: &Valid) -> Container {
    let effective = &valid.effective;
    let spec = &valid.server.spec;
    let mut mounts: Vec<VolumeMount> = spec
        .volume_mounts
        .iter()
        .filter(|mount| !is_ours(&mount.name))
        .cloned()
        .collect();
    if !mounts
        .iter()
        .any(|mount| mount.mount_path.trim_end_matches('/') == "/tmp")
    {
        mounts.push(mount(TMP_VOLUME, "/tmp", false));
    }
    if spec.server_token == Some(true) {
        mounts.push(mount(TOKEN_VOLUME, names::TOKEN_MOUNT, true));
    }
    let direct = !effective.gateway.enabled;
    let stdio = effective.transport == Transport::Stdio;
    let (command, args, env) = if stdio {
        mounts.extend(stdio::server_mounts());
        (stdio::command(), stdio::arguments(valid), spec.env.clone())
    } else {
        let env = environment(&spec.env, effective.port);
        (spec.command.clone(), spec.args.clone(), env)
    };
    Container {
        name: names::SERVER_CONTAINER.to_owned(),
        image: effective.image.clone(),
        command: (!command.is_empty()).then_some(command),
        args: (!args.is_empty()).then_some(args),
        env: Some(env),
        env_from: (!spec.env_from.is_empty()).then(|| spec.env_from.clone()),
        // Behind a gateway the port is not named: nothing but the gateway may reach it.
        ports: direct.then(|| vec![container_port("http", effective.port)]),
        // Behind a gateway the server may listen on loopback only, and the gateway's handshake says more than a
        // probe of the port.
        readiness_probe: direct.then(|| Probe {
            tcp_socket: Some(TCPSocketAction {
                port: IntOrString::Int(i32::from(effective.port)),
                host: None,
            }),
            period_seconds: Some(5),
            ..Probe::default()
        }),
        resources: Some(effective.resources.clone()),
        security_context: Some(hardened()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// The server's own environment, and `PORT` and `MCP_PORT` where it does not set them: what most servers read to
/// know where to listen.
fn environment(own: &[EnvVar], port: u16) -> Vec<EnvVar> {
    let mut env = own.to_vec();
    for name in ["PORT", "MCP_PORT"] {
        if !env.iter().any(|variable| variable.name == name) {
            env.push(EnvVar {
                name: name.to_owned(),
                value: Some(port.to_string()),
                value_from: None,
            });
        }
    }
    env
}

fn gateway(valid: &Valid) -> Container {
    let effective = &valid.effective;
    let flag = |name: &str, value: String| format!("--{name}={value}");
    let mut mounts = vec![
        mount(BUNDLE_VOLUME, names::BUNDLE_MOUNT, true),
        mount(SESSION_KEY_VOLUME, names::SESSION_KEY_MOUNT, true),
        mount(TOKEN_VOLUME, names::TOKEN_MOUNT, true),
    ];
    let upstream = if effective.transport == Transport::Stdio {
        mounts.push(stdio::gateway_mount());
        stdio::gateway_flags(valid)
    } else {
        mounts.extend(upstream::mounts(valid));
        upstream::flags(valid)
    };
    let mut args = vec![
        "serve".to_owned(),
        flag("listen", format!("0.0.0.0:{}", effective.gateway.port)),
        flag("admin", format!("0.0.0.0:{}", names::GATEWAY_ADMIN_PORT)),
    ];
    args.extend(upstream);
    args.extend([
        flag("namespace", effective.namespace.clone()),
        flag("server", effective.name.clone()),
        flag("bundle", names::BUNDLE_MOUNT.to_owned()),
        "--watch".to_owned(),
    ]);
    args.extend(outside::flags(valid));
    mounts.extend(outside::mounts(valid));
    Container {
        name: names::GATEWAY_CONTAINER.to_owned(),
        image: Some(valid.gateway_image.clone()),
        args: Some(args),
        env: Some(vec![pod_ip()]),
        ports: Some(vec![
            container_port("http", effective.gateway.port),
            container_port("admin", names::GATEWAY_ADMIN_PORT),
        ]),
        readiness_probe: Some(probe("/readyz", 1, 3)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        resources: Some(
            effective
                .gateway
                .resources
                .clone()
                .unwrap_or_else(gateway_resources),
        ),
        security_context: Some(hardened()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// What a gateway gets when the server does not say: it idles at a few MiB and needs more only for large bodies.
pub(super) fn gateway_resources() -> ResourceRequirements {
    let amounts = |cpu: &str, memory: &str| {
        Some(
            [("cpu", cpu), ("memory", memory)]
                .map(|(k, v)| (k.to_owned(), Quantity(v.to_owned())))
                .into(),
        )
    };
    ResourceRequirements {
        requests: amounts("10m", "16Mi"),
        limits: amounts("500m", "128Mi"),
        ..ResourceRequirements::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(names::GATEWAY_ADMIN_PORT)),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn container_port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

pub(super) fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    }
}

pub(super) fn hardened() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        seccomp_profile: Some(runtime_default()),
        ..SecurityContext::default()
    }
}

/// Optional, so that the pod starts when the bundle comes a moment later.
fn bundle_volume(server: &str) -> Volume {
    Volume {
        name: BUNDLE_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::access_config_map(server),
            optional: Some(true),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Only the key and the one before it. Optional: without it, MCP sessions end with the process.
fn session_key_volume(server: &str) -> Volume {
    let keys = [names::SESSION_KEY, names::PREVIOUS_SESSION_KEY];
    Volume {
        name: SESSION_KEY_VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(names::upstream_secret(server)),
            items: Some(keys.map(file).to_vec()),
            optional: Some(true),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn file(key: &str) -> KeyToPath {
    KeyToPath {
        key: key.to_owned(),
        path: key.to_owned(),
        mode: None,
    }
}

/// Where the other gateways of the server find this one.
fn pod_ip() -> EnvVar {
    EnvVar {
        name: "MCP_GATEWAY_POD_IP".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "status.podIP".to_owned(),
                api_version: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// What automounting would give, but only to the containers that mount it.
fn token_volume() -> Volume {
    let sources = vec![
        VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection {
                path: "token".to_owned(),
                expiration_seconds: Some(TOKEN_SECONDS),
                audience: None,
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            config_map: Some(ConfigMapProjection {
                name: "kube-root-ca.crt".to_owned(),
                items: Some(vec![KeyToPath {
                    key: "ca.crt".to_owned(),
                    path: "ca.crt".to_owned(),
                    mode: None,
                }]),
                optional: None,
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            downward_api: Some(DownwardAPIProjection {
                items: Some(vec![DownwardAPIVolumeFile {
                    path: "namespace".to_owned(),
                    field_ref: Some(ObjectFieldSelector {
                        field_path: "metadata.namespace".to_owned(),
                        api_version: None,
                    }),
                    ..DownwardAPIVolumeFile::default()
                }]),
            }),
            ..VolumeProjection::default()
        },
    ];
    Volume {
        name: TOKEN_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            default_mode: None,
        }),
        ..Volume::default()
    }
}
