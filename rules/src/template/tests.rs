//! Everything of a pod template that is outside the list is named with its path.

use serde_json::{Value, json};

use super::{Excess, excesses};

fn spec(key: &str, value: &Value) -> Vec<Excess> {
    excesses(&json!({"spec": {key: value}}))
}

fn extra(key: &str, value: &Value) -> Vec<Excess> {
    spec(
        "containers",
        &json!([{"name": "helper", "image": "ghcr.io/acme/helper:1", key: value}]),
    )
}

fn server(key: &str, value: &Value) -> Vec<Excess> {
    spec(
        "containers",
        &json!([{"name": "server", "securityContext": {key: value}}]),
    )
}

fn paths(found: &[Excess]) -> Vec<&str> {
    found
        .iter()
        .map(|excess| excess.field.strip_prefix("spec.podTemplate").unwrap())
        .collect()
}

#[test]
fn what_a_template_is_for_is_nothing_to_say_about() {
    let template = json!({
        "metadata": {
            "labels": {"app.kubernetes.io/component": "weather", "team": "a"},
            "annotations": {"prometheus.io/scrape": "false", "sidecar.istio.io/inject": "false"}
        },
        "spec": {
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
            "priorityClassName": "batch",
            "hostNetwork": null,
            "volumes": [],
            "containers": [
                {"name": "server", "securityContext": {
                    "runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": true, "privileged": false,
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "procMount": "Default",
                    "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}
                }},
                {"name": "helper", "image": "ghcr.io/acme/helper:1", "command": ["/x"], "args": ["-v"],
                 "env": [{"name": "A", "value": "b"}], "ports": [{"containerPort": 9000}],
                 "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                 "livenessProbe": {"httpGet": {"path": "/", "port": 9000}},
                 "lifecycle": {"preStop": {"exec": {"command": ["/bye"]}}},
                 "securityContext": {"readOnlyRootFilesystem": false},
                 "resources": {"limits": {"cpu": "1"}}}
            ]
        }
    });
    assert_eq!(excesses(&template), []);
}

#[test]
fn every_field_of_a_pod_that_reaches_around_the_gateway_is_refused() {
    for (key, value) in [
        ("hostNetwork", json!(true)),
        ("hostNetwork", json!(false)),
        ("hostPID", json!(true)),
        ("hostIPC", json!(true)),
        ("hostUsers", json!(true)),
        ("shareProcessNamespace", json!(true)),
        ("nodeName", json!("node-1")),
        ("runtimeClassName", json!("runc-privileged")),
        (
            "hostAliases",
            json!([{"ip": "127.0.0.1", "hostnames": ["issuer.example.com"]}]),
        ),
        ("dnsConfig", json!({"nameservers": ["203.0.113.1"]})),
        ("dnsPolicy", json!("Default")),
        (
            "securityContext",
            json!({"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
        ),
        ("initContainers", json!([{"name": "x", "image": "y:1"}])),
        (
            "ephemeralContainers",
            json!([{"name": "x", "image": "y:1"}]),
        ),
        ("serviceAccountName", json!("admin")),
        ("serviceAccount", json!("admin")),
        ("automountServiceAccountToken", json!(true)),
        ("imagePullSecrets", json!([{"name": "x"}])),
        (
            "volumes",
            json!([{"name": "root", "hostPath": {"path": "/"}}]),
        ),
        ("hostname", json!("x")),
        ("subdomain", json!("x")),
        ("schedulerName", json!("x")),
        ("resourceClaims", json!([{"name": "gpu"}])),
        ("restartPolicy", json!("Never")),
        ("activeDeadlineSeconds", json!(1)),
        ("HostNetwork", json!(true)),
        ("someFutureField", json!({"a": 1})),
    ] {
        let found = spec(key, &value);
        assert_eq!(paths(&found), [format!(".spec.{key}")], "{key}");
    }
    assert_eq!(
        paths(&excesses(&json!({"metadata": {"name": "x"}}))),
        [".metadata.name"]
    );
    assert_eq!(paths(&excesses(&json!({"status": {"a": 1}}))), [".status"]);
    assert_eq!(
        paths(&spec("priorityClassName", &json!("system-node-critical"))),
        [".spec.priorityClassName"]
    );
}

#[test]
fn a_further_container_does_not_reach_the_node() {
    for (key, value, path) in [
        (
            "securityContext",
            json!({"privileged": true}),
            ".securityContext.privileged",
        ),
        (
            "securityContext",
            json!({"privileged": "true"}),
            ".securityContext.privileged",
        ),
        (
            "securityContext",
            json!({"allowPrivilegeEscalation": true}),
            ".securityContext.allowPrivilegeEscalation",
        ),
        (
            "securityContext",
            json!({"capabilities": {"add": ["SYS_ADMIN"]}}),
            ".securityContext.capabilities.add",
        ),
        (
            "securityContext",
            json!({"procMount": "Unmasked"}),
            ".securityContext.procMount",
        ),
        (
            "securityContext",
            json!({"runAsUser": 0}),
            ".securityContext.runAsUser",
        ),
        (
            "securityContext",
            json!({"runAsNonRoot": false}),
            ".securityContext.runAsNonRoot",
        ),
        (
            "securityContext",
            json!({"seccompProfile": {"type": "Unconfined"}}),
            ".securityContext.seccompProfile.type",
        ),
        (
            "securityContext",
            json!({"appArmorProfile": {"type": "Unconfined"}}),
            ".securityContext.appArmorProfile.type",
        ),
        (
            "securityContext",
            json!({"seLinuxOptions": {"type": "spc_t"}}),
            ".securityContext.seLinuxOptions",
        ),
        (
            "securityContext",
            json!({"windowsOptions": {"hostProcess": true}}),
            ".securityContext.windowsOptions",
        ),
        (
            "ports",
            json!([{"containerPort": 1, "hostPort": 80}]),
            ".ports[0].hostPort",
        ),
        (
            "ports",
            json!([{"containerPort": 1, "hostIP": "10.0.0.1"}]),
            ".ports[0].hostIP",
        ),
        (
            "volumeDevices",
            json!([{"name": "d", "devicePath": "/dev/sda"}]),
            ".volumeDevices",
        ),
        (
            "volumeMounts",
            json!([{"name": "kubectl-mcp-token", "mountPath": "/x"}]),
            ".volumeMounts[0].name",
        ),
        (
            "volumeMounts",
            json!([{"name": "d", "mountPath": "/x", "mountPropagation": "Bidirectional"}]),
            ".volumeMounts[0].mountPropagation",
        ),
        (
            "livenessProbe",
            json!({"httpGet": {"host": "169.254.169.254", "port": 80}}),
            ".livenessProbe.httpGet.host",
        ),
        (
            "readinessProbe",
            json!({"tcpSocket": {"host": "10.0.0.1", "port": 80}}),
            ".readinessProbe.tcpSocket.host",
        ),
        (
            "lifecycle",
            json!({"postStart": {"httpGet": {"host": "10.0.0.1", "port": 80}}}),
            ".lifecycle.postStart.httpGet.host",
        ),
        ("restartPolicy", json!("Always"), ".restartPolicy"),
        ("future", json!(1), ".future"),
    ] {
        let found = extra(key, &value);
        assert_eq!(
            paths(&found),
            [format!(".spec.containers[0]{path}")],
            "{path}"
        );
    }
}

#[test]
fn the_server_can_only_be_made_stricter() {
    for (key, value) in [
        ("privileged", json!(true)),
        ("readOnlyRootFilesystem", json!(false)),
        ("runAsNonRoot", json!(false)),
        ("runAsUser", json!(0)),
        ("seLinuxOptions", json!({"level": "s0"})),
        ("procMount", json!("Unmasked")),
    ] {
        let found = server(key, &value);
        assert_eq!(
            paths(&found),
            [format!(".spec.containers[0].securityContext.{key}")]
        );
    }
    let other = spec(
        "containers",
        &json!([{"name": "server", "image": "evil:1", "env": [{"name": "A", "value": "b"}]}]),
    );
    assert_eq!(
        paths(&other),
        [".spec.containers[0].env", ".spec.containers[0].image"]
    );
}

#[test]
fn what_is_the_gateways_or_another_servers_is_isolation() {
    for template in [
        json!({"metadata": {"labels": {"kubectl-mcp.dev/server": "other"}}}),
        json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "kubectl-mcp-operator"}}}),
        json!({"metadata": {"annotations": {"a.kubectl-mcp.dev/x": "y"}}}),
        json!({"spec": {"serviceAccountName": "admin"}}),
        json!({"spec": {"automountServiceAccountToken": true}}),
        json!({"spec": {"containers": [{"name": "x", "volumeMounts": [{"name": "kubectl-mcp-access"}]}]}}),
    ] {
        let found = excesses(&template);
        assert!(
            found.len() == 1 && found[0].isolation,
            "{template}: {found:?}"
        );
    }
    let named = spec("volumes", &json!([{"name": "kubectl-mcp-token"}]));
    assert!(named.iter().any(|excess| excess.isolation));
    assert!(!spec("hostNetwork", &json!(true))[0].isolation);
}

#[test]
fn annotations_that_reach_around_the_spec_are_refused() {
    for key in [
        "container.apparmor.security.beta.kubernetes.io/server",
        "io.kubernetes.cri-o.userns-mode",
        "k8s.v1.cni.cncf.io/networks",
        "cni.projectcalico.org/ipAddrs",
        "sidecar.istio.io/userVolume",
    ] {
        let found = excesses(&json!({"metadata": {"annotations": {key: "x"}}}));
        assert_eq!(paths(&found), [format!(".metadata.annotations[{key}]")]);
    }
}
