//! Every Secret and ConfigMap that a server or a session names.
//!
//! Read by [`questions`](crate::questions()) before a request is judged, and by the rules MCP0309 and MCP0321. Pull
//! secrets and TLS Secrets are not among them: kubelet and ingress controller use those, the server never sees them.

use api::{MCPAgentSessionSpec, MCPServerSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, KeyToPath, PodTemplateSpec, ProjectedVolumeSource, Volume,
};

use crate::schema::Typed;

/// What is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Secret,
    ConfigMap,
}

impl Source {
    /// The kind as it stands in YAML.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// One place where an object is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Path of the field with the name.
    pub(crate) field: String,
    /// What is named.
    pub(crate) source: Source,
    /// Its name, in the namespace of the object that names it.
    pub(crate) name: String,
    /// The keys that are named, each with the path of its field.
    pub(crate) keys: Vec<(String, String)>,
    /// The pod starts without it.
    pub(crate) optional: bool,
}

/// The Secrets that an object names. Only servers and sessions name any.
pub(crate) fn secrets_of(typed: &Typed) -> Vec<Reference> {
    let mut references = match typed {
        Typed::Server(spec) => of_server(spec),
        Typed::Session(spec) => of_session(spec),
        Typed::Grant(_)
        | Typed::Policy(_)
        | Typed::Tool(_)
        | Typed::Prompt(_)
        | Typed::Resource(_)
        | Typed::Registry(_) => Vec::new(),
    };
    references.retain(|reference| reference.source == Source::Secret);
    references
}

/// What a server names, in the order of its fields.
pub(crate) fn of_server(spec: &MCPServerSpec) -> Vec<Reference> {
    let mut all = Collector::default();
    all.container_parts("spec", &spec.env, &spec.env_from);
    all.volumes("spec.volumes", &spec.volumes);
    if let Some(template) = &spec.pod_template {
        all.template(template);
    }
    if let Some(remote) = &spec.remote {
        for (index, header) in remote.headers_from_secret.iter().enumerate() {
            let path = format!("spec.remote.headersFromSecret[{index}].secretKeyRef");
            let key = &header.secret_key_ref;
            all.key(Source::Secret, &path, &key.name, &key.key, false);
        }
        if let Some(bundle) = &remote.ca_bundle_ref {
            let path = "spec.remote.caBundleRef";
            all.key(Source::ConfigMap, path, &bundle.name, &bundle.key, false);
        }
    }
    if let Some(key) = spec
        .audit
        .as_ref()
        .and_then(|audit| audit.api_key_secret_ref.as_ref())
    {
        all.key(
            Source::Secret,
            "spec.audit.apiKeySecretRef",
            &key.name,
            &key.key,
            false,
        );
    }
    if let Some(key) = spec
        .redis
        .as_ref()
        .and_then(|redis| redis.password_secret_ref.as_ref())
    {
        all.key(Source::Secret, REDIS_PASSWORD, &key.name, &key.key, false);
    }
    all.found
}

/// What a session names.
pub(crate) fn of_session(spec: &MCPAgentSessionSpec) -> Vec<Reference> {
    let mut all = Collector::default();
    if let Some(key) = &spec.upstream_token_secret_ref {
        all.key(
            Source::Secret,
            "spec.upstreamTokenSecretRef",
            &key.name,
            &key.key,
            false,
        );
    }
    all.found
}

/// The reference that MCP0811 looks after.
pub(crate) const REDIS_PASSWORD: &str = "spec.redis.passwordSecretRef";

#[derive(Default)]
struct Collector {
    found: Vec<Reference>,
}

impl Collector {
    /// A whole object, or some keys of it.
    fn whole(&mut self, source: Source, field: String, name: &str, optional: Option<bool>) {
        if !name.is_empty() {
            self.found.push(Reference {
                field,
                source,
                name: name.to_owned(),
                keys: Vec::new(),
                optional: optional.unwrap_or(false),
            });
        }
    }

    /// One key; `path` is that of the reference.
    fn key(&mut self, source: Source, path: &str, name: &str, key: &str, optional: bool) {
        let before = self.found.len();
        self.whole(source, format!("{path}.name"), name, Some(optional));
        if let Some(reference) = self.found.get_mut(before) {
            reference.keys.push((format!("{path}.key"), key.to_owned()));
        }
    }

    /// A volume's object with the keys that it picks; `path` is that of the volume source.
    fn picked(
        &mut self,
        source: Source,
        path: &str,
        named: (&str, &str),
        items: Option<&Vec<KeyToPath>>,
        optional: Option<bool>,
    ) {
        let (field, name) = named;
        let before = self.found.len();
        self.whole(source, format!("{path}.{field}"), name, optional);
        if let Some(reference) = self.found.get_mut(before) {
            let items = items.into_iter().flatten().enumerate();
            reference.keys = items
                .map(|(index, item)| (format!("{path}.items[{index}].key"), item.key.clone()))
                .collect();
        }
    }

    fn container_parts(&mut self, path: &str, env: &[EnvVar], env_from: &[EnvFromSource]) {
        for (index, variable) in env.iter().enumerate() {
            let Some(from) = &variable.value_from else {
                continue;
            };
            let path = format!("{path}.env[{index}].valueFrom");
            if let Some(key) = &from.secret_key_ref {
                let path = format!("{path}.secretKeyRef");
                self.key(
                    Source::Secret,
                    &path,
                    &key.name,
                    &key.key,
                    key.optional == Some(true),
                );
            }
            if let Some(key) = &from.config_map_key_ref {
                let path = format!("{path}.configMapKeyRef");
                self.key(
                    Source::ConfigMap,
                    &path,
                    &key.name,
                    &key.key,
                    key.optional == Some(true),
                );
            }
        }
        for (index, from) in env_from.iter().enumerate() {
            let path = format!("{path}.envFrom[{index}]");
            if let Some(secret) = &from.secret_ref {
                let field = format!("{path}.secretRef.name");
                self.whole(Source::Secret, field, &secret.name, secret.optional);
            }
            if let Some(map) = &from.config_map_ref {
                let field = format!("{path}.configMapRef.name");
                self.whole(Source::ConfigMap, field, &map.name, map.optional);
            }
        }
    }

    fn volumes(&mut self, path: &str, volumes: &[Volume]) {
        for (index, volume) in volumes.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(secret) = &volume.secret {
                let name = secret.secret_name.as_deref().unwrap_or_default();
                let (items, optional) = (secret.items.as_ref(), secret.optional);
                self.picked(
                    Source::Secret,
                    &format!("{path}.secret"),
                    ("secretName", name),
                    items,
                    optional,
                );
            }
            if let Some(map) = &volume.config_map {
                let (items, optional) = (map.items.as_ref(), map.optional);
                self.picked(
                    Source::ConfigMap,
                    &format!("{path}.configMap"),
                    ("name", &map.name),
                    items,
                    optional,
                );
            }
            if let Some(projected) = &volume.projected {
                self.projected(&format!("{path}.projected"), projected);
            }
            for (field, name) in drivers(volume) {
                self.whole(Source::Secret, format!("{path}.{field}"), name, None);
            }
        }
    }

    fn projected(&mut self, path: &str, projected: &ProjectedVolumeSource) {
        for (index, source) in projected.sources.iter().flatten().enumerate() {
            let path = format!("{path}.sources[{index}]");
            if let Some(secret) = &source.secret {
                let (items, optional) = (secret.items.as_ref(), secret.optional);
                self.picked(
                    Source::Secret,
                    &format!("{path}.secret"),
                    ("name", &secret.name),
                    items,
                    optional,
                );
            }
            if let Some(map) = &source.config_map {
                let (items, optional) = (map.items.as_ref(), map.optional);
                self.picked(
                    Source::ConfigMap,
                    &format!("{path}.configMap"),
                    ("name", &map.name),
                    items,
                    optional,
                );
            }
        }
    }

    fn template(&mut self, template: &PodTemplateSpec) {
        let Some(spec) = &template.spec else { return };
        let path = "spec.podTemplate.spec";
        for (list, containers) in [
            ("containers", Some(&spec.containers)),
            ("initContainers", spec.init_containers.as_ref()),
        ] {
            for (index, container) in containers.into_iter().flatten().enumerate() {
                let Container { env, env_from, .. } = container;
                self.container_parts(
                    &format!("{path}.{list}[{index}]"),
                    env.as_deref().unwrap_or_default(),
                    env_from.as_deref().unwrap_or_default(),
                );
            }
        }
        self.volumes(
            &format!("{path}.volumes"),
            spec.volumes.as_deref().unwrap_or_default(),
        );
    }
}

/// The Secrets that drivers of volumes are given, each with its field.
fn drivers(volume: &Volume) -> Vec<(&'static str, &str)> {
    let mut named: Vec<(&'static str, Option<&str>)> = Vec::new();
    if let Some(csi) = &volume.csi {
        let secret = csi.node_publish_secret_ref.as_ref();
        named.push((
            "csi.nodePublishSecretRef.name",
            secret.map(|secret| secret.name.as_str()),
        ));
    }
    if let Some(azure) = &volume.azure_file {
        named.push(("azureFile.secretName", Some(&azure.secret_name)));
    }
    for (field, secret) in [
        (
            "cephfs.secretRef.name",
            volume
                .cephfs
                .as_ref()
                .and_then(|source| source.secret_ref.as_ref()),
        ),
        (
            "cinder.secretRef.name",
            volume
                .cinder
                .as_ref()
                .and_then(|source| source.secret_ref.as_ref()),
        ),
        (
            "flexVolume.secretRef.name",
            volume
                .flex_volume
                .as_ref()
                .and_then(|source| source.secret_ref.as_ref()),
        ),
        (
            "iscsi.secretRef.name",
            volume
                .iscsi
                .as_ref()
                .and_then(|source| source.secret_ref.as_ref()),
        ),
        (
            "rbd.secretRef.name",
            volume
                .rbd
                .as_ref()
                .and_then(|source| source.secret_ref.as_ref()),
        ),
        (
            "storageos.secretRef.name",
            volume
                .storageos
                .as_ref()
                .and_then(|source| source.secret_ref.as_ref()),
        ),
    ] {
        named.push((field, secret.map(|secret| secret.name.as_str())));
    }
    if let Some(scale_io) = &volume.scale_io {
        named.push(("scaleIO.secretRef.name", Some(&scale_io.secret_ref.name)));
    }
    named
        .into_iter()
        .filter_map(|(field, name)| Some((field, name?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_that_can_name_a_secret_is_found() {
        let spec: MCPServerSpec = serde_json::from_value(json!({
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env", "key": "a"}}}],
            "envFrom": [{"secretRef": {"name": "env-from"}}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "volume", "items": [{"key": "k", "path": "p"}]}},
                {"name": "b", "projected": {"sources": [{"secret": {"name": "projected"}}]}},
                {"name": "c", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi"}}},
                {"name": "d", "azureFile": {"secretName": "azure", "shareName": "s"}},
                {"name": "e", "cephfs": {"monitors": [], "secretRef": {"name": "cephfs"}}},
                {"name": "f", "cinder": {"volumeID": "v", "secretRef": {"name": "cinder"}}},
                {"name": "g", "flexVolume": {"driver": "d", "secretRef": {"name": "flex"}}},
                {"name": "h", "iscsi": {"iqn": "i", "lun": 0, "targetPortal": "t", "secretRef": {"name": "iscsi"}}},
                {"name": "i", "rbd": {"image": "i", "monitors": [], "secretRef": {"name": "rbd"}}},
                {"name": "j", "storageos": {"secretRef": {"name": "storageos"}}},
                {"name": "k", "scaleIO": {"gateway": "g", "system": "s", "secretRef": {"name": "scaleio"}}}
            ],
            "podTemplate": {"spec": {
                "containers": [{"name": "x", "envFrom": [{"secretRef": {"name": "extra"}}]}],
                "initContainers": [{"name": "y", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "init", "key": "a"}}}]}],
                "volumes": [{"name": "z", "secret": {"secretName": "template"}}]
            }},
            "remote": {"headersFromSecret": [{"name": "X-Key", "secretKeyRef": {"name": "header", "key": "k"}}]},
            "audit": {"apiKeySecretRef": {"name": "audit", "key": "k"}},
            "redis": {"serviceName": "r", "passwordSecretRef": {"name": "redis", "key": "k"}}
        }))
        .unwrap();
        let found = of_server(&spec);
        let names: Vec<&str> = found
            .iter()
            .map(|reference| reference.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "env",
                "env-from",
                "volume",
                "projected",
                "csi",
                "azure",
                "cephfs",
                "cinder",
                "flex",
                "iscsi",
                "rbd",
                "storageos",
                "scaleio",
                "extra",
                "init",
                "template",
                "header",
                "audit",
                "redis"
            ]
        );
        assert_eq!(
            found[2].keys,
            [(
                "spec.volumes[0].secret.items[0].key".to_owned(),
                "k".to_owned()
            )]
        );
        assert_eq!(
            found[13].field,
            "spec.podTemplate.spec.containers[0].envFrom[0].secretRef.name"
        );
    }

    #[test]
    fn config_maps_are_told_from_secrets() {
        let spec: MCPServerSpec = serde_json::from_value(json!({
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "k", "optional": true}}}],
            "envFrom": [{"configMapRef": {"name": "b"}}],
            "volumes": [{"name": "v", "configMap": {"name": "c"}}],
            "remote": {"caBundleRef": {"name": "d", "key": "ca.crt"}}
        }))
        .unwrap();
        let found = of_server(&spec);
        assert!(
            found
                .iter()
                .all(|reference| reference.source == Source::ConfigMap)
        );
        assert_eq!(found.len(), 4);
        assert!(found[0].optional && !found[1].optional);
    }
}
