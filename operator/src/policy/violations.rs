//! How many live objects break each MCPPolicy, kept in step with servers, grants, sessions, namespaces and policies.
//!
//! An object is judged when it, its namespace or the policies of its namespace changed, and not again: a status that
//! somebody writes, or another server, costs nothing but a look. [`run`] does the work; [`Tally`] is read by the reconciler
//! of policies, which is told of every policy whose figures changed. The rules decide (`rules::violations`).

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};
use rules::{Facts, Known, NamespaceFacts, Operation, PolicySet};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::watch::Caches;

/// Many objects change together; the counts need not follow each of them.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// Objects that are judged before others may have the processor.
const CHUNK: usize = 128;

/// What the status of one policy says in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The generation of the policy that was counted.
    pub generation: Option<i64>,
    /// Namespaces that the policy speaks of.
    pub namespaces: usize,
    /// Live objects that break it.
    pub violations: usize,
}

/// The figures of every policy, by name.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<String, Figures>>);

impl Tally {
    /// The figures of a policy as it is; `None` until they were counted.
    pub fn figures(&self, policy: &MCPPolicy) -> Option<Figures> {
        let figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = figures.get(&policy.name_any()).copied();
        figures.filter(|figures| figures.generation == policy.metadata.generation)
    }

    /// Takes new figures, and says whose are others than before.
    fn take(&self, new: BTreeMap<String, Figures>) -> Vec<String> {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = new
            .iter()
            .filter(|(name, new)| figures.get(*name) != Some(new))
            .map(|(name, _)| name.clone())
            .collect();
        *figures = new;
        changed
    }
}

/// Whom a recount is asked of, and who hears of its result.
#[derive(Clone, Debug)]
pub struct Recount {
    /// Something changed that a count may depend on.
    pub changed: Arc<Notify>,
    /// Policies whose figures changed.
    pub policies: UnboundedSender<ObjectRef<MCPPolicy>>,
}

/// Counts after every change, for as long as the process lives.
pub async fn run(caches: &Caches, tally: &Tally, recount: Recount) {
    let mut ledger = Ledger::default();
    loop {
        let due = ledger.look(
            &caches.policies.state(),
            &caches.namespaces.state(),
            &caches.servers,
            &caches.grants,
            &caches.sessions,
        );
        let several = due.len() > CHUNK;
        for chunk in due.chunks(CHUNK) {
            let (chunk, began) = (chunk.to_vec(), Instant::now());
            let judged = tokio::task::spawn_blocking(move || judge(chunk)).await;
            match judged {
                Ok(judged) => ledger.judged.extend(judged),
                // Judged again at the next change; the others must not wait for it.
                Err(error) => tracing::error!(%error, "live objects could not be judged"),
            }
            if several {
                // Half of a core at most, however many there are.
                tokio::time::sleep(began.elapsed()).await;
            }
        }
        for policy in tally.take(ledger.figures()) {
            // A closed queue means that the process is ending.
            let _ = recount.policies.send(ObjectRef::new(&policy));
        }
        recount.changed.notified().await;
        tokio::time::sleep(DEBOUNCE).await;
    }
}

/// What was judged, and under what.
#[derive(Default)]
struct Ledger {
    /// By uid.
    judged: HashMap<String, Judged>,
    scopes: HashMap<String, Scope>,
    generations: BTreeMap<String, Option<i64>>,
    /// Of all policies and namespaces, as `scopes` were made from them.
    fingerprint: u64,
}

/// One object that was judged.
struct Judged {
    /// Of everything that the judgement depended on.
    fingerprint: u64,
    /// The policies that it breaks.
    broken: BTreeSet<String>,
}

/// A namespace and its policies.
struct Scope {
    fingerprint: u64,
    facts: Arc<Facts>,
}

/// One object that must be judged.
#[derive(Clone)]
struct Due {
    uid: String,
    fingerprint: u64,
    object: Object,
    facts: Arc<Facts>,
}

/// An object as the cache has it: made JSON only where it is judged.
#[derive(Clone)]
enum Object {
    Server(Arc<MCPServer>),
    Grant(Arc<MCPAccessGrant>),
    Session(Arc<MCPAgentSession>),
}

fn judge(due: Vec<Due>) -> Vec<(String, Judged)> {
    let judged = due.into_iter().map(|due| {
        let json = match &due.object {
            Object::Server(object) => serde_json::to_value(object.as_ref()),
            Object::Grant(object) => serde_json::to_value(object.as_ref()),
            Object::Session(object) => serde_json::to_value(object.as_ref()),
        };
        let judged = Judged {
            fingerprint: due.fingerprint,
            broken: rules::violations(&json.unwrap_or_default(), &due.facts),
        };
        (due.uid, judged)
    });
    judged.collect()
}

impl Ledger {
    /// Forgets what is gone, and finds what must be judged (again).
    fn look(
        &mut self,
        policies: &[Arc<MCPPolicy>],
        namespaces: &[Arc<Namespace>],
        servers: &Store<MCPServer>,
        grants: &Store<MCPAccessGrant>,
        sessions: &Store<MCPAgentSession>,
    ) -> Vec<Due> {
        self.take_policies(policies, namespaces);
        let mut due = Vec::new();
        let mut seen = Vec::new();
        self.find(servers, Object::Server, &mut seen, &mut due);
        self.find(grants, Object::Grant, &mut seen, &mut due);
        self.find(sessions, Object::Session, &mut seen, &mut due);
        if seen.len() < self.judged.len() + due.len() {
            let seen: BTreeSet<_> = seen.into_iter().collect();
            self.judged.retain(|uid, _| seen.contains(uid));
        }
        due
    }

    fn find<K>(
        &self,
        cache: &Store<K>,
        wrap: fn(Arc<K>) -> Object,
        seen: &mut Vec<String>,
        due: &mut Vec<Due>,
    ) where
        K: Resource<DynamicType = ()> + Clone + Serialize + 'static,
    {
        for object in cache.state() {
            let meta = object.meta();
            // What is being deleted breaks nothing any more; of a namespace that the watch has not brought yet, the policies
            // are not known.
            let namespace = meta.namespace.as_deref().unwrap_or_default();
            let (Some(uid), None, Some(scope)) = (
                &meta.uid,
                &meta.deletion_timestamp,
                self.scopes.get(namespace),
            ) else {
                continue;
            };
            let fingerprint = hash(&(
                scope.fingerprint,
                meta.generation,
                &meta.labels,
                &meta.annotations,
            ));
            seen.push(uid.clone());
            if self.judged.get(uid).map(|judged| judged.fingerprint) != Some(fingerprint) {
                due.push(Due {
                    uid: uid.clone(),
                    fingerprint,
                    facts: Arc::clone(&scope.facts),
                    object: wrap(object),
                });
            }
        }
    }

    /// What the rules may know, by namespace; made again only when a policy's spec or a namespace's labels changed.
    fn take_policies(&mut self, policies: &[Arc<MCPPolicy>], namespaces: &[Arc<Namespace>]) {
        let mut policies = policies.to_vec();
        policies.sort_by_key(|policy| policy.name_any());
        let mut namespaces: Vec<_> = namespaces.iter().collect();
        namespaces.sort_by_key(|namespace| namespace.name_any());
        let state = |policy: &Arc<MCPPolicy>| {
            let meta = &policy.metadata;
            (meta.uid.clone(), meta.generation)
        };
        let labels: Vec<_> = namespaces
            .iter()
            .map(|namespace| (&namespace.metadata.name, &namespace.metadata.labels))
            .collect();
        let fingerprint = hash(&(policies.iter().map(state).collect::<Vec<_>>(), labels));
        if fingerprint == self.fingerprint {
            return;
        }
        self.fingerprint = fingerprint;
        self.generations = policies
            .iter()
            .map(|policy| (policy.name_any(), policy.metadata.generation))
            .collect();
        let policies = Arc::new(policies);
        let scopes = namespaces.into_iter().map(|namespace| {
            let (name, labels) = (namespace.name_any(), namespace.labels().clone());
            let selection = PolicySet::select(&policies, &name, &labels);
            let selected: Vec<_> = selection.policies().iter().map(state).collect();
            let scope = Scope {
                fingerprint: hash(&(selected, &labels)),
                facts: Arc::new(Facts {
                    operation: Some(Operation::Live),
                    now: Known::Known(Timestamp::now()),
                    namespace: Known::from(NamespaceFacts {
                        name: name.clone(),
                        labels,
                    }),
                    policies: Known::Known(Arc::clone(&policies)),
                    selection: Some(Arc::new(selection)),
                    ..Facts::default()
                }),
            };
            (name, scope)
        });
        self.scopes = scopes.collect();
    }

    fn figures(&self) -> BTreeMap<String, Figures> {
        let figures = self.generations.iter().map(|(name, generation)| {
            let figures = Figures {
                generation: *generation,
                namespaces: 0,
                violations: 0,
            };
            (name.clone(), figures)
        });
        let mut figures: BTreeMap<_, _> = figures.collect();
        let selections = self.scopes.values();
        for selection in selections.filter_map(|scope| scope.facts.selection.as_ref()) {
            for (name, _) in selection.iter() {
                if let Some(figures) = figures.get_mut(name) {
                    figures.namespaces += 1;
                }
            }
        }
        for name in self.judged.values().flat_map(|judged| &judged.broken) {
            if let Some(figures) = figures.get_mut(name) {
                figures.violations += 1;
            }
        }
        figures
    }
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
