//! The Ingress, by class. Annotations that other controllers write (external-dns, cert-manager) are theirs: only ours
//! are applied.

use std::collections::BTreeMap;

use api::names::PROTECTED_RESOURCE;
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
                    paths: paths(valid, &route.path),
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

/// The endpoint, and with mode oauth the metadata that leads clients to the issuer (RFC 9728). The root form of the
/// metadata's path says nothing of whose it is, so it is the server's only where no other has this host.
fn paths(valid: &Valid, endpoint: &str) -> Vec<HTTPIngressPath> {
    let path = |path: String, path_type: &str| HTTPIngressPath {
        path: Some(path),
        path_type: path_type.to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: valid.effective.name.clone(),
                port: Some(ServiceBackendPort {
                    name: Some("http".to_owned()),
                    number: None,
                }),
            }),
            resource: None,
        },
    };
    let mut paths = vec![path(endpoint.to_owned(), "Prefix")];
    if valid.effective.auth.oauth.is_some() && valid.effective.gateway.enabled {
        let own = endpoint.trim_end_matches('/');
        paths.push(path(format!("{PROTECTED_RESOURCE}{own}"), "Exact"));
        if valid.owns_host && !own.is_empty() {
            paths.push(path(PROTECTED_RESOURCE.to_owned(), "Exact"));
        }
    }
    paths
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
