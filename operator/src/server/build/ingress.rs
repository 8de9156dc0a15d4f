//! The Ingress, by class. Annotations that other controllers write (external-dns, cert-manager) are theirs: only ours
//! are applied.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};

use super::{Valid, metadata};

pub(super) fn ingress(valid: &Valid) -> Option<Ingress> {
    let effective = &valid.effective;
    let route = effective.ingress.as_ref()?;
    let mut annotations = class_annotations(&route.class, route.tls_secret.is_some());
    annotations.extend(route.annotations.clone());
    let mut metadata = metadata(valid, &effective.name);
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    Some(Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: Some(route.class.clone()),
            rules: Some(vec![IngressRule {
                host: route.host.clone(),
                http: Some(HTTPIngressRuleValue {
                    paths: vec![HTTPIngressPath {
                        path: Some(route.path.clone()),
                        path_type: "Prefix".to_owned(),
                        backend: IngressBackend {
                            service: Some(IngressServiceBackend {
                                name: effective.name.clone(),
                                port: Some(ServiceBackendPort {
                                    name: Some("http".to_owned()),
                                    number: None,
                                }),
                            }),
                            resource: None,
                        },
                    }],
                }),
            }]),
            tls: route.tls_secret.clone().map(|secret| {
                vec![IngressTLS {
                    hosts: route.host.clone().map(|host| vec![host]),
                    secret_name: Some(secret),
                }]
            }),
            ..IngressSpec::default()
        }),
        status: None,
    })
}

/// What a controller needs to be told so that plain HTTP and long streams pass. A class that is not known gets
/// nothing: it is safer to be plain than to rewrite.
fn class_annotations(class: &str, tls: bool) -> BTreeMap<String, String> {
    let annotations: &[(&str, &str)] = match (class, tls) {
        ("traefik", false) => &[("traefik.ingress.kubernetes.io/router.entrypoints", "web")],
        ("traefik", true) => &[
            (
                "traefik.ingress.kubernetes.io/router.entrypoints",
                "websecure",
            ),
            ("traefik.ingress.kubernetes.io/router.tls", "true"),
        ],
        ("nginx", false) => &[
            ("nginx.ingress.kubernetes.io/ssl-redirect", "false"),
            ("nginx.ingress.kubernetes.io/proxy-buffering", "off"),
            ("nginx.ingress.kubernetes.io/proxy-read-timeout", "3600"),
        ],
        ("nginx", true) => &[
            ("nginx.ingress.kubernetes.io/proxy-buffering", "off"),
            ("nginx.ingress.kubernetes.io/proxy-read-timeout", "3600"),
        ],
        _ => &[],
    };
    annotations
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
