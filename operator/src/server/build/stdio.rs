//! A stdio server's part of the pod. The gateway's image puts its program into a volume; in the server's container it is
//! process 1, starts the server's command, and is reached by the gateway over a socket that only these two containers
//! have.

use api::names::{self, BRIDGE_MOUNT};
use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, Volume, VolumeMount};

use super::Valid;
use super::deployment::{gateway_resources, hardened, mount};

const PROGRAM_VOLUME: &str = "kubectl-mcp-bridge";
const SOCKET_VOLUME: &str = "kubectl-mcp-socket";

fn program_folder() -> String {
    format!("{BRIDGE_MOUNT}/bin")
}

fn program() -> String {
    format!("{BRIDGE_MOUNT}/bin/mcp-gateway")
}

fn socket_folder() -> String {
    format!("{BRIDGE_MOUNT}/run")
}

fn socket() -> String {
    format!("{BRIDGE_MOUNT}/run/server.sock")
}

/// The container that puts the program into its volume, and ends.
pub(super) fn init_container(valid: &Valid) -> Container {
    Container {
        name: names::BRIDGE_CONTAINER.to_owned(),
        image: Some(valid.gateway_image.clone()),
        args: Some(vec!["copy".to_owned(), program()]),
        resources: Some(gateway_resources()),
        security_context: Some(hardened()),
        volume_mounts: Some(vec![mount(PROGRAM_VOLUME, &program_folder(), false)]),
        ..Container::default()
    }
}

pub(super) fn volumes() -> [Volume; 2] {
    [PROGRAM_VOLUME, SOCKET_VOLUME].map(|name| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    })
}

/// What the server's container has of it.
pub(super) fn server_mounts() -> [VolumeMount; 2] {
    [
        mount(PROGRAM_VOLUME, &program_folder(), true),
        mount(SOCKET_VOLUME, &socket_folder(), false),
    ]
}

/// What the gateway's container has of it.
pub(super) fn gateway_mount() -> VolumeMount {
    mount(SOCKET_VOLUME, &socket_folder(), false)
}

/// The server's container runs the program, and the program what the server says.
pub(super) fn command() -> Vec<String> {
    vec![program()]
}

/// The arguments of the program: its own, then the server's command and arguments.
pub(super) fn arguments(valid: &Valid) -> Vec<String> {
    let spec = &valid.server.spec;
    let own = [
        "exec".to_owned(),
        format!("--socket={}", socket()),
        format!("--max-processes={}", valid.effective.stdio.max_processes),
        "--".to_owned(),
    ];
    let servers = spec.command.iter().chain(&spec.args).cloned();
    own.into_iter().chain(servers).collect()
}

/// The gateway's flags. Whole seconds, at least one.
pub(super) fn gateway_flags(valid: &Valid) -> Vec<String> {
    let stdio = &valid.effective.stdio;
    vec![
        format!("--upstream=stdio:{}", socket()),
        format!("--stdio-scope={}", stdio.scope.as_str()),
        format!("--stdio-max-processes={}", stdio.max_processes),
        format!(
            "--stdio-idle-seconds={}",
            stdio.idle_timeout.as_secs().max(1)
        ),
    ]
}
