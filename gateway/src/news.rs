//! Tells an open stream when the lists of its caller change, because a grant came or went, or a definition drifted:
//! the server, which knows of neither, would say nothing.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use access::Caller;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;

use crate::pipeline::Gateway;
use crate::protocol::{List, META_SUBSCRIPTION};
use crate::viewer::Viewer;

/// Of which lists a stream wants to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
}

/// What is to be told to one stream.
pub(crate) struct News(Pin<Box<dyn Future<Output = (Watcher, Bytes)> + Send>>);

impl News {
    /// For a caller's stream. `subscription` is the source text of the id of the request that opened it, in the
    /// modern era.
    pub(crate) fn new(
        gateway: &Arc<Gateway>,
        caller: &Caller,
        principal: &str,
        wanted: Wanted,
        subscription: Option<&str>,
    ) -> Self {
        let watcher = Watcher {
            bundles: gateway.store.changes(),
            inventories: gateway.discovery.changes(),
            gateway: Arc::clone(gateway),
            caller: caller.clone(),
            principal: principal.to_owned(),
            wanted,
            subscription: subscription.and_then(|id| serde_json::from_str(id).ok()),
            before: Lists::default(),
        };
        let before = watcher.lists();
        Self(Box::pin(Watcher { before, ..watcher }.next()))
    }

    /// The events of the next change.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let (watcher, events) = std::task::ready!(self.0.as_mut().poll(context));
        self.0 = Box::pin(watcher.next());
        Poll::Ready(events)
    }
}

/// A caller's lists, each as a hash of its names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lists {
    /// Whether what the server has was known. Before that, lists are made of what is declared.
    known: bool,
    tools: u64,
    prompts: u64,
    resources: u64,
}

struct Watcher {
    bundles: watch::Receiver<u64>,
    inventories: watch::Receiver<u64>,
    gateway: Arc<Gateway>,
    caller: Caller,
    principal: String,
    wanted: Wanted,
    subscription: Option<serde_json::Value>,
    before: Lists,
}

impl Watcher {
    async fn next(mut self) -> (Self, Bytes) {
        loop {
            let alive = tokio::select! {
                told = self.bundles.changed() => told.is_ok(),
                told = self.inventories.changed() => told.is_ok(),
            };
            if !alive {
                std::future::pending::<()>().await;
            }
            let now = self.lists();
            let before = std::mem::replace(&mut self.before, now);
            let events = if now.known == before.known {
                self.events(before, now)
            } else {
                Bytes::new()
            };
            if !events.is_empty() {
                return (self, events);
            }
        }
    }

    fn lists(&self) -> Lists {
        let Some(view) = self.gateway.store.view() else {
            return Lists::default();
        };
        let gateway = &self.gateway;
        let viewer = Viewer::new(
            &view.bundle,
            view.judge(&self.caller, Timestamp::now()),
            &self.principal,
            &gateway.discovery,
            &gateway.tasks,
        );
        let hash = |names: &[(List, &[String])]| {
            let mut hasher = DefaultHasher::new();
            for (list, names) in names {
                for name in names.iter().filter(|name| viewer.may_use(*list, name)) {
                    name.hash(&mut hasher);
                }
            }
            hasher.finish()
        };
        match viewer.inventory() {
            Some(found) => Lists {
                known: true,
                tools: hash(&[(List::Tools, &found.tools.names)]),
                prompts: hash(&[(List::Prompts, &found.prompts.names)]),
                resources: hash(&[
                    (List::Resources, &found.resources.names),
                    (List::Templates, &found.resource_templates.names),
                ]),
            },
            None => Lists {
                tools: {
                    let declared: Vec<String> =
                        view.bundle.tools.iter().map(|t| t.name.clone()).collect();
                    hash(&[(List::Tools, &declared)])
                },
                ..Lists::default()
            },
        }
    }

    /// A notification for each list that is wanted and differs.
    fn events(&self, before: Lists, now: Lists) -> Bytes {
        let mut events = String::new();
        for (kind, differs) in [
            ("tools", self.wanted.tools && before.tools != now.tools),
            (
                "prompts",
                self.wanted.prompts && before.prompts != now.prompts,
            ),
            (
                "resources",
                self.wanted.resources && before.resources != now.resources,
            ),
        ] {
            if differs {
                let method = format!("notifications/{kind}/list_changed");
                let mut message = json!({ "jsonrpc": "2.0", "method": method });
                if let Some(id) = &self.subscription {
                    message["params"] = json!({ "_meta": { META_SUBSCRIPTION: id } });
                }
                events.extend(["event: message\ndata: ", &message.to_string(), "\n\n"]);
            }
        }
        events.into()
    }
}
