//! Why the pods of a Deployment of the platform do not run: what `setup` and `check` say when it is not available.
//!
//! Only looks, and never fails: whoever may not read pods hears what the Deployment says.

use std::fmt;

use api::names;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Client;
use kube::api::{Api, ListParams};

/// Reasons to wait that pass by themselves.
const PASSING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No node takes it, and why.
    Unschedulable(String),
    /// A container waits.
    Waiting {
        /// What it should run.
        image: String,
        /// Such as `ErrImagePull`.
        reason: String,
        /// The kubelet's words; may be empty.
        message: String,
    },
}

impl Trouble {
    /// What to type next for the Deployment `name`.
    pub(crate) fn hint(&self, name: &str) -> String {
        let image = matches!(self, Self::Waiting { reason, .. } if reason.contains("Image"));
        if image {
            "kubectl mcp setup --image-registry REGISTRY    (one from which the nodes can pull)"
                .to_owned()
        } else {
            describe(name)
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unschedulable(message) => write!(formatter, "no node takes its pod: {message}"),
            Self::Waiting {
                image,
                reason,
                message,
            } => {
                write!(formatter, "image {image}: {reason}")?;
                if message.is_empty() {
                    return Ok(());
                }
                write!(formatter, ": {message}")
            }
        }
    }
}

/// The command that shows everything about the pods of a Deployment of the platform.
pub(crate) fn describe(name: &str) -> String {
    format!(
        "kubectl -n {} describe pods -l app.kubernetes.io/name={name}",
        names::SYSTEM_NAMESPACE
    )
}

/// What is the matter with the pods of the Deployment `name`, if anything can be seen.
pub(crate) async fn trouble(client: &Client, name: &str) -> Option<Trouble> {
    let api: Api<Pod> = Api::namespaced(client.clone(), names::SYSTEM_NAMESPACE);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={name}"));
    first(&api.list(&ours).await.ok()?.items)
}

/// The first trouble of these pods. A reason that passes by itself is said only when there is no other.
fn first(pods: &[Pod]) -> Option<Trouble> {
    let found: Vec<Trouble> = pods.iter().flat_map(troubles).collect();
    let passes = |trouble: &&Trouble| matches!(trouble, Trouble::Waiting { reason, .. } if PASSING.contains(&reason.as_str()));
    found
        .iter()
        .find(|trouble| !passes(trouble))
        .or(found.first())
        .cloned()
}

fn troubles(pod: &Pod) -> Vec<Trouble> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let refused = status
        .conditions
        .iter()
        .flatten()
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .map(|condition| Trouble::Unschedulable(condition.message.clone().unwrap_or_default()));
    let init = status.init_container_statuses.iter().flatten();
    let waiting = init
        .chain(status.container_statuses.iter().flatten())
        .filter_map(|container| waiting(pod, container));
    refused.chain(waiting).collect()
}

fn waiting(pod: &Pod, container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    // The status may name the image by its id, the specification names it as it was given.
    let specified = pod.spec.iter().flat_map(|spec| {
        let init = spec.init_containers.iter().flatten();
        init.chain(&spec.containers)
    });
    let image = specified
        .filter(|specified| specified.name == container.name)
        .find_map(|specified| specified.image.clone())
        .unwrap_or_else(|| container.image.clone());
    Some(Trouble::Waiting {
        image,
        reason: waiting.reason.clone().unwrap_or_default(),
        message: waiting.message.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(image: &str, state: &Value) -> Pod {
        serde_json::from_value(json!({
            "spec": {"containers": [{"name": "webhook", "image": image}]},
            "status": {"containerStatuses": [
                {"name": "webhook", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_named_with_the_flag_that_mends_it() {
        let creating = pod(
            "a/x:1",
            &json!({"waiting": {"reason": "ContainerCreating"}}),
        );
        let pulling = pod(
            "a/y:1",
            &json!({"waiting": {"reason": "ErrImagePull", "message": "no such host"}}),
        );
        let trouble = first(&[creating.clone(), pulling]).unwrap();
        assert_eq!(
            trouble.to_string(),
            "image a/y:1: ErrImagePull: no such host"
        );
        assert!(trouble.hint("mcp-webhook").contains("--image-registry"));
        let trouble = first(&[creating]).unwrap();
        assert_eq!(trouble.to_string(), "image a/x:1: ContainerCreating");
        assert!(trouble.hint("mcp-webhook").contains("describe pods"));
    }

    #[test]
    fn a_pod_that_runs_is_no_trouble_and_one_that_no_node_takes_is() {
        assert_eq!(first(&[pod("a/x:1", &json!({"running": {}}))]), None);
        let refused: Pod = serde_json::from_value(json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"},
        ]}}))
        .unwrap();
        let trouble = first(&[refused]).unwrap();
        assert_eq!(
            trouble.to_string(),
            "no node takes its pod: 0/1 nodes are available"
        );
    }
}
