//! What of a `podTemplate` goes beyond the few things that it is for: labels and annotations that are nobody's, where the
//! pod is scheduled, a stricter security context of the server, and further containers with an image of their own.
//!
//! An allow list over the text as it was given, so that a field which this version does not know is refused too. Read
//! by the rule MCP0310. Whether the template decodes at all is MCP0311's question.

mod container;

use api::names::{DOMAIN_PREFIX, MANAGED_BY, SERVER_CONTAINER, VOLUME_PREFIX};
use serde_json::{Map, Value};

use crate::finding::escape;

/// One thing that a template may not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    /// Path of the field.
    pub(crate) field: String,
    /// What was given, if that is short.
    pub(crate) value: Option<String>,
    /// What was given, whole, for the ratchet.
    pub(crate) judged: String,
    /// What it must be.
    pub(crate) must: String,
    /// What to write instead.
    pub(crate) hint: Option<String>,
    /// It would take what is the gateway's or another server's: no policy allows that.
    pub(crate) isolation: bool,
}

const PATH: &str = "spec.podTemplate";
const ALLOWED: &str = "podTemplate is for labels, annotations, nodeSelector, tolerations, affinity, \
     topologySpreadConstraints, priorityClassName, a stricter securityContext of the container server, and further \
     containers";

/// How many containers of a template are looked at. MCP0311 refuses more.
pub(crate) const MOST_CONTAINERS: usize = 32;
/// How many volumes of a template are looked at. MCP0311 refuses more.
pub(crate) const MOST_VOLUMES: usize = 64;
/// How much is said of one template: what no policy allows comes first.
const MOST_EXCESSES: usize = 256;

/// Everything that a template says and may not.
pub(crate) fn excesses(template: &Value) -> Vec<Excess> {
    let mut walk = Walk::default();
    for (key, value) in fields(template) {
        match key.as_str() {
            "metadata" => walk.metadata(value),
            "spec" => walk.spec(value),
            _ => walk.outside(PATH, key, value),
        }
    }
    walk.found.sort_by_key(|excess| !excess.isolation);
    walk.found.truncate(MOST_EXCESSES);
    walk.found
}

/// The fields of a mapping that say something. What is no mapping has none: MCP0311 refuses it.
fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value
        .as_object()
        .into_iter()
        .flat_map(Map::iter)
        .filter(|(_, value)| !says_nothing(value))
}

/// Null, and what is empty, is as good as absent.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[derive(Default)]
struct Walk {
    found: Vec<Excess>,
}

impl Walk {
    fn refuse(&mut self, field: String, value: &Value, must: impl Into<String>) -> &mut Excess {
        let quoted = match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let at = self.found.len();
        self.found.push(Excess {
            field,
            value: quoted,
            judged: value.to_string(),
            must: must.into(),
            hint: None,
            isolation: false,
        });
        &mut self.found[at]
    }

    /// The same for what may be a secret: it is not quoted.
    fn refuse_unsaid(
        &mut self,
        field: String,
        value: &Value,
        must: impl Into<String>,
    ) -> &mut Excess {
        let excess = self.refuse(field, value, must);
        excess.value = None;
        excess
    }

    /// A field that is not in the list. What it says may be a secret, and is not quoted.
    fn outside(&mut self, path: &str, key: &str, value: &Value) {
        let field = format!("{path}.{}", escape(key));
        self.refuse_unsaid(field, value, format!("must not be set: {ALLOWED}"));
    }

    fn metadata(&mut self, metadata: &Value) {
        let path = format!("{PATH}.metadata");
        for (key, value) in fields(metadata) {
            match key.as_str() {
                "labels" => self.labels(value, &format!("{path}.labels")),
                "annotations" => self.annotations(value, &format!("{path}.annotations")),
                _ => self.outside(&path, key, value),
            }
        }
    }

    fn labels(&mut self, labels: &Value, path: &str) {
        for (key, value) in labels.as_object().into_iter().flatten() {
            if is_ours(key) || key == MANAGED_BY {
                let field = format!("{path}[{}]", escape(key));
                let must = "must not be set: by this label Services and NetworkPolicies find the pods of a server";
                let excess = self.refuse(field, value, must);
                excess.hint = Some("take it away".to_owned());
                excess.isolation = true;
            }
        }
    }

    fn annotations(&mut self, annotations: &Value, path: &str) {
        for (key, value) in annotations.as_object().into_iter().flatten() {
            let field = format!("{path}[{}]", escape(key));
            if is_ours(key) {
                let excess = self.refuse_unsaid(
                    field,
                    value,
                    "must not be set: annotations of this domain are the operator's",
                );
                excess.isolation = true;
            } else if let Some(what) = host_annotation(key) {
                self.refuse_unsaid(field, value, format!("must not be set: it {what}"));
            }
        }
    }

    fn spec(&mut self, spec: &Value) {
        let path = format!("{PATH}.spec");
        for (key, value) in fields(spec) {
            match key.as_str() {
                "nodeSelector" | "tolerations" | "affinity" | "topologySpreadConstraints" => {}
                "priorityClassName" => self.priority(value, &path),
                "containers" => self.containers(value, &format!("{path}.containers")),
                "volumes" => self.volumes(value, &format!("{path}.volumes")),
                _ => match why_not(key) {
                    Some((why, hint, isolation)) => {
                        let excess = self.refuse(
                            format!("{path}.{key}"),
                            value,
                            format!("must not be set: {why}"),
                        );
                        excess.hint = Some(hint.to_owned());
                        excess.isolation = isolation;
                    }
                    None => self.outside(&path, key, value),
                },
            }
        }
    }

    fn priority(&mut self, value: &Value, path: &str) {
        if value
            .as_str()
            .is_some_and(|name| name.starts_with("system-"))
        {
            let must = "must not be a class of the system: its pods push away those of others";
            self.refuse(format!("{path}.priorityClassName"), value, must);
        }
    }

    /// The server's volumes are in `spec.volumes`. Names of ours are refused even where a policy allows more.
    fn volumes(&mut self, volumes: &Value, path: &str) {
        let items = volumes.as_array().into_iter().flatten().take(MOST_VOLUMES);
        for (index, volume) in items.enumerate() {
            let name = volume.get("name").and_then(Value::as_str);
            if name.is_some_and(|name| name.starts_with(VOLUME_PREFIX)) {
                self.our_volume(format!("{path}[{index}].name"), &volume["name"]);
            }
        }
        let excess = self.refuse(
            path.to_owned(),
            volumes,
            "must not be set: volumes stand in spec.volumes",
        );
        excess.hint = Some("move them to spec.volumes".to_owned());
    }

    fn our_volume(&mut self, field: String, name: &Value) {
        let must = format!("must not begin with {VOLUME_PREFIX}, as the volumes of the gateway do");
        let excess = self.refuse(field, name, must);
        excess.hint = Some("choose another name".to_owned());
        excess.isolation = true;
    }

    fn containers(&mut self, containers: &Value, path: &str) {
        let items = containers
            .as_array()
            .into_iter()
            .flatten()
            .take(MOST_CONTAINERS);
        for (index, container) in items.enumerate() {
            let path = format!("{path}[{index}]");
            if container.get("name").and_then(Value::as_str) == Some(SERVER_CONTAINER) {
                self.server(container, &path);
            } else {
                self.extra(container, &path);
            }
        }
    }
}

fn is_ours(key: &str) -> bool {
    let domain = key.split('/').next().unwrap_or_default();
    let ours = DOMAIN_PREFIX.trim_end_matches('/');
    key.contains('/')
        && (domain == ours
            || domain
                .strip_suffix(ours)
                .is_some_and(|rest| rest.ends_with('.')))
}

/// Annotations by which runtimes, network plugins and injectors reach around what a pod's spec says: the beginning or,
/// with a dot in front, a domain with all below it.
const HOST_ANNOTATIONS: [(&str, &str); 13] = [
    (
        "container.apparmor.security.beta.kubernetes.io/",
        "chooses the AppArmor profile of a container",
    ),
    (
        "container.seccomp.security.alpha.kubernetes.io/",
        "chooses the seccomp profile of a container",
    ),
    (
        "seccomp.security.alpha.kubernetes.io/",
        "chooses the seccomp profile of the pod",
    ),
    ("security.alpha.kubernetes.io/", "sets sysctls of the pod"),
    (
        "io.kubernetes.cri-o.",
        "changes how the runtime isolates the pod",
    ),
    (
        "io.katacontainers.",
        "changes how the runtime isolates the pod",
    ),
    (
        ".cni.cncf.io",
        "gives the pod networks that NetworkPolicies do not cover",
    ),
    (
        ".multus-cni.io",
        "gives the pod networks that NetworkPolicies do not cover",
    ),
    (".cni.projectcalico.org", "changes the pod's network"),
    (".k8s.ovn.org", "changes the pod's network"),
    (".ovn.kubernetes.io", "changes the pod's network"),
    (
        "sidecar.istio.io/user",
        "gives an injected container volumes",
    ),
    ("inject.istio.io/", "chooses what is injected into the pod"),
];

fn host_annotation(key: &str) -> Option<&'static str> {
    let (domain, _) = key.split_once('/').unwrap_or_default();
    let reaches = |pattern: &str| match pattern.strip_prefix('.') {
        Some(parent) => domain == parent || domain.ends_with(pattern),
        None => key.starts_with(pattern),
    };
    HOST_ANNOTATIONS
        .iter()
        .find(|(pattern, _)| reaches(pattern))
        .map(|(_, what)| *what)
}

/// Why a field of a pod's spec is not for a server, what to write instead, and whether no policy may allow it.
fn why_not(field: &str) -> Option<(&'static str, &'static str, bool)> {
    const AWAY: &str = "take it away";
    let (why, hint, isolation) = match field {
        "hostNetwork" => (
            "it is the node's network, past every NetworkPolicy",
            AWAY,
            false,
        ),
        "hostPID" => ("it shows the processes of the node", AWAY, false),
        "hostIPC" => ("it shares memory with the node", AWAY, false),
        "hostUsers" => (
            "it decides whether users of the pod are users of the node",
            AWAY,
            false,
        ),
        "shareProcessNamespace" => (
            "the server could read the gateway's memory and token",
            AWAY,
            false,
        ),
        "nodeName" => (
            "it puts the pod on a node past the scheduler",
            "use nodeSelector or affinity",
            false,
        ),
        "runtimeClassName" => (
            "it changes how the pod is isolated from the node",
            AWAY,
            false,
        ),
        "hostAliases" | "dnsConfig" | "dnsPolicy" => (
            "it changes which addresses the gateway takes names for",
            AWAY,
            false,
        ),
        "securityContext" => (
            "it would hold for the gateway too",
            "containers: [{name: server, securityContext: {...}}] can be stricter than the default",
            false,
        ),
        "initContainers" | "ephemeralContainers" => (
            "only containers that run beside the server can be added",
            "add it to containers",
            false,
        ),
        "serviceAccountName" | "serviceAccount" => (
            "the account stands in spec.serviceAccountName",
            "serviceAccountName: as a field of the MCPServer",
            true,
        ),
        "automountServiceAccountToken" => (
            "a token is given by spec.serverToken",
            "serverToken: true as a field of the MCPServer",
            true,
        ),
        "imagePullSecrets" => (
            "pull secrets stand in spec.imagePullSecrets",
            "imagePullSecrets: [name] as a field of the MCPServer",
            false,
        ),
        "resources" => (
            "resources stand in spec.resources",
            "resources: as a field of the MCPServer",
            false,
        ),
        _ => return None,
    };
    Some((why, hint, isolation))
}

#[cfg(test)]
mod tests;
