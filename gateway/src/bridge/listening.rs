//! `subscriptions/listen` in front of a legacy server: made of its `list_changed` notifications and of
//! `resources/subscribe`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::answering;
use super::conversation::{Conversation, Listener, Part};
use super::routing::SUBSCRIPTION;
use super::session::{SUBSCRIBED, URI};
use super::wire::{self, Message, Object, Outcome};
use super::{held, translate};
use crate::upstream::UpstreamBody;

/// Notifications that may wait for a caller.
const WAITING: usize = 256;
const QUIET: Duration = Duration::from_secs(15);

/// What may be asked for: its key, the capability that offers it, and the notification.
const LISTS: [(&str, &str, &str); 3] = [
    (
        "toolsListChanged",
        "/tools/listChanged",
        "notifications/tools/list_changed",
    ),
    (
        "promptsListChanged",
        "/prompts/listChanged",
        "notifications/prompts/list_changed",
    ),
    (
        "resourcesListChanged",
        "/resources/listChanged",
        "notifications/resources/list_changed",
    ),
];

/// Begins a subscription.
pub(super) async fn listen(
    conversation: Arc<Conversation>,
    id: &str,
    params: Option<&str>,
) -> Response<UpstreamBody> {
    conversation.initialized(None).await;
    let wanted: Value = Object::of(params)
        .get("notifications")
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let hello: Value = serde_json::from_str(&conversation.hello().result).unwrap_or_default();
    let offered = |path: &str| hello["capabilities"].pointer(path) == Some(&Value::Bool(true));
    let mut honoured = serde_json::Map::new();
    let mut methods = HashSet::new();
    for (key, capability, method) in LISTS {
        if wanted[key] == true && offered(capability) {
            honoured.insert(key.to_owned(), json!(true));
            methods.insert(method);
        }
    }
    let (to, parts) = mpsc::channel(WAITING);
    let uris = HashSet::new();
    let number = conversation.listen(Listener { methods, uris, to });
    let subscription = Subscription {
        conversation,
        number,
        id: id.to_owned(),
        parts,
    };
    if offered("/resources/subscribe") {
        let uris = subscription
            .subscribe(&wanted["resourceSubscriptions"])
            .await;
        if !uris.is_empty() {
            honoured.insert("resourceSubscriptions".to_owned(), json!(uris));
        }
    }
    let params = json!({ "notifications": honoured }).to_string();
    let acknowledged =
        subscription.message("notifications/subscriptions/acknowledged", Some(&params));
    let (sink, receiver) = mpsc::channel(16);
    tokio::spawn(async move { subscription.run(sink, acknowledged).await });
    answering::events(receiver)
}

/// One caller that listens. Dropping it unsubscribes.
struct Subscription {
    conversation: Arc<Conversation>,
    number: u64,
    /// Source text of the caller's id.
    id: String,
    parts: mpsc::Receiver<Part>,
}

impl Subscription {
    /// Subscribes to resources; gives those that the server agreed to.
    async fn subscribe(&self, wanted: &Value) -> Vec<String> {
        let mut agreed = Vec::new();
        let wanted = wanted
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|uri| uri.len() <= URI);
        for uri in wanted.take(SUBSCRIBED) {
            // Noted first, so that an update that comes at once is not missed.
            self.note(uri, true);
            let params = json!({ "uri": uri }).to_string();
            match self
                .conversation
                .ask("resources/subscribe", Some(&params))
                .await
            {
                Some(Ok(_)) => agreed.push(uri.to_owned()),
                Some(Err(_)) | None => self.note(uri, false),
            }
        }
        agreed
    }

    fn note(&self, uri: &str, wanted: bool) {
        let mut state = held(&self.conversation.state);
        let Some(listener) = state.listeners.get_mut(&self.number) else {
            return;
        };
        if wanted {
            listener.uris.insert(uri.to_owned());
        } else {
            listener.uris.remove(uri);
        }
    }

    /// A notification of this subscription.
    fn message(&self, method: &str, params: Option<&str>) -> Bytes {
        let params = wire::with_meta(params, SUBSCRIPTION, &self.id);
        let params = Some(params.as_str());
        answering::event(&wire::text(&Message::Notification { method, params }))
    }

    /// A notification of the server, as one of this subscription.
    fn of_server(&self, text: &str) -> Bytes {
        let parts = wire::Parts::read(text.as_bytes());
        match parts.as_ref().and_then(wire::Parts::message) {
            Some(Message::Notification { method, params }) => self.message(method, params),
            Some(_) | None => Bytes::new(),
        }
    }

    async fn run(mut self, to: mpsc::Sender<Bytes>, first: Bytes) {
        if to.send(first).await.is_err() {
            return;
        }
        loop {
            let bytes = tokio::select! {
                part = self.parts.recv() => match part {
                    Some(Part::Message(text)) => self.of_server(&text),
                    Some(Part::Result(_) | Part::Error(_) | Part::Cancelled) | None => break,
                },
                () = tokio::time::sleep(QUIET) => Bytes::from_static(answering::KEEP_ALIVE),
                () = to.closed() => return,
            };
            if to.send(bytes).await.is_err() {
                return;
            }
        }
        let result = translate::listened(&self.id);
        let (id, outcome) = (self.id.as_str(), Outcome::Result(&result));
        let last = wire::text(&Message::Response { id, outcome });
        // Nobody is left to be told of a failure.
        let _ = to.send(answering::event(&last)).await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let unwanted = self.conversation.unlisten(self.number);
        if unwanted.is_empty() {
            return;
        }
        let conversation = Arc::clone(&self.conversation);
        tokio::spawn(async move {
            for uri in unwanted {
                let params = json!({ "uri": uri }).to_string();
                let asked = conversation.ask("resources/unsubscribe", Some(&params));
                // A server that does not answer would be waited for with each resource.
                if asked.await.is_none() {
                    return;
                }
            }
        });
    }
}
