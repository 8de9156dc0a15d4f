//! What the rules may know in a run: the objects of the run itself and, with `--server`, what the caller may read of
//! the cluster.
//!
//! The run's objects are facts for each other, because they are to be applied together. What is not among them may
//! still be in the cluster, so without the cluster only what is there is known, never what is missing; see [`open`].

mod cluster;
mod merge;
mod open;
mod stored;
#[cfg(test)]
mod tests;
mod unseen;
mod view;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPPrompt, MCPResource, MCPServer, MCPTool};
use common::{Cluster, Error, Result};
use jiff::Timestamp;
use rules::{
    Facts, Findings, Kind, Known, LiveServer, NamespaceFacts, PolicySet, Question, ServerFact,
    Servers, ServiceFact,
};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::manifests::{Object, Read};
pub(crate) use merge::patch;
use stored::{ByName, Stored};
pub(crate) use unseen::{Unseen, missing, sentences};
use view::{Put, Three, View};

/// Which policies and which cluster count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    /// `--policy` was given: without a policy in those files the run would mean nothing.
    pub(crate) policies_named: bool,
    /// Namespace of objects that name none.
    pub(crate) namespace: String,
}

/// Everything that is known in a run.
pub(crate) struct World {
    now: Timestamp,
    namespace: String,
    stored: Stored,
    /// What an object of the run is to replace.
    replaced: BTreeMap<Key, Value>,
    policies: Known<Arc<Vec<Arc<MCPPolicy>>>>,
    servers: Arc<Servers>,
    /// What is in the cluster now, where the run has a policy that is to be judged by it.
    live: Live,
    labels: Arc<BTreeMap<String, BTreeMap<String, String>>>,
    classes: Arc<Vec<String>>,
    services: Arc<ByName<ServiceFact>>,
    all_services: bool,
    answers: BTreeMap<Question, bool>,
    views: RefCell<BTreeMap<(Kind, String, bool), Rc<View>>>,
}

/// The objects of all namespaces that a policy is for, as they were before the run.
#[derive(Default)]
struct Live {
    servers: Arc<Vec<Arc<LiveServer>>>,
    grants: Arc<Vec<Arc<MCPAccessGrant>>>,
    sessions: Arc<Vec<Arc<MCPAgentSession>>>,
}

/// Kind, namespace (empty for the cluster's) and name.
type Key = (Kind, String, String);

/// An object as the webhook would see it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Its namespace; empty for a kind of the cluster.
    pub(crate) namespace: String,
    /// The object before defaults.
    pub(crate) new: Value,
    /// What it is to replace.
    pub(crate) old: Option<Value>,
}

impl World {
    /// Without a cluster.
    pub(crate) fn offline(
        run: &Read,
        policies: &Read,
        setting: &Setting,
        now: Timestamp,
    ) -> Result<Self> {
        Self::new(Stored::default(), run, policies, setting, now)
    }

    /// With what the caller may read of a cluster, and what the rules want to know about the caller. Also what could
    /// not be looked at.
    pub(crate) async fn online(
        cluster: &Cluster,
        run: &Read,
        setting: &Setting,
        now: Timestamp,
    ) -> Result<(Self, Vec<Unseen>)> {
        let namespaces: BTreeSet<String> = run
            .ours()
            .filter(|(kind, _)| is_namespaced(*kind))
            .map(|(_, object)| namespace_of(object, &setting.namespace).to_owned())
            .collect();
        let everywhere = run.ours().any(|(kind, _)| kind == Kind::Policy);
        let mut stored = cluster::read(cluster, &namespaces, everywhere).await?;
        let unseen = std::mem::take(&mut stored.unseen);
        let mut world = Self::new(stored, run, &Read::default(), setting, now)?;
        let mut questions = BTreeSet::new();
        for (kind, object) in run.ours() {
            let case = world.case(kind, object);
            let defaulted = world.defaulted(&case);
            let view = world.view(&case);
            questions.extend(rules::questions(
                Some(&defaulted),
                case.old.as_ref(),
                &view.known,
            ));
        }
        world.answers = cluster::ask(cluster, questions).await?;
        world.views.take();
        Ok((world, unseen))
    }

    fn new(
        mut stored: Stored,
        run: &Read,
        policies: &Read,
        setting: &Setting,
        now: Timestamp,
    ) -> Result<Self> {
        let named = policies
            .objects
            .iter()
            .filter(|object| object.kind() == Some(Kind::Policy));
        for object in named {
            readable_policy(object)?;
        }
        let live = if run.ours().any(|(kind, _)| kind == Kind::Policy) {
            Live {
                servers: Arc::new(stored.live_servers()),
                grants: Arc::new(stored.typed(Kind::Grant)),
                sessions: Arc::new(stored.typed(Kind::Session)),
            }
        } else {
            Live::default()
        };
        let mut replaced = BTreeMap::new();
        for object in run.objects.iter().chain(&policies.objects) {
            if let Some((key, old)) = stored.take(object, &setting.namespace) {
                replaced.entry(key).or_insert(old);
            }
        }
        let found: Vec<Arc<MCPPolicy>> = stored.typed(Kind::Policy);
        if setting.policies_named && found.is_empty() {
            return Err(Error::failed("--policy names no MCPPolicy")
                .with_hint("kubectl mcp policy get -o yaml > policy.yaml"));
        }
        // Whoever lints with a policy wants to be judged by it: those of the run are taken for all there are.
        let policies = if stored.is_listed(Kind::Policy, "") || !found.is_empty() {
            Known::Known(Arc::new(found))
        } else {
            Known::Unknown
        };
        let (services, all_services) = stored.services.all();
        let mut world = Self {
            now,
            namespace: setting.namespace.clone(),
            labels: Arc::new(stored.namespaces.clone()),
            classes: Arc::new(stored.classes.clone()),
            services,
            all_services,
            stored,
            replaced,
            policies,
            servers: Arc::default(),
            live,
            answers: BTreeMap::new(),
            views: RefCell::default(),
        };
        world.servers = Arc::new(world.server_facts());
        Ok(world)
    }

    fn server_facts(&self) -> Servers {
        let mut selected: BTreeMap<String, Arc<PolicySet>> = BTreeMap::new();
        let servers: Vec<Arc<MCPServer>> = self.stored.typed(Kind::Server);
        servers
            .iter()
            .map(|server| {
                let namespace = server.metadata.namespace.clone().unwrap_or_default();
                let policies = selected
                    .entry(namespace)
                    .or_insert_with_key(|namespace| self.selected(namespace));
                ServerFact::new(server, policies)
            })
            .collect()
    }

    fn selected(&self, namespace: &str) -> Arc<PolicySet> {
        let Known::Known(policies) = &self.policies else {
            return Arc::default();
        };
        Arc::new(match self.stored.namespaces.get(namespace) {
            Some(labels) => PolicySet::select(policies, namespace, labels),
            None => PolicySet::assume(policies, namespace),
        })
    }

    /// The policies that speak of a namespace whatever its labels are, where nobody knows the labels and they matter.
    fn certain(&self, namespace: &str) -> Option<Arc<PolicySet>> {
        let policies = self.policies.get()?;
        if namespace.is_empty() || self.stored.namespaces.contains_key(namespace) {
            return None;
        }
        let certain = PolicySet::certain(policies, namespace);
        (certain != *self.selected(namespace)).then(|| Arc::new(certain))
    }

    /// The object as the webhook would see it: a change where the cluster has one of that name.
    pub(crate) fn case(&self, kind: Kind, object: &Object) -> Case {
        let given = in_namespace(&object.value, kind, &self.namespace);
        let namespace = if is_namespaced(kind) {
            namespace_of(object, &self.namespace).to_owned()
        } else {
            String::new()
        };
        let key = (kind, namespace, object.text("/metadata/name").to_owned());
        let old = self.replaced.get(&key).cloned();
        let new = match &old {
            Some(old) => merge::applied(old, &given),
            None => given,
        };
        Case {
            kind,
            namespace: key.1,
            new,
            old,
        }
    }

    /// The object with the defaults that admission fills in.
    pub(crate) fn defaulted(&self, case: &Case) -> Value {
        let mut object = case.new.clone();
        rules::default(&mut object, case.old.as_ref(), &self.view(case).known);
        object
    }

    /// Whether it is known which policies there are.
    pub(crate) fn knows_policies(&self) -> bool {
        self.policies.get().is_some()
    }

    /// Like the mutating door of the webhook: defaults first, then all rules.
    pub(crate) fn check(&self, case: &Case) -> Vec<rules::Finding> {
        let view = self.view(case);
        let mut object = case.new.clone();
        rules::default(&mut object, case.old.as_ref(), &view.known);
        let before = (case.kind == Kind::Policy).then(|| self.policies_without(case));
        let judge = |facts: &Facts| -> Findings {
            let old = case.old.as_ref();
            match &before {
                Some(before) => {
                    let mut facts = facts.clone();
                    facts.policies = before.clone();
                    rules::check(Some(&object), old, &facts)
                }
                None => rules::check(Some(&object), old, facts),
            }
        };
        let known = judge(&view.known);
        match &view.open {
            Some(open) => open::settle(known, &judge(&open.blind), &judge(&open.empty)),
            None => known.into_iter().collect(),
        }
    }

    /// The policies that hold while this one is judged: the others as the run leaves them, this one as it is now.
    fn policies_without(&self, case: &Case) -> Known<Arc<Vec<Arc<MCPPolicy>>>> {
        let Known::Known(policies) = &self.policies else {
            return Known::Unknown;
        };
        let name = case.new.pointer("/metadata/name").and_then(Value::as_str);
        let others = policies
            .iter()
            .filter(|policy| policy.metadata.name.as_deref() != name)
            .cloned();
        let old = case
            .old
            .as_ref()
            .and_then(|old| MCPPolicy::deserialize(old).ok());
        Known::from(others.chain(old.map(Arc::new)).collect::<Vec<_>>())
    }

    fn view(&self, case: &Case) -> Rc<View> {
        let server = case
            .new
            .pointer("/spec/serverRef/name")
            .and_then(Value::as_str);
        let here = server.is_some_and(|name| self.servers.get(&case.namespace, name).is_some());
        let servers_known = match case.kind {
            // Routes meet those of the whole cluster, and a policy is for all of them.
            Kind::Server | Kind::Policy => self.stored.is_listed(Kind::Server, ""),
            // What is said of a server is about that one alone.
            _ => here || self.stored.is_listed(Kind::Server, &case.namespace),
        };
        let key = (case.kind, case.namespace.clone(), servers_known);
        let mut views = self.views.borrow_mut();
        Rc::clone(
            views
                .entry(key)
                .or_insert_with(|| Rc::new(self.facts(case.kind, &case.namespace, servers_known))),
        )
    }

    fn facts(&self, kind: Kind, namespace: &str, servers_known: bool) -> View {
        let stored = &self.stored;
        let mut facts = Three::new(self.base(namespace));
        if let Some(certain) = self.certain(namespace) {
            facts.select(certain);
        }
        facts.set(
            &self.servers,
            self.servers.is_empty(),
            servers_known,
            |f, v| {
                f.servers = v;
            },
        );
        let (labels, classes) = (&self.labels, &self.classes);
        facts.set(labels, labels.is_empty(), stored.all_namespaces, |f, v| {
            f.namespaces = v;
        });
        facts.set(classes, classes.is_empty(), stored.all_classes, |f, v| {
            f.ingress_classes = v;
        });
        if kind == Kind::Policy {
            self.of_all_namespaces(&mut facts);
        } else {
            self.of_kind(&mut facts, Kind::Grant, namespace, |f, v| {
                f.grants = v;
            });
            self.of_kind(&mut facts, Kind::Session, namespace, |f, v| {
                f.sessions = v;
            });
        }
        self.items(&mut facts, namespace);
        let (secrets, known) = stored.secrets.of(namespace);
        facts.set(&secrets, secrets.is_empty(), known, |f, v| {
            f.secrets = v;
        });
        let (maps, known) = stored.config_maps.of(namespace);
        facts.set(&maps, maps.is_empty(), known, |f, v| {
            f.config_maps = v;
        });
        let services = &self.services;
        facts.set(services, services.is_empty(), self.all_services, |f, v| {
            f.services = v;
        });
        facts.view()
    }

    /// What a policy is for: what is in the cluster now, and nothing that comes with it.
    fn of_all_namespaces(&self, facts: &mut Three) {
        let Live {
            servers,
            grants,
            sessions,
        } = &self.live;
        let known = |kind| self.stored.is_listed(kind, "");
        facts.set(servers, servers.is_empty(), known(Kind::Server), |f, v| {
            f.live = v;
        });
        facts.set(grants, grants.is_empty(), known(Kind::Grant), |f, v| {
            f.grants = v;
        });
        facts.set(
            sessions,
            sessions.is_empty(),
            known(Kind::Session),
            |f, v| {
                f.sessions = v;
            },
        );
    }

    /// The objects of a kind in the namespace.
    fn of_kind<T: DeserializeOwned>(
        &self,
        facts: &mut Three,
        kind: Kind,
        namespace: &str,
        put: Put<Vec<Arc<T>>>,
    ) {
        let found = Arc::new(self.stored.typed_in(kind, namespace));
        let complete = self.stored.is_listed(kind, namespace);
        facts.set(&found, found.is_empty(), complete, put);
    }

    /// What virtual servers select is one fact in three parts, because rules compare all of it: tools of a run are not
    /// unknown because the run has no prompt, and not all there is because only tools may be listed.
    fn items(&self, facts: &mut Three, namespace: &str) {
        let stored = &self.stored;
        let complete = [Kind::Tool, Kind::Prompt, Kind::Resource]
            .into_iter()
            .all(|kind| stored.is_listed(kind, namespace));
        let tools: Arc<Vec<Arc<MCPTool>>> = Arc::new(stored.typed_in(Kind::Tool, namespace));
        let prompts: Arc<Vec<Arc<MCPPrompt>>> = Arc::new(stored.typed_in(Kind::Prompt, namespace));
        let resources: Arc<Vec<Arc<MCPResource>>> =
            Arc::new(stored.typed_in(Kind::Resource, namespace));
        let is_empty = tools.is_empty() && prompts.is_empty() && resources.is_empty();
        facts.set(&tools, is_empty, complete, |f, v| {
            f.tools = v;
        });
        facts.set(&prompts, is_empty, complete, |f, v| {
            f.prompts = v;
        });
        facts.set(&resources, is_empty, complete, |f, v| {
            f.resources = v;
        });
    }

    /// What is known or not, but never in part.
    fn base(&self, namespace: &str) -> Facts {
        let labels = self.stored.namespaces.get(namespace);
        Facts {
            now: Known::Known(self.now),
            namespace: labels.map_or(Known::Unknown, |labels| {
                Known::from(NamespaceFacts {
                    name: namespace.to_owned(),
                    labels: labels.clone(),
                })
            }),
            policies: self.policies.clone(),
            selection: self.policies.get().map(|_| self.selected(namespace)),
            requester: self.stored.requester.clone(),
            answers: self.answers.clone(),
            ..Facts::default()
        }
    }
}

/// A policy of `--policy` must be one: what the whole run is judged by must not be left out silently.
fn readable_policy(object: &Object) -> Result<()> {
    match serde_json::from_value::<MCPPolicy>(object.value.clone()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::failed(format!(
            "{} holds an MCPPolicy that is none: {error}",
            object.file
        ))
        .with_hint(format!("kubectl mcp lint -f {}", object.file))),
    }
}

/// Whether objects of the kind are in a namespace.
pub(crate) fn is_namespaced(kind: Kind) -> bool {
    kind.is_namespaced()
}

/// The namespace of an object, or the one it gets.
fn namespace_of<'a>(object: &'a Object, default: &'a str) -> &'a str {
    match object.text("/metadata/namespace") {
        "" => default,
        namespace => namespace,
    }
}

/// The object with the namespace that kubectl would give it.
pub(crate) fn in_namespace(object: &Value, kind: Kind, namespace: &str) -> Value {
    let mut object = object.clone();
    if is_namespaced(kind)
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        let given = metadata.get("namespace").is_some_and(|given| *given != "");
        if !given {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
    }
    object
}
