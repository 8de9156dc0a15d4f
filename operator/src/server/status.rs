//! The status of an MCPServer, made from what was applied and from its pods, never from what was meant.

use std::sync::Arc;

use api::conditions::{self, Status, Wanted};
use api::{Discovered, MCPServer, Phase, PinMode, ServerStatus, names};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;
use kube::api::Api;

use super::applied::Applied;
use super::validate::{Rejected, Valid};
use crate::apply;
use crate::context::{Context, IngressReadiness};
use crate::inventory;
use crate::reconcile::{self, StatusError};

/// What the status is made from.
pub(super) enum Seen<'a> {
    /// Everything was applied, or the server was refused and there is nothing.
    Applied(Option<&'a Applied>),
    /// An object could not be brought to what is wanted.
    Failed(&'a apply::Error),
}

/// Writes the status if it differs. Whether the server is ready.
pub(super) async fn write(
    context: &Context,
    server: &MCPServer,
    verdict: &Result<Valid, Rejected>,
    seen: Seen<'_>,
) -> Result<bool, StatusError> {
    let before = server.status.clone().unwrap_or_default();
    let pods = context
        .caches
        .pods_of(&server.namespace().unwrap_or_default(), &server.name_any());
    let mut status = match (verdict, seen) {
        (Err(rejected), _) => refused(&before, server, rejected.reason, &rejected.message),
        (Ok(_), Seen::Failed(error)) => failed(&before, server, error),
        (Ok(_), Seen::Applied(None)) => before.clone(),
        (Ok(valid), Seen::Applied(Some(applied))) => observed(
            &before,
            valid,
            applied,
            &pods,
            context.settings.ingress_readiness,
        ),
    };
    let ready = status.phase == Some(Phase::Ready);
    if ready
        && (status.discovered.is_none()
            || before.observed_generation != status.observed_generation
            || compares_definitions(verdict))
    {
        status.discovered = discover(&pods).await.or(status.discovered);
    }
    if status != before {
        let api = Api::namespaced(
            context.client.clone(),
            &server.namespace().unwrap_or_default(),
        );
        reconcile::write_status(context, &api, server, &status).await?;
    }
    Ok(ready && (status.discovered.is_some() || !gateway_enabled(verdict)))
}

/// Whether the server's tools are compared with pins, so that what was discovered once does not stay true.
pub(super) fn compares_definitions(verdict: &Result<Valid, Rejected>) -> bool {
    verdict.as_ref().is_ok_and(|valid| {
        let effective = &valid.effective;
        effective.gateway.enabled && effective.policy.pins != PinMode::Off
    })
}

fn gateway_enabled(verdict: &Result<Valid, Rejected>) -> bool {
    verdict
        .as_ref()
        .is_ok_and(|valid| valid.effective.gateway.enabled)
}

fn condition(
    type_: &'static str,
    status: impl Into<Status>,
    reason: &'static str,
    message: impl Into<String>,
) -> Wanted {
    Wanted {
        type_,
        status: status.into(),
        reason,
        message: message.into(),
    }
}

/// Refused: what already runs is left as it is and still described, but the server is not ready.
fn refused(
    before: &ServerStatus,
    server: &MCPServer,
    reason: &'static str,
    message: &str,
) -> ServerStatus {
    let wanted = vec![
        condition(conditions::ACCEPTED, false, reason, message),
        condition(conditions::READY, false, "NotAccepted", message),
    ];
    ServerStatus {
        phase: Some(Phase::Error),
        message: Some(message.to_owned()),
        observed_generation: server.metadata.generation,
        conditions: conditions::merge(
            &before.conditions,
            wanted,
            server.metadata.generation,
            Timestamp::now(),
        ),
        ..before.clone()
    }
}

fn failed(before: &ServerStatus, server: &MCPServer, error: &apply::Error) -> ServerStatus {
    let reason = match error {
        apply::Error::Conflict { .. } => {
            return refused(before, server, "NameConflict", &error.to_string());
        }
        apply::Error::Read { .. } => "ReadFailed",
        apply::Error::Write { .. } => "WriteFailed",
        apply::Error::Delete { .. } => "DeleteFailed",
        apply::Error::Serialise { .. } => "SerialiseFailed",
    };
    let wanted = vec![
        condition(conditions::ACCEPTED, true, "Accepted", "the spec is valid"),
        condition(conditions::READY, false, reason, error.to_string()),
    ];
    ServerStatus {
        phase: Some(Phase::Error),
        message: Some(error.to_string()),
        observed_generation: server.metadata.generation,
        conditions: conditions::merge(
            &before.conditions,
            wanted,
            server.metadata.generation,
            Timestamp::now(),
        ),
        ..before.clone()
    }
}

/// What was applied, as it is seen now. Pure.
fn observed(
    before: &ServerStatus,
    valid: &Valid,
    applied: &Applied,
    pods: &[Arc<Pod>],
    readiness: IngressReadiness,
) -> ServerStatus {
    let effective = &valid.effective;
    let generation = valid.server.metadata.generation;
    let deployment = deployment_condition(valid, applied, pods);
    let service = service_condition(applied);
    let ingress = applied
        .ingress_wanted
        .then(|| ingress_condition(applied, readiness));
    let gateway = effective
        .gateway
        .enabled
        .then(|| gateway_condition(effective.replicas, pods));
    let policy = effective.gateway.enabled.then(|| {
        condition(
            conditions::POLICY_READY,
            applied.revision.is_some(),
            "BundleWritten",
            "the access bundle is in place",
        )
    });
    let parts: Vec<Wanted> = [Some(deployment), Some(service), ingress, gateway, policy]
        .into_iter()
        .flatten()
        .collect();
    let is = |type_: &str| {
        parts
            .iter()
            .any(|p| p.type_ == type_ && p.status == Status::True)
    };
    let missing = parts.iter().find(|part| part.status != Status::True);
    let (phase, message) = match missing {
        None => (Phase::Ready, None),
        Some(part)
            if is(conditions::DEPLOYMENT_READY)
                || is(conditions::SERVICE_READY) && has_ready_pod(pods) =>
        {
            (Phase::PartiallyReady, Some(part.message.clone()))
        }
        Some(part) => (Phase::Pending, Some(part.message.clone())),
    };
    let ready = match missing {
        None => condition(
            conditions::READY,
            true,
            "Ready",
            "everything the spec asks for works",
        ),
        Some(part) => condition(conditions::READY, false, part.reason, part.message.clone()),
    };
    let mut wanted = vec![
        condition(conditions::ACCEPTED, true, "Accepted", "the spec is valid"),
        ready,
    ];
    let flags = [
        is(conditions::DEPLOYMENT_READY),
        is(conditions::SERVICE_READY),
        is(conditions::INGRESS_READY),
        is(conditions::GATEWAY_READY),
        is(conditions::POLICY_READY),
    ];
    wanted.extend(parts);
    let [
        deployment_ready,
        service_ready,
        ingress_ready,
        gateway_ready,
        policy_ready,
    ] = flags;
    ServerStatus {
        phase: Some(phase),
        message,
        observed_generation: generation,
        url: effective.public_url(),
        internal_url: Some(effective.internal_url()),
        image: effective.image.clone(),
        transport: Some(effective.transport),
        policy_revision: applied.revision.clone(),
        replicas: applied
            .deployment
            .status
            .as_ref()
            .and_then(|s| s.ready_replicas)
            .or(Some(0)),
        selector: Some(format!("{}={}", names::SERVER_LABEL, effective.name)),
        discovered: before.discovered.clone(),
        deployment_ready,
        service_ready,
        ingress_ready,
        gateway_ready,
        policy_ready,
        conditions: conditions::merge(&before.conditions, wanted, generation, Timestamp::now()),
    }
}

fn deployment_condition(valid: &Valid, applied: &Applied, pods: &[Arc<Pod>]) -> Wanted {
    let wanted = valid.effective.replicas;
    let status = applied.deployment.status.clone().unwrap_or_default();
    let current = status.observed_generation >= applied.deployment.metadata.generation;
    let (ready, updated) = (
        status.ready_replicas.unwrap_or(0),
        status.updated_replicas.unwrap_or(0),
    );
    if current
        && ready >= wanted
        && updated >= wanted
        && status.replicas.unwrap_or(0) <= wanted.max(ready)
    {
        return condition(
            conditions::DEPLOYMENT_READY,
            true,
            "Available",
            format!("{ready} of {wanted} pods are ready"),
        );
    }
    let quota = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "ReplicaFailure" && c.status == "True");
    if let Some(failure) = quota {
        let message = failure
            .message
            .clone()
            .unwrap_or_else(|| "the pods cannot be created".to_owned());
        return condition(conditions::DEPLOYMENT_READY, false, "PodsRefused", message);
    }
    let (reason, message) =
        pod_trouble(pods).unwrap_or(("Progressing", format!("{ready} of {wanted} pods are ready")));
    condition(conditions::DEPLOYMENT_READY, false, reason, message)
}

fn service_condition(applied: &Applied) -> Wanted {
    let address = applied
        .service
        .spec
        .as_ref()
        .and_then(|s| s.cluster_ip.clone())
        .filter(|ip| !ip.is_empty());
    match address {
        Some(ip) => condition(
            conditions::SERVICE_READY,
            true,
            "AddressAssigned",
            format!("the Service has the address {ip}"),
        ),
        None => condition(
            conditions::SERVICE_READY,
            false,
            "NoAddress",
            "the Service has no address yet",
        ),
    }
}

fn ingress_condition(applied: &Applied, readiness: IngressReadiness) -> Wanted {
    let ingress = applied.ingress.as_deref();
    let has_address = ingress
        .and_then(|i| i.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref())
        .is_some_and(|points| !points.is_empty());
    let has_rules = ingress
        .and_then(|i| i.spec.as_ref()?.rules.as_ref())
        .is_some_and(|rules| !rules.is_empty());
    let class = ingress
        .and_then(|i| i.spec.as_ref()?.ingress_class_name.clone())
        .unwrap_or_default();
    match readiness {
        _ if has_address => condition(
            conditions::INGRESS_READY,
            true,
            "AddressAssigned",
            "the Ingress has an address",
        ),
        IngressReadiness::Permissive if has_rules => condition(
            conditions::INGRESS_READY,
            true,
            "RulesPresent",
            "the Ingress has rules; nobody waits for its address",
        ),
        IngressReadiness::Strict | IngressReadiness::Permissive => condition(
            conditions::INGRESS_READY,
            false,
            "NoAddress",
            format!("the Ingress has no address yet; is a controller of class {class} running?"),
        ),
    }
}

/// The gateway is ready only when it completed a handshake with the server, so its container's readiness says it.
fn gateway_condition(replicas: i32, pods: &[Arc<Pod>]) -> Wanted {
    let ready = pods
        .iter()
        .any(|pod| container(pod, names::GATEWAY_CONTAINER).is_some_and(|c| c.ready));
    if ready {
        return condition(
            conditions::GATEWAY_READY,
            true,
            "HandshakeCompleted",
            "the gateway completed a handshake with the server",
        );
    }
    if replicas == 0 {
        return condition(
            conditions::GATEWAY_READY,
            false,
            "ScaledToZero",
            "there is no pod: replicas is 0",
        );
    }
    condition(
        conditions::GATEWAY_READY,
        false,
        "NoHandshake",
        "no gateway completed a handshake with the server yet",
    )
}

fn has_ready_pod(pods: &[Arc<Pod>]) -> bool {
    pods.iter().any(|pod| {
        pod.status
            .iter()
            .flat_map(|s| s.conditions.iter().flatten())
            .any(|c| c.type_ == "Ready" && c.status == "True")
    })
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status
        .iter()
        .flat_map(|s| s.container_statuses.iter().flatten())
}

fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    containers(pod).find(|c| c.name == name)
}

/// The first thing that keeps a pod from running, in words.
fn pod_trouble(pods: &[Arc<Pod>]) -> Option<(&'static str, String)> {
    for pod in pods {
        for c in containers(pod) {
            let waiting = c.state.as_ref().and_then(|s| s.waiting.as_ref());
            let why = waiting
                .and_then(|w| w.reason.as_deref())
                .unwrap_or_default();
            let said = waiting.and_then(|w| w.message.clone()).unwrap_or_default();
            let reason = match why {
                "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                    "ImagePullFailed"
                }
                "CrashLoopBackOff" => "CrashLoop",
                "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                    "ContainerNotCreated"
                }
                _ => continue,
            };
            return Some((
                reason,
                format!(
                    "container {} of pod {}: {why}: {said}",
                    c.name,
                    pod.name_any()
                ),
            ));
        }
        let unschedulable = pod
            .status
            .iter()
            .flat_map(|s| s.conditions.iter().flatten());
        for c in unschedulable {
            if c.type_ == "PodScheduled" && c.status == "False" {
                let said = c.message.clone().unwrap_or_default();
                return Some(("Unschedulable", format!("pod {}: {said}", pod.name_any())));
            }
        }
    }
    None
}

/// Asks one ready gateway what its server has.
async fn discover(pods: &[Arc<Pod>]) -> Option<Discovered> {
    let ready = pods
        .iter()
        .find(|pod| container(pod, names::GATEWAY_CONTAINER).is_some_and(|c| c.ready))?;
    let address = ready.status.as_ref()?.pod_ip.clone()?;
    match inventory::fetch(&address).await {
        Ok(discovered) => Some(discovered),
        Err(error) => {
            tracing::warn!(pod = ready.name_any(), %error, "cannot read the inventory of a gateway");
            None
        }
    }
}

#[cfg(test)]
mod tests;
