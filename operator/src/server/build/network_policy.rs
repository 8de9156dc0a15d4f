//! The NetworkPolicy: only the gateway's port is open, so that the server's own port cannot be reached past it. The
//! admin port is open to the system namespace and to namespaces labelled for scraping.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::{AuthMode, TrustedProxy, names};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Valid, entry_port, metadata, selector};

pub(super) fn network_policy(valid: &Valid) -> NetworkPolicy {
    let from = trusted_proxies(valid).or_else(|| {
        let policy = valid.server.spec.network_policy.as_ref()?;
        policy.ingress_from.clone()
    });
    let from = from.map(|peers| with_own_pods(valid, peers));
    let mut ingress = vec![NetworkPolicyIngressRule {
        from,
        ports: Some(vec![port(entry_port(valid))]),
    }];
    if valid.effective.gateway.enabled {
        ingress.push(NetworkPolicyIngressRule {
            from: Some(admin_peers(&valid.system_namespace)),
            ports: Some(vec![port(names::GATEWAY_ADMIN_PORT)]),
        });
    }
    NetworkPolicy {
        metadata: metadata(valid, &valid.effective.name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector(&valid.effective.name)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(ingress),
            egress: None,
        }),
    }
}

/// With mode header the gateway's port is open to the trusted proxies alone: nobody else's headers are believed.
fn trusted_proxies(valid: &Valid) -> Option<Vec<NetworkPolicyPeer>> {
    let proxies = &valid.effective.auth.trusted_proxies;
    (!proxies.is_empty()).then(|| proxies.iter().map(peer).collect())
}

fn peer(proxy: &TrustedProxy) -> NetworkPolicyPeer {
    let selector = |labels: &BTreeMap<String, String>| {
        (!labels.is_empty()).then(|| LabelSelector {
            match_labels: Some(labels.clone()),
            ..LabelSelector::default()
        })
    };
    NetworkPolicyPeer {
        pod_selector: selector(&proxy.pod_labels),
        namespace_selector: selector(&proxy.namespace_labels),
        ip_block: proxy.cidr.as_deref().map(|cidr| IPBlock {
            cidr: whole(cidr),
            except: None,
        }),
    }
}

/// A network with its prefix length, which Kubernetes demands also of one address.
fn whole(cidr: &str) -> String {
    match cidr.parse() {
        Ok(IpAddr::V4(address)) => format!("{address}/32"),
        Ok(IpAddr::V6(address)) => format!("{address}/128"),
        Err(_) => cidr.to_owned(),
    }
}

/// The gateways of one server hand each other requests of MCP sessions, whoever else may call. No peers is everybody.
///
/// Not where a gateway believes whoever this policy lets through, because the server itself runs in these pods: there a
/// client whose session is in another pod gets 404 and initialises anew.
fn with_own_pods(valid: &Valid, mut peers: Vec<NetworkPolicyPeer>) -> Vec<NetworkPolicyPeer> {
    let auth = &valid.effective.auth;
    let believed = auth.mode == AuthMode::Header
        && auth
            .trusted_proxies
            .iter()
            .any(|proxy| proxy.cidr.is_none());
    if valid.effective.gateway.enabled && !peers.is_empty() && !believed {
        peers.push(NetworkPolicyPeer {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector(&valid.effective.name)),
                ..LabelSelector::default()
            }),
            ..NetworkPolicyPeer::default()
        });
    }
    peers
}

fn port(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}

fn admin_peers(system_namespace: &str) -> Vec<NetworkPolicyPeer> {
    let namespaces = |selector| NetworkPolicyPeer {
        namespace_selector: Some(selector),
        ..NetworkPolicyPeer::default()
    };
    vec![
        namespaces(LabelSelector {
            match_labels: Some(
                [(
                    "kubernetes.io/metadata.name".to_owned(),
                    system_namespace.to_owned(),
                )]
                .into(),
            ),
            ..LabelSelector::default()
        }),
        namespaces(LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: names::SCRAPE_LABEL.to_owned(),
                operator: "Exists".to_owned(),
                values: None,
            }]),
            ..LabelSelector::default()
        }),
    ]
}
