//! The Service: one port named `http`, which leads to the gateway.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Valid, entry_port, metadata, selector};

pub(super) fn service(valid: &Valid) -> Service {
    let effective = &valid.effective;
    Service {
        metadata: metadata(valid, &effective.name),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(selector(&effective.name)),
            session_affinity: valid.server.spec.session_affinity.clone(),
            ports: Some(vec![ServicePort {
                name: Some("http".to_owned()),
                port: i32::from(effective.service_port),
                target_port: Some(IntOrString::Int(i32::from(entry_port(valid)))),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
