//! The objects that rules may look at, kept current by watches.
//!
//! One task owns all of them ([`run`]); after each batch of changes it publishes a [`Snapshot`], which requests read
//! without a lock. An object that does not parse stops nothing: the last version that did is kept, and it is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer};
use daemon::{Pending, Readiness};
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::IngressClass;
use kube::api::{Api, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::Published;
use crate::metrics::Metrics;
use crate::snapshot::{Changed, Snapshot};

/// How many changes that wait already are taken before a snapshot is made.
const BATCH: usize = 256;
/// How many objects a list asks for at a time.
const PAGE: u32 = 500;
/// A copy of the whole manifest that kubectl leaves in the object; no rule looks at it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Namespace (empty for the cluster's) and name.
pub type Key = (String, String);
/// An object, or why it does not parse.
pub type Guarded<K> = DeserializeGuard<K>;

/// All objects of one kind.
#[derive(Debug)]
pub struct Kept<K> {
    live: BTreeMap<Key, Arc<K>>,
    /// What a list has brought so far; becomes `live` when the list is complete.
    listed: Option<BTreeMap<Key, Arc<K>>>,
    unreadable: BTreeSet<Key>,
}

impl<K> Default for Kept<K> {
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

impl<K: Resource + Debug> Kept<K> {
    /// Takes an event in. `same` says whether rules would see no difference between two versions.
    pub fn take(&mut self, event: Event<Guarded<K>>, same: fn(&K, &K) -> bool) -> Effect {
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
                if before.is_some_and(|before| same(&before, &object)) {
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
    fn readable(&mut self, key: &Key, object: Guarded<K>) -> Option<Arc<K>> {
        match object.0 {
            Ok(mut object) => {
                self.unreadable.remove(key);
                trim(&mut object);
                Some(Arc::new(object))
            }
            Err(error) => {
                tracing::warn!(namespace = key.0, name = key.1, %error, "left out an object that does not parse");
                self.unreadable.insert(key.clone());
                self.live.get(key).cloned()
            }
        }
    }

    /// The objects, sorted by namespace and name.
    pub fn values(&self) -> impl Iterator<Item = &Arc<K>> {
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

/// The objects of all kinds that rules may look at.
#[derive(Debug, Default)]
pub struct Objects {
    /// Policies.
    pub policies: Kept<MCPPolicy>,
    /// Servers.
    pub servers: Kept<MCPServer>,
    /// Grants.
    pub grants: Kept<MCPAccessGrant>,
    /// Sessions.
    pub sessions: Kept<MCPAgentSession>,
    /// Namespaces: names and labels.
    pub namespaces: Kept<PartialObjectMeta<Namespace>>,
    /// Ingress classes: names.
    pub classes: Kept<PartialObjectMeta<IngressClass>>,
}

/// An event of one of the watches.
pub enum Change {
    /// Of a policy.
    Policy(Box<Event<Guarded<MCPPolicy>>>),
    /// Of a server.
    Server(Box<Event<Guarded<MCPServer>>>),
    /// Of a grant.
    Grant(Box<Event<Guarded<MCPAccessGrant>>>),
    /// Of a session.
    Session(Box<Event<Guarded<MCPAgentSession>>>),
    /// Of a namespace.
    Namespace(Box<Event<Guarded<PartialObjectMeta<Namespace>>>>),
    /// Of an ingress class.
    Class(Box<Event<Guarded<PartialObjectMeta<IngressClass>>>>),
}

impl Objects {
    /// Takes an event in: of which kind it was, and what it did.
    pub fn take(&mut self, change: Change) -> (Changed, Effect) {
        match change {
            Change::Policy(event) => (
                Changed::Policies,
                self.policies.take(*event, |a, b| a.spec == b.spec),
            ),
            Change::Server(event) => (Changed::Servers, self.servers.take(*event, same_server)),
            Change::Grant(event) => (Changed::Grants, self.grants.take(*event, same_grant)),
            Change::Session(event) => (Changed::Sessions, self.sessions.take(*event, same_session)),
            Change::Namespace(event) => (
                Changed::Namespaces,
                self.namespaces
                    .take(*event, |a, b| a.labels() == b.labels()),
            ),
            Change::Class(event) => (Changed::Classes, self.classes.take(*event, |_, _| true)),
        }
    }

    fn report(&self, metrics: &Metrics) {
        let report =
            |kind, (cached, unreadable): (usize, usize)| metrics.cached(kind, cached, unreadable);
        report("MCPPolicy", self.policies.counts());
        report("MCPServer", self.servers.counts());
        report("MCPAccessGrant", self.grants.counts());
        report("MCPAgentSession", self.sessions.counts());
        report("Namespace", self.namespaces.counts());
        report("IngressClass", self.classes.counts());
    }
}

/// Writes of a status, which are the most frequent, change nothing that a rule sees.
fn same_server(a: &MCPServer, b: &MCPServer) -> bool {
    a.spec == b.spec && a.metadata.uid == b.metadata.uid
}

fn same_grant(a: &MCPAccessGrant, b: &MCPAccessGrant) -> bool {
    a.spec == b.spec && same_life(&a.metadata, &b.metadata)
}

fn same_session(a: &MCPAgentSession, b: &MCPAgentSession) -> bool {
    a.spec == b.spec && same_life(&a.metadata, &b.metadata)
}

fn same_life(a: &kube::api::ObjectMeta, b: &kube::api::ObjectMeta) -> bool {
    a.uid == b.uid && a.deletion_timestamp == b.deletion_timestamp && a.annotations == b.annotations
}

/// Watches everything and publishes snapshots, forever. Nothing is published before every kind was listed once.
pub async fn run(client: Client, published: Published, metrics: Metrics, readiness: Readiness) {
    let mut pending: BTreeMap<Changed, Pending> = Changed::ALL
        .into_iter()
        .map(|kind| (kind, readiness.register(kind.cache())))
        .collect();
    let (mut objects, mut snapshot) = (Objects::default(), Snapshot::default());
    let mut batches = watches(&client).ready_chunks(BATCH);
    while let Some(batch) = batches.next().await {
        let mut stale = BTreeSet::new();
        let mut synced = Vec::new();
        for change in batch {
            let (kind, effect) = objects.take(change);
            if effect != Effect::None {
                stale.insert(kind);
            }
            if effect == Effect::Listed {
                synced.extend(pending.remove(&kind));
            }
        }
        if stale.is_empty() {
            continue;
        }
        snapshot = snapshot.rebuilt(&objects, &stale);
        objects.report(&metrics);
        if pending.is_empty() {
            published.store(Some(Arc::new(snapshot.clone())));
        }
        // Only now is what was listed also visible.
        drop(synced);
    }
}

fn watches(client: &Client) -> SelectAll<BoxStream<'static, Change>> {
    let config = || watcher::Config::default().page_size(PAGE);
    let mut all = SelectAll::new();
    all.push(events(watch(Api::all(client.clone()), config()), |event| {
        Change::Policy(Box::new(event))
    }));
    all.push(events(watch(Api::all(client.clone()), config()), |event| {
        Change::Server(Box::new(event))
    }));
    all.push(events(watch(Api::all(client.clone()), config()), |event| {
        Change::Grant(Box::new(event))
    }));
    all.push(events(watch(Api::all(client.clone()), config()), |event| {
        Change::Session(Box::new(event))
    }));
    let namespaces = watch(
        Api::<PartialObjectMeta<Namespace>>::all(client.clone()),
        config(),
    );
    all.push(events(namespaces, |event| {
        Change::Namespace(Box::new(guarded(event)))
    }));
    let classes = watch(
        Api::<PartialObjectMeta<IngressClass>>::all(client.clone()),
        config(),
    );
    all.push(events(classes, |event| {
        Change::Class(Box::new(guarded(event)))
    }));
    all
}

/// The events of a watch without its errors, which end in a retry with backoff.
fn events<K: Resource + Clone + DeserializeOwned + Debug + Send + 'static>(
    stream: impl futures::Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    change: impl Fn(Event<K>) -> Change + Send + 'static,
) -> BoxStream<'static, Change> {
    stream
        .default_backoff()
        .filter_map(move |event| {
            let event = event.map(&change);
            if let Err(error) = &event {
                tracing::warn!(%error, "a watch was interrupted and is tried again");
            }
            futures::future::ready(event.ok())
        })
        .boxed()
}

fn guarded<K>(event: Event<K>) -> Event<Guarded<K>> {
    let wrap = |object| DeserializeGuard(Ok(object));
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(wrap(object)),
        Event::Apply(object) => Event::Apply(wrap(object)),
        Event::Delete(object) => Event::Delete(wrap(object)),
    }
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
        kept.take(event, |a, b| a.spec == b.spec)
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
