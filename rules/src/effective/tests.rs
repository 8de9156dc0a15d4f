use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn server(spec: Value) -> MCPServer {
    let mut server = MCPServer::new("foo", serde_json::from_value(spec).unwrap());
    server.metadata.namespace = Some("team-a".to_owned());
    server
}

fn policies(specs: &[Value]) -> PolicySet {
    let policies: Vec<_> = specs
        .iter()
        .enumerate()
        .map(|(i, spec)| {
            Arc::new(api::MCPPolicy::new(
                &format!("p{i}"),
                serde_json::from_value(spec.clone()).unwrap(),
            ))
        })
        .collect();
    PolicySet::select(&policies, "team-a", &BTreeMap::new())
}

fn quantity(resources: &ResourceRequirements, side: &str, name: &str) -> String {
    let side = if side == "requests" {
        &resources.requests
    } else {
        &resources.limits
    };
    side.as_ref().unwrap()[name].0.clone()
}

#[test]
fn an_image_alone_gets_every_default() {
    let found = effective(&server(json!({"image": "x"})), &PolicySet::default());
    assert_eq!(
        (
            found.port,
            found.service_port,
            found.gateway.port,
            found.replicas
        ),
        (8088, 80, 8091, 1)
    );
    assert_eq!(found.path, "/mcp");
    assert!(found.gateway.enabled);
    let ingress = found.ingress.unwrap();
    assert_eq!(
        (ingress.path.as_str(), ingress.class.as_str(), ingress.host),
        ("/foo/mcp", "traefik", None)
    );
    assert_eq!(found.auth.mode, AuthMode::Session);
    assert_eq!(found.session.max_lifetime, MAX_SESSION_LIFETIME);
    assert_eq!(quantity(&found.resources, "limits", "memory"), "256Mi");
}

#[test]
fn the_image_is_resolved_by_tag_override_and_registry() {
    let registry = policies(&[json!({"registry": {"host": "reg.example.com:5000"}})]);
    for (spec, expected) in [
        (json!({"image": "x", "imageTag": "2"}), "x:2"),
        (json!({"image": "x:1", "imageTag": "2"}), "x:1"),
        (
            json!({"image": "ghcr.io/a/x", "registryOverride": "quay.io/m"}),
            "quay.io/m/a/x",
        ),
        (
            json!({"image": "a/x", "registryOverride": "quay.io"}),
            "quay.io/a/x",
        ),
        (
            json!({"image": "localhost/x", "registryOverride": "quay.io"}),
            "quay.io/x",
        ),
        (
            json!({"image": "ghcr.io/a/x:1", "useProvisionedRegistry": true}),
            "reg.example.com:5000/a/x:1",
        ),
    ] {
        assert_eq!(
            effective(&server(spec.clone()), &registry).image.as_deref(),
            Some(expected),
            "{spec}"
        );
    }
}

#[test]
fn a_default_never_puts_a_request_above_the_limit() {
    let small = effective(
        &server(json!({"image": "x", "resources": {"limits": {"memory": "32Mi"}}})),
        &PolicySet::default(),
    );
    assert_eq!(quantity(&small.resources, "requests", "memory"), "32Mi");
    let large = effective(
        &server(json!({"image": "x", "resources": {"requests": {"cpu": "2"}}})),
        &PolicySet::default(),
    );
    assert_eq!(quantity(&large.resources, "limits", "cpu"), "2");
}

#[test]
fn policies_give_defaults_and_ceilings() {
    let set = policies(&[
        json!({"defaults": {"ingressHost": "mcp.example.com", "pathTemplate": "/{namespace}/{name}"},
               "access": {"maxTrust": "medium", "maxSessionLifetime": "2h", "maxStaleness": "5m",
                          "teams": [{"name": "core", "groups": ["devs"]}]}}),
        json!({"defaults": {"ingressHost": "other.example.com"}, "access": {"maxSessionLifetime": "1h", "teams": [{"name": "contractors", "groups": ["ext"]}]}}),
    ]);
    let found = effective(&server(json!({"image": "x"})), &set);
    let ingress = found.ingress.unwrap();
    assert_eq!(
        (ingress.host.as_deref(), ingress.path.as_str()),
        (Some("mcp.example.com"), "/team-a/foo")
    );
    assert_eq!(found.session.max_lifetime, Duration::from_secs(3600));
    assert_eq!(found.access.max_trust, Some(Trust::Medium));
    assert_eq!(found.access.max_staleness, Duration::from_secs(300));
    let teams: Vec<_> = found
        .access
        .teams
        .iter()
        .map(|team| team.name.as_str())
        .collect();
    assert_eq!(teams, ["core", "contractors"]);
}

#[test]
fn values_out_of_range_become_the_default() {
    let found = effective(
        &server(
            json!({"image": "x", "port": 70000, "replicas": -1, "session": {"maxLifetime": "soon"}}),
        ),
        &PolicySet::default(),
    );
    assert_eq!(
        (found.port, found.replicas, found.session.max_lifetime),
        (8088, 1, MAX_SESSION_LIFETIME)
    );
}
