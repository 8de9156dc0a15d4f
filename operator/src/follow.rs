//! One cache, kept equal to what a watch says, and which objects each event concerns.
//!
//! A list comes as `Init`, one `InitApply` per object, `InitDone`, and the cache takes it over only at `InitDone`. So
//! nothing is announced before that: a reconcile would run on the data before the list, and nobody would call it again.
//! And what is gone since the last list is announced then too: no event ever names it.

use std::fmt::Debug;
use std::sync::Arc;

use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

use crate::metrics::Metrics;

/// A cache and its watch.
pub struct Follower<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    cache: Store<K>,
    /// What was cached when the list that is under way began.
    before: Vec<Arc<K>>,
    metrics: Metrics,
}

/// What an event means for others.
#[derive(Debug)]
pub struct Told<K> {
    /// These objects changed, appeared or went; the cache knows it already.
    pub changed: Vec<Arc<K>>,
    /// The cache has been filled.
    pub synced: bool,
}

impl<K> Follower<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
{
    /// Follows into the cache behind `writer`.
    pub fn new(writer: Writer<K>, metrics: Metrics) -> Self {
        Self {
            cache: writer.as_reader(),
            writer,
            before: Vec::new(),
            metrics,
        }
    }

    /// Takes an event into the cache. An object that does not parse is counted and passed over, so that it cannot stop
    /// the others; what was known of it before stays.
    pub fn take(&mut self, event: Event<DeserializeGuard<K>>) -> Told<K> {
        let (event, changed) = match event {
            Event::Apply(guard) => match self.read(guard) {
                Ok(object) => (Some(Event::Apply(object.clone())), vec![Arc::new(object)]),
                Err(_) => (None, Vec::new()),
            },
            Event::Delete(guard) => match self.read(guard).or_else(|known| known.ok_or(())) {
                Ok(object) => (Some(Event::Delete(object.clone())), vec![Arc::new(object)]),
                Err(()) => (None, Vec::new()),
            },
            Event::Init => {
                self.before = self.cache.state();
                (Some(Event::Init), Vec::new())
            }
            Event::InitApply(guard) => {
                let object = self.read(guard).or_else(|known| known.ok_or(())).ok();
                (object.map(Event::InitApply), Vec::new())
            }
            Event::InitDone => (Some(Event::InitDone), Vec::new()),
        };
        let synced = matches!(event, Some(Event::InitDone));
        if let Some(event) = &event {
            self.writer.apply_watcher_event(event);
        }
        let changed = if synced { self.relisted() } else { changed };
        Told { changed, synced }
    }

    /// Everything that is there after a list, and what the list no longer had.
    fn relisted(&mut self) -> Vec<Arc<K>> {
        let mut all = self.cache.state();
        let gone = std::mem::take(&mut self.before).into_iter();
        all.extend(gone.filter(|old| self.cache.get(&ObjectRef::from_obj(old.as_ref())).is_none()));
        all
    }

    /// The object without what nobody reads; if it does not parse, what is known of it.
    fn read(&self, guard: DeserializeGuard<K>) -> Result<K, Option<K>> {
        match guard.0 {
            Ok(mut object) => {
                let meta = object.meta_mut();
                meta.managed_fields = None;
                if let Some(annotations) = &mut meta.annotations {
                    annotations.remove(api::names::LAST_APPLIED);
                }
                Ok(object)
            }
            Err(invalid) => {
                let kind = K::kind(&());
                self.metrics.unreadable(&kind);
                let (namespace, name) = (invalid.metadata.namespace, invalid.metadata.name);
                tracing::error!(
                    %kind, namespace, name, error = %invalid.error,
                    "an object does not parse and is passed over"
                );
                let mut reference = ObjectRef::new(&name.unwrap_or_default());
                reference.namespace = namespace;
                Err(self
                    .cache
                    .get(&reference)
                    .map(|known| known.as_ref().clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use api::MCPAccessGrant;
    use kube::ResourceExt as _;
    use kube::runtime::reflector::store;
    use prometheus_client::registry::Registry;
    use serde_json::{Value, json};

    use super::*;

    fn grant(name: &str, effect: &Value) -> DeserializeGuard<MCPAccessGrant> {
        serde_json::from_value(json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
            "metadata": {"name": name, "namespace": "a"},
            "spec": {"serverRef": {"name": "weather"}, "effect": effect, "subject": {"humanID": "alice"}}
        }))
        .unwrap()
    }

    fn names(told: &Told<MCPAccessGrant>) -> Vec<String> {
        let mut names: Vec<_> = told.changed.iter().map(|g| g.name_any()).collect();
        names.sort();
        names
    }

    fn follower() -> (Store<MCPAccessGrant>, Follower<MCPAccessGrant>) {
        let (cache, writer) = store();
        let metrics = Metrics::register(&mut Registry::default());
        let mut follower = Follower::new(writer, metrics);
        for name in ["kept", "lost"] {
            follower.take(Event::Apply(grant(name, &json!("Deny"))));
        }
        (cache, follower)
    }

    #[test]
    fn a_list_is_announced_when_the_cache_holds_it_and_names_what_is_gone() {
        let (cache, mut follower) = follower();
        assert!(follower.take(Event::Init).changed.is_empty());
        let early = follower.take(Event::InitApply(grant("kept", &json!("Allow"))));
        assert!(
            early.changed.is_empty(),
            "announced before the cache knows it"
        );
        let told = follower.take(Event::InitDone);
        assert!(told.synced);
        assert_eq!(names(&told), ["kept", "lost"]);
        assert_eq!(cache.len(), 1);
        assert_eq!(cache.state()[0].spec.effect, api::Effect::Allow);
    }

    #[test]
    fn an_object_that_does_not_parse_stays_as_it_was_known() {
        let (cache, mut follower) = follower();
        let broken = || grant("kept", &json!({"not": "an effect"}));
        assert!(follower.take(Event::Apply(broken())).changed.is_empty());
        follower.take(Event::Init);
        follower.take(Event::InitApply(broken()));
        follower.take(Event::InitDone);
        assert_eq!(
            cache.state()[0].spec.effect,
            api::Effect::Deny,
            "a denial was lost"
        );
        assert_eq!(names(&follower.take(Event::Delete(broken()))), ["kept"]);
        assert!(cache.is_empty());
    }
}
