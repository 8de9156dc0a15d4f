//! What is built, as YAML. A change of a snapshot is a change of every server's pod: read it.

use std::sync::Arc;

use api::{MCPPolicy, MCPServer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use rules::PolicySet;
use serde_json::{Value, json};

use super::*;
use crate::apply::Owner;

fn valid(spec: &Value) -> Valid {
    let policy: MCPPolicy = serde_json::from_value(json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": "default"},
        "spec": {"defaults": {"ingressHost": "mcp.example.test"}}
    }))
    .unwrap();
    let server: MCPServer = serde_json::from_value(json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": "weather", "namespace": "team-a", "uid": "u1", "generation": 1},
        "spec": spec
    }))
    .unwrap();
    let policies = PolicySet::select(
        &[Arc::new(policy)],
        "team-a",
        &std::collections::BTreeMap::new(),
    );
    Valid {
        effective: rules::effective(&server, &policies),
        owner: Owner {
            namespace: "team-a".to_owned(),
            reference: OwnerReference::default(),
        },
        gateway_image: "gateway:1".to_owned(),
        otlp_endpoint: None,
        system_namespace: "kubectl-mcp-system".to_owned(),
        owns_host: true,
        next_expiry: None,
        server,
    }
}

fn minimal() -> Value {
    json!({"image": "registry.test/weather:1", "tools": [{"name": "forecast"}]})
}

#[test]
fn a_minimal_server_is_hardened_and_behind_its_gateway() {
    let prepared = build(&valid(&minimal()));
    insta::assert_yaml_snapshot!("deployment", prepared.deployment);
    insta::assert_yaml_snapshot!("service", prepared.service);
    insta::assert_yaml_snapshot!("ingress", prepared.ingress);
    insta::assert_yaml_snapshot!("network_policy", prepared.network_policy);
    insta::assert_yaml_snapshot!("role", prepared.role);
}

fn oauth() -> Value {
    let mut spec = minimal();
    spec["auth"] =
        json!({"mode": "oauth", "oauth": {"issuers": [{"url": "https://login.example.test"}]}});
    spec
}

#[test]
fn clients_find_the_metadata_of_an_oauth_server_at_its_host() {
    let paths = |valid: &Valid| -> Vec<(String, String)> {
        let spec = build(valid).ingress.unwrap().spec.unwrap();
        let rule = spec.rules.unwrap().remove(0);
        let paths = rule.http.unwrap().paths.into_iter();
        paths
            .map(|path| (path.path_type, path.path.unwrap()))
            .collect()
    };
    let pair = |kind: &str, path: &str| (kind.to_owned(), path.to_owned());
    let endpoint = pair("Prefix", "/weather/mcp");
    let metadata = pair("Exact", "/.well-known/oauth-protected-resource/weather/mcp");
    let root = pair("Exact", "/.well-known/oauth-protected-resource");
    let mut valid = valid(&oauth());
    assert_eq!(paths(&valid), [endpoint.clone(), metadata.clone(), root]);
    valid.owns_host = false;
    assert_eq!(paths(&valid), [endpoint.clone(), metadata]);
    valid.effective.auth.oauth = None;
    assert_eq!(paths(&valid), [endpoint]);
}

#[test]
fn an_oauth_server_is_named_by_its_url_and_takes_tokens_for_it() {
    let settings = ::access::Settings::from(&valid(&oauth()).effective);
    let found = settings.oauth.unwrap();
    assert_eq!(found.resource, "http://mcp.example.test/weather/mcp");
    assert_eq!(found.issuers[0].audiences, [found.resource.as_str()]);
    assert_eq!(
        (
            found.issuers[0].human.as_str(),
            found.issuers[0].scopes.as_str()
        ),
        ("sub", "scope")
    );
}

#[test]
fn with_headers_the_port_is_open_to_the_trusted_proxies_alone() {
    let mut spec = minimal();
    spec["networkPolicy"] = json!({"ingressFrom": [{"namespaceSelector": {}}]});
    spec["auth"] = json!({"mode": "header", "trustedProxies": [
        {"podLabels": {"app": "proxy"}, "namespaceLabels": {"team": "edge"}},
        {"podLabels": {"app": "own"}},
        {"cidr": "10.1.0.0/16"},
        {"cidr": "10.2.0.7"},
    ]});
    let valid = valid(&spec);
    let policy = serde_json::to_value(build(&valid).network_policy).unwrap();
    assert_eq!(
        policy["spec"]["ingress"][0]["from"],
        json!([
            {"podSelector": {"matchLabels": {"app": "proxy"}}, "namespaceSelector": {"matchLabels": {"team": "edge"}}},
            {"podSelector": {"matchLabels": {"app": "own"}}},
            {"ipBlock": {"cidr": "10.1.0.0/16"}},
            {"ipBlock": {"cidr": "10.2.0.7/32"}},
        ])
    );
    let proxies = ::access::Settings::from(&valid.effective).proxies.unwrap();
    assert_eq!(proxies.networks, ["10.1.0.0/16", "10.2.0.7"]);
    assert!(proxies.by_labels);
}

#[test]
fn behind_a_gateway_the_servers_own_port_is_open_to_nobody() {
    let prepared = build(&valid(&minimal()));
    let ports: Vec<Value> = prepared
        .network_policy
        .spec
        .iter()
        .flat_map(|s| s.ingress.iter().flatten())
        .flat_map(|rule| rule.ports.iter().flatten())
        .map(|port| serde_json::to_value(&port.port).unwrap())
        .collect();
    assert_eq!(ports, [json!(8091), json!(9091)]);
}

#[test]
fn only_the_gateway_gets_a_token_unless_the_server_asks_for_one() {
    let mounts = |spec: Value| {
        let pod = build(&valid(&spec))
            .deployment
            .spec
            .unwrap()
            .template
            .spec
            .unwrap();
        assert_eq!(pod.automount_service_account_token, Some(false));
        pod.containers
            .into_iter()
            .filter(|c| {
                c.volume_mounts
                    .iter()
                    .flatten()
                    .any(|m| m.mount_path.contains("serviceaccount"))
            })
            .map(|c| c.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(mounts(minimal()), ["mcp-gateway"]);
    let mut spec = minimal();
    spec["serverToken"] = json!(true);
    assert_eq!(mounts(spec), ["server", "mcp-gateway"]);
}

#[test]
fn only_the_gateway_gets_the_key_of_the_sessions() {
    let mut spec = minimal();
    spec["serverToken"] = json!(true);
    let valid = valid(&spec);
    let secret = secret(&valid, [7; names::SESSION_KEY_BYTES]);
    assert_eq!(
        secret.metadata.name.as_deref(),
        Some(names::upstream_secret("weather").as_str())
    );
    assert_eq!(
        secret.data.unwrap()[names::SESSION_KEY].0,
        [7; names::SESSION_KEY_BYTES]
    );
    assert_eq!(secret.metadata.owner_references.unwrap().len(), 1);
    let pod = build(&valid)
        .deployment
        .spec
        .unwrap()
        .template
        .spec
        .unwrap();
    let with_key: Vec<_> = pod
        .containers
        .iter()
        .filter(|c| {
            let mut mounts = c.volume_mounts.iter().flatten();
            mounts.any(|m| m.mount_path == names::SESSION_KEY_MOUNT)
        })
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(with_key, [names::GATEWAY_CONTAINER]);
}

#[test]
fn whoever_may_call_the_servers_own_pods_may_too() {
    let peers = |from: Value| {
        let mut spec = minimal();
        spec["networkPolicy"] = json!({ "ingressFrom": from });
        let policy = build(&valid(&spec)).network_policy.spec.unwrap();
        serde_json::to_value(&policy.ingress.unwrap()[0].from).unwrap()
    };
    let one = json!({"namespaceSelector": {"matchLabels": {"team": "a"}}});
    let own = json!({"podSelector": {"matchLabels": {
        "app.kubernetes.io/managed-by": "kubectl-mcp-operator", "kubectl-mcp.dev/server": "weather"}}});
    assert_eq!(peers(json!([one])), json!([one, own]));
    assert_eq!(peers(json!([])), json!([]), "no peers is everybody");
}

#[test]
fn a_spec_that_names_our_volumes_gets_none_of_them() {
    let mut spec = minimal();
    spec["volumes"] =
        json!([{"name": "kubectl-mcp-token", "emptyDir": {}}, {"name": "cache", "emptyDir": {}}]);
    spec["volumeMounts"] = json!([
        {"name": "kubectl-mcp-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
        {"name": "cache", "mountPath": "/cache"},
    ]);
    let deployment = build(&valid(&spec)).deployment;
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let mounts: Vec<_> = pod.containers[0]
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| (mount.name.as_str(), mount.mount_path.as_str()))
        .collect();
    assert_eq!(mounts, [("cache", "/cache"), ("kubectl-mcp-tmp", "/tmp")]);
    let volumes: Vec<_> = pod
        .volumes
        .iter()
        .flatten()
        .map(|v| v.name.as_str())
        .collect();
    assert_eq!(
        volumes,
        [
            "cache",
            "kubectl-mcp-tmp",
            "kubectl-mcp-access",
            "kubectl-mcp-session-key",
            "kubectl-mcp-token"
        ]
    );
}

#[test]
fn direct_mode_has_no_gateway_and_leads_to_the_server() {
    let mut spec = minimal();
    spec["gateway"] = json!({"enabled": false});
    let prepared = build(&valid(&spec));
    let pod = prepared.deployment.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.containers.len(), 1);
    assert!(pod.containers[0].readiness_probe.is_some());
    assert!(prepared.role.is_none() && prepared.role_binding.is_none());
    let target = prepared.service.spec.unwrap().ports.unwrap()[0]
        .target_port
        .clone();
    assert_eq!(serde_json::to_value(target).unwrap(), json!(8088));
}

#[test]
fn a_grant_or_a_session_never_changes_the_pod() {
    let without = build(&valid(&minimal()));
    let mut later = valid(&minimal());
    later.next_expiry = Some(jiff::Timestamp::UNIX_EPOCH);
    let with = build(&later);
    assert_eq!(without.deployment, with.deployment);
}

#[test]
fn the_bundle_is_served_at_the_public_path_and_at_mcp() {
    let settings = ::access::Settings::from(&valid(&minimal()).effective);
    assert_eq!(settings.paths, ["/mcp", "/weather/mcp"]);
    assert!(settings.hosts.contains(&"mcp.example.test".to_owned()));
    assert!(settings.hosts.contains(&"weather.team-a.svc".to_owned()));
}

fn stdio() -> Value {
    let mut spec = minimal();
    spec["transport"] = json!("stdio");
    spec["command"] = json!(["/server"]);
    spec["args"] = json!(["--root", "/data"]);
    spec["stdio"] = json!({"scope": "session", "maxProcesses": 5, "idleTimeout": "90s"});
    spec
}

#[test]
fn a_stdio_server_is_run_by_the_bridge_that_an_init_container_brings() {
    let deployment = build(&valid(&stdio())).deployment;
    insta::assert_yaml_snapshot!("stdio", deployment);
}

#[test]
fn only_the_server_and_its_gateway_have_the_socket_and_only_the_server_the_program() {
    let deployment = build(&valid(&stdio())).deployment;
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let of = |volume: &str| {
        let all = pod.init_containers.iter().flatten().chain(&pod.containers);
        all.filter_map(|container| {
            let mut mounts = container.volume_mounts.iter().flatten();
            let mount = mounts.find(|mount| mount.name == volume)?;
            Some((container.name.as_str(), mount.read_only == Some(true)))
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(
        of("kubectl-mcp-socket"),
        [("server", false), ("mcp-gateway", false)]
    );
    assert_eq!(
        of("kubectl-mcp-bridge"),
        [("mcp-bridge", false), ("server", true)]
    );
    let env = pod.containers[0].env.as_ref().unwrap();
    assert!(env.is_empty(), "a stdio server listens on no port: {env:?}");
}

#[test]
fn keys_and_passwords_are_mounted_into_the_gateway_alone_and_in_no_argument() {
    let mut valid = valid(&json!({
        "image": "registry.test/weather:1",
        "audit": {"sink": "http", "url": "https://audit.example.com", "apiKeySecretRef": {"name": "audit", "key": "token"}},
        "redis": {"serviceName": "cache", "passwordSecretRef": {"name": "cache", "key": "password"}}
    }));
    valid.otlp_endpoint = Some("http://collector.obs.svc:4318".to_owned());
    let pod = build(&valid)
        .deployment
        .spec
        .unwrap()
        .template
        .spec
        .unwrap();
    let container = |name: &str| pod.containers.iter().find(|c| c.name == name).unwrap();
    let secrets = ["kubectl-mcp-audit", "kubectl-mcp-redis"];
    let mounts = |name: &str| -> Vec<String> {
        let mounts = container(name).volume_mounts.iter().flatten();
        let ours = mounts.filter(|mount| secrets.contains(&mount.name.as_str()));
        ours.map(|mount| mount.mount_path.clone()).collect()
    };
    assert_eq!(
        mounts("mcp-gateway"),
        [names::AUDIT_MOUNT, names::REDIS_MOUNT]
    );
    assert_eq!(mounts("server"), Vec::<String>::new());
    let flags = container("mcp-gateway").args.clone().unwrap();
    for flag in [
        "--redis=cache.team-a.svc:6379",
        "--audit-key-file=/etc/kubectl-mcp/audit/value",
        "--redis-password-file=/etc/kubectl-mcp/redis/value",
        "--otlp-endpoint=http://collector.obs.svc:4318",
    ] {
        assert!(
            flags.iter().any(|given| given == flag),
            "{flag} of {flags:?}"
        );
    }
    let volumes = serde_json::to_value(&pod.volumes).unwrap();
    let keys: Vec<&Value> = volumes
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|volume| volume.get("secret"))
        .map(|secret| &secret["items"][0]["key"])
        .collect();
    let session_key = json!("session-key");
    assert_eq!(keys, [&json!("token"), &json!("password"), &session_key]);
}

#[test]
fn a_server_elsewhere_has_a_pod_of_the_gateway_alone() {
    let spec = json!({"remote": {
        "url": "https://mcp.example.org/mcp",
        "caBundleRef": {"name": "authorities", "key": "example.pem"},
        "headersFromSecret": [
            {"name": "Authorization", "secretKeyRef": {"name": "example", "key": "bearer"}},
            {"name": "X-Tenant", "secretKeyRef": {"name": "example", "key": "tenant"}},
        ],
    }});
    let prepared = build(&valid(&spec));
    insta::assert_yaml_snapshot!(
        "remote_pod",
        prepared.deployment.spec.unwrap().template.spec
    );
}

#[test]
fn every_sort_of_server_is_reached_at_its_own_address() {
    let upstream = |spec: Value| {
        let pod = build(&valid(&spec))
            .deployment
            .spec
            .unwrap()
            .template
            .spec
            .unwrap();
        let gateway = pod
            .containers
            .iter()
            .find(|c| c.name == "mcp-gateway")
            .unwrap();
        let flag = gateway
            .args
            .iter()
            .flatten()
            .find_map(|arg| arg.strip_prefix("--upstream="));
        (flag.unwrap().to_owned(), pod.containers.len())
    };
    let mut sse = minimal();
    sse["transport"] = json!("sse");
    sse["path"] = json!("/sse");
    let service = json!({"name": "old", "port": 8080});
    let remote = json!({"url": "https://mcp.example.org/sse"});
    for (spec, expected) in [
        (minimal(), ("http://127.0.0.1:8088/mcp", 2)),
        (sse, ("sse+http://127.0.0.1:8088/sse", 2)),
        (
            json!({"remote": {"service": service}}),
            ("http://old.team-a.svc:8080/mcp", 1),
        ),
        (
            json!({"remote": remote, "transport": "sse"}),
            ("sse+https://mcp.example.org/sse", 1),
        ),
    ] {
        let (url, containers) = upstream(spec);
        assert_eq!((url.as_str(), containers), expected);
    }
}
