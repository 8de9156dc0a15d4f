//! What is kept of each kind's objects, and how events change it. Filled by [`crate::cache`], read by
//! [`crate::snapshot`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use api::names::LAST_APPLIED;
use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPPrompt, MCPResource, MCPServer, MCPTool};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::networking::v1::IngressClass;
use kube::api::{ObjectMeta, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};
use rules::LiveServer;

/// Namespace (empty for the cluster's) and name.
pub type Key = (String, String);
/// An object, or why it does not parse.
pub type Guarded<K> = DeserializeGuard<K>;

/// What is kept of the objects of a kind.
pub trait Keep: Resource + Debug {
    /// What rules may see of an object.
    type Kept: Debug;

    /// Takes from an object what rules may see.
    fn keep(self) -> Self::Kept;

    /// Whether rules would see no difference between two versions. Writes of a status, which are the most frequent,
    /// change nothing.
    fn same(before: &Self::Kept, after: &Self::Kept) -> bool;
}

/// All objects of one kind.
#[derive(Debug)]
pub struct Kept<K: Keep> {
    live: BTreeMap<Key, Arc<K::Kept>>,
    /// What a list has brought so far; becomes `live` when the list is complete.
    listed: Option<BTreeMap<Key, Arc<K::Kept>>>,
    unreadable: BTreeSet<Key>,
}

impl<K: Keep> Default for Kept<K> {
    fn default() -> Self {
        Self {
            live: BTreeMap::new(),
            listed: None,
            unreadable: BTreeSet::new(),
        }
    }
}

/// What one event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that a rule could see.
    None,
    /// Something changed.
    Changed,
    /// A list is complete.
    Listed,
}

impl<K: Keep> Kept<K> {
    /// Takes an event in.
    pub fn take(&mut self, event: Event<Guarded<K>>) -> Effect {
        match event {
            Event::Init => {
                self.listed = Some(BTreeMap::new());
                Effect::None
            }
            Event::InitApply(object) => {
                let key = key(&object);
                if let Some(object) = self.readable(&key, object) {
                    self.listed.get_or_insert_default().insert(key, object);
                }
                Effect::None
            }
            Event::InitDone => {
                self.live = self.listed.take().unwrap_or_default();
                self.unreadable.retain(|key| self.live.contains_key(key));
                Effect::Listed
            }
            Event::Apply(object) => {
                let key = key(&object);
                let Some(object) = self.readable(&key, object) else {
                    return Effect::None;
                };
                let before = self.live.insert(key, Arc::clone(&object));
                if before.is_some_and(|before| K::same(&before, &object)) {
                    Effect::None
                } else {
                    Effect::Changed
                }
            }
            Event::Delete(object) => {
                let key = key(&object);
                self.unreadable.remove(&key);
                if self.live.remove(&key).is_some() {
                    Effect::Changed
                } else {
                    Effect::None
                }
            }
        }
    }

    /// The object, or the last version of it that parsed.
    fn readable(&mut self, key: &Key, object: Guarded<K>) -> Option<Arc<K::Kept>> {
        match object.0 {
            Ok(mut object) => {
                self.unreadable.remove(key);
                trim(&mut object);
                Some(Arc::new(object.keep()))
            }
            Err(error) => {
                tracing::warn!(namespace = key.0, name = key.1, %error, "left out an object that does not parse");
                self.unreadable.insert(key.clone());
                self.live.get(key).cloned()
            }
        }
    }

    /// The objects, sorted by namespace and name.
    pub fn values(&self) -> impl Iterator<Item = &Arc<K::Kept>> {
        self.live.values()
    }

    /// How many there are, and how many of a version that does not parse.
    pub fn counts(&self) -> (usize, usize) {
        (self.live.len(), self.unreadable.len())
    }
}

fn key<K: Resource>(object: &Guarded<K>) -> Key {
    let meta = object.meta();
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

fn trim<K: Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// A server is kept as text: thousands of them are, and of most a rule never sees more than its
/// [`rules::ServerFact`].
impl Keep for MCPServer {
    type Kept = LiveServer;

    fn keep(mut self) -> LiveServer {
        self.status = None;
        let metadata = ObjectMeta {
            name: self.metadata.name.take(),
            namespace: self.metadata.namespace.take(),
            uid: self.metadata.uid.take(),
            annotations: self.metadata.annotations.take(),
            labels: self.metadata.labels.take(),
            creation_timestamp: self.metadata.creation_timestamp.take(),
            deletion_timestamp: self.metadata.deletion_timestamp.take(),
            ..ObjectMeta::default()
        };
        self.metadata = metadata;
        let text = serde_json::to_string(&self).unwrap_or_default();
        LiveServer {
            namespace: self.metadata.namespace.unwrap_or_default(),
            name: self.metadata.name.unwrap_or_default(),
            text: text.into(),
        }
    }

    fn same(before: &LiveServer, after: &LiveServer) -> bool {
        before == after
    }
}

impl Keep for MCPPolicy {
    type Kept = Self;

    fn keep(mut self) -> Self {
        self.status = None;
        self
    }

    fn same(before: &Self, after: &Self) -> bool {
        before.spec == after.spec
    }
}

impl Keep for MCPAccessGrant {
    type Kept = Self;

    fn keep(mut self) -> Self {
        self.status = None;
        self
    }

    fn same(before: &Self, after: &Self) -> bool {
        before.spec == after.spec && same_life(&before.metadata, &after.metadata)
    }
}

impl Keep for MCPAgentSession {
    type Kept = Self;

    fn keep(mut self) -> Self {
        self.status = None;
        self
    }

    fn same(before: &Self, after: &Self) -> bool {
        before.spec == after.spec && same_life(&before.metadata, &after.metadata)
    }
}

impl Keep for PartialObjectMeta<Namespace> {
    type Kept = Self;

    fn keep(self) -> Self {
        self
    }

    fn same(before: &Self, after: &Self) -> bool {
        before.labels() == after.labels()
    }
}

impl Keep for PartialObjectMeta<IngressClass> {
    type Kept = Self;

    fn keep(self) -> Self {
        self
    }

    fn same(_: &Self, _: &Self) -> bool {
        true
    }
}

/// What virtual servers are made of: selectors look at labels, and what is being deleted claims nothing.
macro_rules! items {
    ($($kind:ty),+) => {$(
        impl Keep for $kind {
            type Kept = Self;

            fn keep(self) -> Self {
                self
            }

            fn same(before: &Self, after: &Self) -> bool {
                before.spec == after.spec
                    && before.labels() == after.labels()
                    && before.metadata.deletion_timestamp == after.metadata.deletion_timestamp
            }
        }
    )+};
}

items!(MCPTool, MCPPrompt, MCPResource, Service);

fn same_life(before: &ObjectMeta, after: &ObjectMeta) -> bool {
    before.uid == after.uid
        && before.deletion_timestamp == after.deletion_timestamp
        && before.annotations == after.annotations
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(name: &str, spec: &serde_json::Value) -> Guarded<MCPPolicy> {
        let object = json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
            "metadata": {"name": name, "managedFields": [{"manager": "m"}]}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    fn take(kept: &mut Kept<MCPPolicy>, event: Event<Guarded<MCPPolicy>>) -> Effect {
        kept.take(event)
    }

    #[test]
    fn a_list_replaces_everything_only_when_it_is_complete() {
        let mut kept = Kept::default();
        take(&mut kept, Event::Apply(policy("old", &json!({}))));
        assert_eq!(take(&mut kept, Event::Init), Effect::None);
        assert_eq!(
            take(&mut kept, Event::InitApply(policy("new", &json!({})))),
            Effect::None
        );
        assert_eq!(kept.values().next().unwrap().name_any(), "old");
        assert_eq!(take(&mut kept, Event::InitDone), Effect::Listed);
        assert_eq!(
            kept.values().map(|p| p.name_any()).collect::<Vec<_>>(),
            ["new"]
        );
    }

    #[test]
    fn the_last_readable_version_of_an_object_stays_also_through_a_list() {
        let mut kept = Kept::default();
        take(
            &mut kept,
            Event::Apply(policy("a", &json!({"enforcement": "Enforce"}))),
        );
        let broken = || policy("a", &json!({"enforcement": 7}));
        assert_eq!(take(&mut kept, Event::Apply(broken())), Effect::None);
        assert_eq!(kept.counts(), (1, 1));
        for event in [Event::Init, Event::InitApply(broken()), Event::InitDone] {
            take(&mut kept, event);
        }
        assert_eq!(kept.counts(), (1, 1));
        take(&mut kept, Event::Apply(policy("a", &json!({}))));
        assert_eq!(kept.counts(), (1, 0));
    }

    #[test]
    fn a_version_that_rules_cannot_tell_apart_changes_nothing_and_managed_fields_go() {
        let mut kept = Kept::default();
        assert_eq!(
            take(&mut kept, Event::Apply(policy("a", &json!({})))),
            Effect::Changed
        );
        assert_eq!(
            take(&mut kept, Event::Apply(policy("a", &json!({})))),
            Effect::None
        );
        assert!(
            kept.values()
                .next()
                .unwrap()
                .metadata
                .managed_fields
                .is_none()
        );
        assert_eq!(
            take(&mut kept, Event::Delete(policy("a", &json!({})))),
            Effect::Changed
        );
    }
}
