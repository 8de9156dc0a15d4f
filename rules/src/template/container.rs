//! The containers of a `podTemplate`: the server's own may only be made stricter, others may not reach the node.

use api::names::VOLUME_PREFIX;
use serde_json::Value;

use super::{Walk, fields};
use crate::finding::escape;

/// What a further container may say, but for what is looked into.
const PLAIN: [&str; 14] = [
    "name",
    "image",
    "imagePullPolicy",
    "command",
    "args",
    "workingDir",
    "env",
    "envFrom",
    "resources",
    "resizePolicy",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "stdin",
    "tty",
];

impl Walk {
    /// The server's own container: its other fields stand in the MCPServer itself.
    pub(super) fn server(&mut self, container: &Value, path: &str) {
        for (key, value) in fields(container) {
            match key.as_str() {
                "name" => {}
                "securityContext" => self.security(value, &format!("{path}.securityContext"), true),
                _ => {
                    let field = format!("{path}.{}", escape(key));
                    let must = "must not be set: of the container server only securityContext can be, everything else \
                                stands in the spec of the MCPServer";
                    self.refuse_unsaid(field, value, must);
                }
            }
        }
    }

    /// A container beside the server.
    pub(super) fn extra(&mut self, container: &Value, path: &str) {
        for (key, value) in fields(container) {
            let field = format!("{path}.{}", escape(key));
            match key.as_str() {
                key if PLAIN.contains(&key) => {}
                "securityContext" => self.security(value, &field, false),
                "ports" => self.ports(value, &field),
                "volumeMounts" => self.mounts(value, &field),
                "livenessProbe" | "readinessProbe" | "startupProbe" => self.handler(value, &field),
                "lifecycle" => {
                    for (hook, handler) in fields(value) {
                        self.handler(handler, &format!("{field}.{}", escape(hook)));
                    }
                }
                "volumeDevices" => {
                    self.refuse(
                        field,
                        value,
                        "must not be set: it gives the container a device of the node",
                    );
                }
                _ => {
                    let must = "must not be set: it is no field that a further container can have";
                    self.refuse_unsaid(field, value, must);
                }
            }
        }
    }

    fn ports(&mut self, ports: &Value, path: &str) {
        for (index, port) in ports.as_array().into_iter().flatten().enumerate() {
            for (key, value) in
                fields(port).filter(|(key, _)| matches!(key.as_str(), "hostPort" | "hostIP"))
            {
                let field = format!("{path}[{index}].{key}");
                let excess =
                    self.refuse(field, value, "must not be set: it opens a port of the node");
                excess.hint = Some("take it away: a Service reaches containerPort".to_owned());
            }
        }
    }

    fn mounts(&mut self, mounts: &Value, path: &str) {
        for (index, mount) in mounts.as_array().into_iter().flatten().enumerate() {
            let name = mount.get("name").and_then(Value::as_str);
            if name.is_some_and(|name| name.starts_with(VOLUME_PREFIX)) {
                self.our_volume(format!("{path}[{index}].name"), &mount["name"]);
            }
            if let Some(value) = mount
                .get("mountPropagation")
                .filter(|value| !matches!(value.as_str(), None | Some("None")))
            {
                let field = format!("{path}[{index}].mountPropagation");
                self.refuse(
                    field,
                    value,
                    "must be None: mounts of the node must not come in, nor ours go out",
                );
            }
        }
    }

    /// A probe or hook: the kubelet runs it from the node's network, so it may name no other host.
    fn handler(&mut self, handler: &Value, path: &str) {
        for action in ["httpGet", "tcpSocket"] {
            if let Some(host) = handler
                .get(action)
                .and_then(|action| action.get("host"))
                .filter(|host| !host.is_null())
            {
                let field = format!("{path}.{action}.host");
                let excess = self.refuse(
                    field,
                    host,
                    "must not be set: the kubelet would connect there from the node",
                );
                excess.hint = Some("take it away: the default is the pod itself".to_owned());
            }
        }
    }

    fn security(&mut self, context: &Value, path: &str, server: bool) {
        for (key, value) in fields(context) {
            let field = format!("{path}.{}", escape(key));
            let must = match key.as_str() {
                "privileged" | "allowPrivilegeEscalation" => {
                    unless(value == &Value::Bool(false), "must be false")
                }
                "runAsNonRoot" => unless(value == &Value::Bool(true), "must be true"),
                "readOnlyRootFilesystem" => {
                    let fits = value == &Value::Bool(true) || !server && value.is_boolean();
                    unless(
                        fits,
                        "must be true: a server has /tmp to write to, and volumes",
                    )
                }
                "runAsUser" | "runAsGroup" => unless(
                    value.as_i64().is_some_and(|id| id > 0),
                    "must be above 0, which is root",
                ),
                "procMount" => unless(
                    value == "Default",
                    "must be Default: the kernel's files stay masked",
                ),
                "seccompProfile" | "appArmorProfile" => {
                    self.profile(value, &field);
                    None
                }
                "capabilities" => {
                    self.capabilities(value, &field);
                    None
                }
                _ => Some("must not be set: it is no field by which a container becomes stricter"),
            };
            if let Some(must) = must {
                self.refuse(field, value, must);
            }
        }
    }

    fn profile(&mut self, profile: &Value, path: &str) {
        let kind = profile.get("type");
        if !matches!(
            kind.and_then(Value::as_str),
            Some("RuntimeDefault" | "Localhost")
        ) {
            let excess = self.refuse(
                format!("{path}.type"),
                kind.unwrap_or(&Value::Null),
                "must be RuntimeDefault or Localhost",
            );
            excess.hint = Some("type: RuntimeDefault".to_owned());
        }
    }

    fn capabilities(&mut self, capabilities: &Value, path: &str) {
        for (key, value) in fields(capabilities).filter(|(key, _)| *key != "drop") {
            let field = format!("{path}.{}", escape(key));
            let excess = self.refuse(
                field,
                value,
                "must not be set: a container drops all capabilities and gets none",
            );
            excess.hint = Some("take it away".to_owned());
            let given: Vec<&str> = value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            excess.value = Some(given.join(","));
        }
    }
}

fn unless(fits: bool, must: &'static str) -> Option<&'static str> {
    (!fits).then_some(must)
}
