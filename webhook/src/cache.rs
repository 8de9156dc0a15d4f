//! The objects that rules may look at, kept current by watches.
//!
//! One task owns all of them ([`run`]); after each batch of changes it publishes a [`Snapshot`], which requests read
//! without a lock. An object that does not parse stops nothing: the last version that did is kept, and it is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPPrompt, MCPResource, MCPServer, MCPTool};
use daemon::{Pending, Readiness};
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::networking::v1::IngressClass;
use kube::api::{Api, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use crate::Published;
use crate::kept::{Effect, Guarded, Kept};
use crate::metrics::Metrics;
use crate::slim;
use crate::snapshot::{Changed, Snapshot};

/// How many changes that wait already are taken before a snapshot is made.
const BATCH: usize = 1024;
/// How many objects a list asks for at a time.
const PAGE: u32 = 500;

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
    /// Tools, without descriptions and schemas.
    pub tools: Kept<MCPTool>,
    /// Prompts, without descriptions and texts.
    pub prompts: Kept<MCPPrompt>,
    /// Resources, without descriptions and contents.
    pub resources: Kept<MCPResource>,
    /// Services: labels, ports, type.
    pub services: Kept<Service>,
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
    /// Of a tool.
    Tool(Box<Event<Guarded<MCPTool>>>),
    /// Of a prompt.
    Prompt(Box<Event<Guarded<MCPPrompt>>>),
    /// Of a resource.
    Resource(Box<Event<Guarded<MCPResource>>>),
    /// Of a Service.
    Service(Box<Event<Guarded<Service>>>),
}

impl Objects {
    /// Takes an event in: of which kind it was, and what it did.
    pub fn take(&mut self, change: Change) -> (Changed, Effect) {
        match change {
            Change::Policy(event) => (Changed::Policies, self.policies.take(*event)),
            Change::Server(event) => (Changed::Servers, self.servers.take(*event)),
            Change::Grant(event) => (Changed::Grants, self.grants.take(*event)),
            Change::Session(event) => (Changed::Sessions, self.sessions.take(*event)),
            Change::Namespace(event) => (Changed::Namespaces, self.namespaces.take(*event)),
            Change::Class(event) => (Changed::Classes, self.classes.take(*event)),
            Change::Tool(event) => (Changed::Tools, self.tools.take(*event)),
            Change::Prompt(event) => (Changed::Prompts, self.prompts.take(*event)),
            Change::Resource(event) => (Changed::Resources, self.resources.take(*event)),
            Change::Service(event) => (Changed::Services, self.services.take(*event)),
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
        report("MCPTool", self.tools.counts());
        report("MCPPrompt", self.prompts.counts());
        report("MCPResource", self.resources.counts());
        report("Service", self.services.counts());
    }
}

/// Watches everything and publishes snapshots, forever. Nothing is published before every kind was listed once.
pub async fn run(client: Client, published: Published, metrics: Metrics, readiness: Readiness) {
    let mut pending: BTreeMap<Changed, Pending> = Changed::ALL
        .into_iter()
        .map(|kind| (kind, readiness.register(kind.cache())))
        .collect();
    let (mut objects, mut snapshot) = (Objects::default(), Snapshot::default());
    let mut batches = watches(&client).ready_chunks(BATCH);
    let (mut stale, mut synced) = (BTreeSet::new(), Vec::new());
    while let Some(batch) = batches.next().await {
        for change in batch {
            let (kind, effect) = objects.take(change);
            if effect != Effect::None {
                stale.insert(kind);
            }
            if effect == Effect::Listed {
                synced.extend(pending.remove(&kind));
            }
        }
        if stale.is_empty() || !pending.is_empty() {
            continue;
        }
        let started = Instant::now();
        snapshot = snapshot.rebuilt(&objects, &std::mem::take(&mut stale));
        published.store(Some(Arc::new(snapshot.clone())));
        objects.report(&metrics);
        // Only now is what was listed also visible.
        synced.clear();
        // A flood of changes is seen in fewer, larger steps, and never takes more than a quarter of a processor.
        tokio::time::sleep(started.elapsed() * 3).await;
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
    let tools = watch(Api::all(client.clone()), config()).modify(slim::tool);
    all.push(events(tools, |event| Change::Tool(Box::new(event))));
    let prompts = watch(Api::all(client.clone()), config()).modify(slim::prompt);
    all.push(events(prompts, |event| Change::Prompt(Box::new(event))));
    let resources = watch(Api::all(client.clone()), config()).modify(slim::resource);
    all.push(events(resources, |event| Change::Resource(Box::new(event))));
    let services = watch(Api::<Service>::all(client.clone()), config()).modify(slim::service);
    all.push(events(services, |event| {
        Change::Service(Box::new(guarded(event)))
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
