//! The objects that are facts for others: those of the cluster, with those of the run over them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rules::{Kind, Known, LiveServer, Requester, SecretFact, ServiceFact, ServicePortFact};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::unseen::Unseen;
use super::{Key, in_namespace, is_namespaced, merge, namespace_of};
use crate::manifests::Object;

/// The label that every namespace carries with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What is there, and of what it is known that there is no more.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Objects of our kinds.
    pub(super) objects: BTreeMap<Key, Value>,
    /// Kinds and namespaces that were listed whole; the empty namespace stands for all.
    pub(super) listed: BTreeSet<(Kind, String)>,
    /// Labels of namespaces, by name.
    pub(super) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) all_namespaces: bool,
    /// Names of ingress classes.
    pub(super) classes: Vec<String>,
    pub(super) all_classes: bool,
    pub(super) secrets: Parts<SecretFact>,
    pub(super) config_maps: Parts<BTreeMap<String, String>>,
    pub(super) services: Parts<ServiceFact>,
    /// Who asks.
    pub(super) requester: Known<Requester>,
    /// What could not be looked at.
    pub(super) unseen: Vec<Unseen>,
}

/// Objects by namespace and name.
pub(super) type ByName<T> = BTreeMap<(String, String), T>;

/// Objects of a kind that is not ours, by namespace and name.
#[derive(Debug)]
pub(super) struct Parts<T> {
    found: BTreeMap<String, Arc<BTreeMap<String, T>>>,
    /// Namespaces that were listed whole; the empty one stands for all.
    listed: BTreeSet<String>,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self {
            found: BTreeMap::new(),
            listed: BTreeSet::new(),
        }
    }
}

impl<T: Clone> Parts<T> {
    pub(super) fn insert(&mut self, namespace: &str, name: &str, part: T) {
        let found = self.found.entry(namespace.to_owned()).or_default();
        Arc::make_mut(found).insert(name.to_owned(), part);
    }

    /// Notes that there are no more in a namespace, or anywhere.
    pub(super) fn complete(&mut self, namespace: &str) {
        self.listed.insert(namespace.to_owned());
    }

    /// Those of a namespace, and whether they are all.
    pub(super) fn of(&self, namespace: &str) -> (Arc<BTreeMap<String, T>>, bool) {
        let found = self.found.get(namespace).cloned().unwrap_or_default();
        let complete = self.listed.contains("") || self.listed.contains(namespace);
        (found, complete)
    }

    /// Those of all namespaces, and whether they are all.
    pub(super) fn all(&self) -> (Arc<ByName<T>>, bool) {
        let all = self.found.iter().flat_map(|(namespace, parts)| {
            parts
                .iter()
                .map(move |(name, part)| ((namespace.clone(), name.clone()), part.clone()))
        });
        (Arc::new(all.collect()), self.listed.contains(""))
    }

    /// Changes one that is there.
    pub(super) fn change(&mut self, namespace: &str, name: &str, change: impl FnOnce(&mut T)) {
        if let Some(found) = self.found.get_mut(namespace)
            && let Some(part) = Arc::make_mut(found).get_mut(name)
        {
            change(part);
        }
    }
}

impl Stored {
    /// Whether all objects of a kind in a namespace are known; of the empty namespace, all there are.
    pub(super) fn is_listed(&self, kind: Kind, namespace: &str) -> bool {
        self.listed.contains(&(kind, String::new()))
            || self.listed.contains(&(kind, namespace.to_owned()))
    }

    /// Takes an object of the run as a fact. What it replaces comes back.
    pub(super) fn take(&mut self, object: &Object, default: &str) -> Option<(Key, Value)> {
        let name = object.text("/metadata/name");
        let Some(kind) = object.kind() else {
            if !name.is_empty() {
                self.take_foreign(object, name, namespace_of(object, default));
            }
            return None;
        };
        if name.is_empty() {
            return None;
        }
        let namespace = if is_namespaced(kind) {
            namespace_of(object, default)
        } else {
            ""
        };
        let key = (kind, namespace.to_owned(), name.to_owned());
        let given = in_namespace(&object.value, kind, default);
        // Only a cluster gives a uid: a name that comes twice in one run does not replace itself.
        let from_cluster =
            |old: &&Value| old.pointer("/metadata/uid").is_some() && !self.listed.is_empty();
        let old = self.objects.get(&key).filter(from_cluster).cloned();
        let new = match &old {
            Some(old) => merge::applied(old, &given),
            None => given,
        };
        self.objects.insert(key.clone(), new);
        Some((key, old?))
    }

    fn take_foreign(&mut self, object: &Object, name: &str, namespace: &str) {
        let value = &object.value;
        match (object.text("/apiVersion"), object.text("/kind")) {
            ("v1", "Namespace") => {
                let labels = value
                    .pointer("/metadata/labels")
                    .cloned()
                    .unwrap_or_default();
                self.take_namespace(name, serde_json::from_value(labels).unwrap_or_default());
            }
            ("v1", "Secret") => {
                if let Ok(shape) = SecretShape::deserialize(value) {
                    self.secrets.insert(namespace, name, shape.fact());
                }
            }
            ("v1", "ConfigMap") => {
                if let Ok(shape) = ConfigMapShape::deserialize(value) {
                    self.config_maps
                        .insert(namespace, name, shape.data.unwrap_or_default());
                }
            }
            ("v1", "Service") => {
                if let Ok(shape) = ServiceShape::deserialize(value) {
                    self.services.insert(namespace, name, shape.fact());
                }
            }
            (version, "IngressClass")
                if version.starts_with("networking.k8s.io/")
                    && !self.classes.iter().any(|class| class == name) =>
            {
                self.classes.push(name.to_owned());
            }
            _ => {}
        }
    }

    pub(super) fn take_namespace(&mut self, name: &str, mut labels: BTreeMap<String, String>) {
        labels.insert(NAMESPACE_NAME.to_owned(), name.to_owned());
        self.namespaces.insert(name.to_owned(), labels);
    }

    /// The objects of a kind that are what their type says. The others get their findings when they are judged.
    pub(super) fn typed<T: DeserializeOwned>(&self, kind: Kind) -> Vec<Arc<T>> {
        self.of(kind)
            .filter_map(|(_, object)| T::deserialize(object).ok())
            .map(Arc::new)
            .collect()
    }

    /// Those of one namespace.
    pub(super) fn typed_in<T: DeserializeOwned>(&self, kind: Kind, namespace: &str) -> Vec<Arc<T>> {
        let first = (kind, namespace.to_owned(), String::new());
        self.objects
            .range(first..)
            .take_while(|((of, within, _), _)| *of == kind && within == namespace)
            .filter_map(|(_, object)| T::deserialize(object).ok())
            .map(Arc::new)
            .collect()
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Value)> {
        let first = (kind, String::new(), String::new());
        self.objects
            .range(first..)
            .take_while(move |((of, ..), _)| *of == kind)
    }

    /// The servers as JSON.
    pub(super) fn live_servers(&self) -> Vec<Arc<LiveServer>> {
        self.of(Kind::Server)
            .map(|((_, namespace, name), object)| LiveServer {
                namespace: namespace.clone(),
                name: name.clone(),
                text: object.to_string().into(),
            })
            .map(Arc::new)
            .collect()
    }
}

/// Name, namespace and labels of any object.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) labels: Option<BTreeMap<String, String>>,
}

/// A Secret without its values: they are passed over while it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretShape {
    pub(super) metadata: Metadata,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    data: Keys,
    #[serde(default)]
    string_data: Keys,
}

impl SecretShape {
    pub(super) fn fact(self) -> SecretFact {
        let mut keys = self.data.0;
        keys.extend(self.string_data.0);
        SecretFact {
            kind: self.kind.unwrap_or_else(|| "Opaque".to_owned()),
            keys,
            labels: self.metadata.labels.unwrap_or_default(),
        }
    }
}

/// The keys of a map whose values are passed over.
#[derive(Debug, Default)]
struct Keys(BTreeSet<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map")
    }

    fn visit_none<E>(self) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_unit<E>(self) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Keys, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some((key, IgnoredAny)) = map.next_entry()? {
            keys.insert(key);
        }
        Ok(Keys(keys))
    }
}

/// A `ConfigMap`.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigMapShape {
    pub(super) metadata: Metadata,
    pub(super) data: Option<BTreeMap<String, String>>,
}

/// What rules need to know of a Service.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceShape {
    pub(super) metadata: Metadata,
    #[serde(default)]
    spec: ServiceSpecShape,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpecShape {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    ports: Option<Vec<PortShape>>,
}

#[derive(Debug, Deserialize)]
struct PortShape {
    name: Option<String>,
    port: u16,
}

impl ServiceShape {
    pub(super) fn fact(self) -> ServiceFact {
        let port = |port: PortShape| ServicePortFact {
            name: port.name,
            port: port.port,
        };
        ServiceFact {
            ports: self.spec.ports.into_iter().flatten().map(port).collect(),
            external_name: self.spec.kind.as_deref() == Some("ExternalName"),
            headless: self.spec.cluster_ip.as_deref() == Some("None"),
            endpoints: Known::Unknown,
            labels: self.metadata.labels.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_a_secret_only_names_are_kept() {
        let secret = json!({
            "metadata": {"name": "s", "labels": {"a": "b"}}, "type": "kubernetes.io/tls",
            "data": {"tls.key": "U0VDUkVU"}, "stringData": {"more": "SECRET"}
        });
        let fact = SecretShape::deserialize(&secret).unwrap().fact();
        assert_eq!(fact.kind, "kubernetes.io/tls");
        assert_eq!(
            fact.keys.iter().map(String::as_str).collect::<Vec<_>>(),
            ["more", "tls.key"]
        );
        assert!(!format!("{fact:?}").contains("SECRET") && !format!("{fact:?}").contains("U0VD"));
    }

    #[test]
    fn a_service_says_what_it_is() {
        let fact = |spec: Value| {
            ServiceShape::deserialize(&json!({"metadata": {"name": "s"}, "spec": spec}))
                .unwrap()
                .fact()
        };
        assert!(fact(json!({"type": "ExternalName"})).external_name);
        let headless = fact(json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}));
        assert!(headless.headless && headless.ports[0].port == 80);
    }
}
