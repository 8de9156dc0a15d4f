//! The status never says more than what is there.

use api::MCPServer;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use rules::PolicySet;
use serde_json::json;

use super::*;
use crate::apply::Owner;

fn valid() -> Valid {
    let server: MCPServer = serde_json::from_value(json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": "weather", "namespace": "team-a", "uid": "u1", "generation": 3},
        "spec": {"image": "registry.test/weather:1", "ingressHost": "mcp.example.test"}
    }))
    .unwrap();
    Valid {
        effective: rules::effective(&server, &PolicySet::default()),
        owner: Owner {
            namespace: "team-a".to_owned(),
            reference: OwnerReference::default(),
        },
        gateway_image: "gateway:1".to_owned(),
        otlp_endpoint: None,
        system_namespace: "system".to_owned(),
        owns_host: true,
        next_expiry: None,
        server,
    }
}

fn applied(ready: i32, observed: i64) -> Applied {
    let mut deployment = Deployment {
        status: Some(DeploymentStatus::default()),
        ..Deployment::default()
    };
    deployment.metadata.generation = Some(2);
    deployment.status = Some(DeploymentStatus {
        observed_generation: Some(observed),
        replicas: Some(1),
        ready_replicas: Some(ready),
        updated_replicas: Some(1),
        ..DeploymentStatus::default()
    });
    let service = Service {
        spec: Some(ServiceSpec {
            cluster_ip: Some("10.0.0.1".to_owned()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    };
    let ingress: Ingress = serde_json::from_value(
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}),
    )
    .unwrap();
    Applied {
        revision: Some("r".to_owned()),
        service: Arc::new(service),
        deployment: Arc::new(deployment),
        ingress: Some(Arc::new(ingress)),
        ingress_wanted: true,
    }
}

fn pod(ready: bool, waiting: Option<&str>) -> Arc<Pod> {
    let state = waiting.map_or(
        json!({}),
        |reason| json!({"waiting": {"reason": reason, "message": "said so"}}),
    );
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": "weather-1"},
            "status": {
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                "containerStatuses": [
                    {"name": "server", "ready": ready, "restartCount": 0, "image": "", "imageID": "", "state": state},
                    {"name": "mcp-gateway", "ready": ready, "restartCount": 0, "image": "", "imageID": ""}
                ]
            }
        }))
        .unwrap(),
    )
}

fn status(applied: &Applied, pods: &[Arc<Pod>]) -> ServerStatus {
    observed(
        &ServerStatus::default(),
        &valid(),
        applied,
        pods,
        IngressReadiness::Strict,
    )
}

fn reason(status: &ServerStatus, type_: &str) -> String {
    status
        .conditions
        .iter()
        .find(|c| c.type_ == type_)
        .map(|c| c.reason.clone())
        .unwrap_or_default()
}

#[test]
fn ready_means_that_every_part_is() {
    let status = status(&applied(1, 2), &[pod(true, None)]);
    assert_eq!(status.phase, Some(Phase::Ready));
    assert_eq!(
        status.url.as_deref(),
        Some("http://mcp.example.test/weather/mcp")
    );
    assert!(
        status.deployment_ready
            && status.service_ready
            && status.ingress_ready
            && status.gateway_ready
            && status.policy_ready
    );
}

#[test]
fn a_deployment_that_has_not_seen_its_own_spec_is_not_ready() {
    let status = status(&applied(1, 1), &[pod(true, None)]);
    assert!(!status.deployment_ready);
    assert_ne!(status.phase, Some(Phase::Ready));
}

#[test]
fn a_pod_that_cannot_start_says_why() {
    for (waiting, expected) in [
        ("ImagePullBackOff", "ImagePullFailed"),
        ("CrashLoopBackOff", "CrashLoop"),
        ("CreateContainerConfigError", "ContainerNotCreated"),
    ] {
        let status = status(&applied(0, 2), &[pod(false, Some(waiting))]);
        assert_eq!(reason(&status, conditions::DEPLOYMENT_READY), expected);
        assert!(status.message.unwrap().contains("said so"));
    }
}

#[test]
fn without_a_handshake_the_gateway_is_not_ready() {
    let status = status(&applied(0, 2), &[pod(false, None)]);
    assert_eq!(reason(&status, conditions::GATEWAY_READY), "NoHandshake");
    assert_ne!(status.phase, Some(Phase::Ready));
}

#[test]
fn an_ingress_without_an_address_is_partial_in_strict_mode() {
    let mut applied = applied(1, 2);
    applied.ingress = Some(Arc::new(Ingress::default()));
    let status = status(&applied, &[pod(true, None)]);
    assert_eq!(status.phase, Some(Phase::PartiallyReady));
    assert_eq!(reason(&status, conditions::INGRESS_READY), "NoAddress");
}

#[test]
fn a_transition_time_moves_only_when_the_status_does() {
    let first = status(&applied(1, 2), &[pod(true, None)]);
    let again = observed(
        &first,
        &valid(),
        &applied(1, 2),
        &[pod(true, None)],
        IngressReadiness::Strict,
    );
    assert_eq!(first.conditions, again.conditions);
}

#[test]
fn a_refused_server_is_an_error_with_the_sentence_of_the_rule() {
    let status = refused(
        &ServerStatus::default(),
        &valid().server,
        "Invalid",
        "spec.image: must be ... (MCP0101)",
    );
    assert_eq!(status.phase, Some(Phase::Error));
    assert_eq!(reason(&status, conditions::ACCEPTED), "Invalid");
    assert_eq!(
        status.message.as_deref(),
        Some("spec.image: must be ... (MCP0101)")
    );
}
