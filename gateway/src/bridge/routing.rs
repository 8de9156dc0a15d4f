//! Where a message of the server goes. What belongs to one request goes to its caller; what belongs to nobody goes
//! only to the sessions of the conversation's owner, and to nobody where the callers of a conversation are strangers.

use std::sync::{Arc, Weak};

use super::conversation::{Conversation, Part, Pending, State};
use super::held;
use super::session::{STANDALONE, Session};
use super::wire::{self, Message, Object, Outcome};
use crate::protocol::{Era, code};

/// Key of `_meta` that says to which subscription a notification belongs.
pub(super) const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

impl Conversation {
    /// Takes one line of the server.
    pub(super) fn take(&self, line: &[u8]) {
        let parts = wire::Parts::read(line);
        match parts.as_ref().and_then(wire::Parts::message) {
            Some(Message::Response { id, outcome }) => self.take_response(id, outcome),
            Some(Message::Request { id, method, params }) => self.take_request(id, method, params),
            Some(Message::Notification { method, params }) => {
                self.take_notification(method, params);
            }
            None => {
                tracing::warn!(
                    bytes = line.len(),
                    "the server wrote what is no message: dropped"
                );
            }
        }
    }

    fn take_response(&self, id: &str, outcome: Outcome<'_>) {
        let number: Option<u64> = id.parse().ok();
        let pending = number.and_then(|number| held(&self.state).pending.remove(&number));
        let Some(pending) = pending else {
            // Of a cancelled request, most likely.
            tracing::debug!("the server answered what nobody waits for");
            return;
        };
        let part = match outcome {
            Outcome::Result(result) => Part::Result(self.own_subscription(result, id, &pending.id)),
            Outcome::Error(error) => Part::Error(error.to_owned()),
        };
        give(&pending, part);
    }

    /// The result of a subscription names it by our id.
    fn own_subscription(&self, result: &str, ours: &str, callers: &str) -> String {
        let of_modern = self.hello().era == Era::Modern && result.contains(SUBSCRIPTION);
        if of_modern && wire::meta(Some(result), SUBSCRIPTION).as_deref() == Some(ours) {
            wire::with_meta(Some(result), SUBSCRIPTION, callers)
        } else {
            result.to_owned()
        }
    }

    /// A request of the server goes to a client that can answer it, or is answered here.
    fn take_request(&self, id: &str, method: &str, params: Option<&str>) {
        if method == "ping" {
            let outcome = Outcome::Result("{}");
            return self.write_now(&Message::Response { id, outcome });
        }
        let delivered = !self.shared && self.hello().era == Era::Legacy && {
            let state = held(&self.state);
            let asked = |session: &Arc<Session>| {
                let id = session.ask(self.number, id)?.to_string();
                let id = id.as_str();
                Some(wire::text(&Message::Request { id, method, params }))
            };
            // The protocol does not say which request made the server ask: the latest is the likeliest.
            let mut latest = state.pending.values().rev();
            if let Some((pending, session)) =
                latest.find_map(|p| p.session.as_ref().map(|s| (p, s)))
            {
                asked(session)
                    .map(|text| give(pending, Part::Message(text)))
                    .is_some()
            } else if let Some(session) = latest_session(&state) {
                asked(&session)
                    .map(|text| session.deliver(STANDALONE, &text))
                    .is_some()
            } else {
                false
            }
        };
        if !delivered {
            let error = wire::error(code::METHOD_NOT_FOUND, "no client can be asked this");
            let outcome = Outcome::Error(&error);
            self.write_now(&Message::Response { id, outcome });
        }
    }

    fn take_notification(&self, method: &str, params: Option<&str>) {
        let text = |params: Option<&str>| wire::text(&Message::Notification { method, params });
        let state = held(&self.state);
        match method {
            "notifications/progress" => {
                let mut object = Object::of(params);
                let pending =
                    number(object.get("progressToken")).and_then(|n| state.pending.get(&n));
                if let Some(pending) = pending
                    && let Some(token) = &pending.token
                {
                    object.set("progressToken", token.as_str());
                    give(pending, Part::Message(text(Some(&object.text()))));
                }
            }
            "notifications/cancelled" => {
                let mut object = Object::of(params);
                let Some(id) = object.get("requestId").map(str::to_owned) else {
                    return;
                };
                for session in sessions(&state) {
                    if let Some(number) = session.taken_back(self.number, &id) {
                        object.set("requestId", number.to_string());
                        session.deliver(STANDALONE, &text(Some(&object.text())));
                    }
                }
            }
            "notifications/message" => {
                let mut wanted = state.pending.values().rev();
                let wanted = wanted.find(|p| p.session.is_some() || p.logs);
                match wanted.filter(|_| !self.shared) {
                    Some(pending) => give(pending, Part::Message(text(params))),
                    None if self.shared => {}
                    None => to_sessions(&state, &text(params), |_| true),
                }
            }
            _ if self.hello().era == Era::Modern => {
                let subscription = wire::meta(params, SUBSCRIPTION);
                let pending = number(subscription.as_deref()).and_then(|n| state.pending.get(&n));
                if let Some(pending) = pending {
                    let params = wire::with_meta(params, SUBSCRIPTION, &pending.id);
                    give(pending, Part::Message(text(Some(&params))));
                }
            }
            "notifications/resources/updated" => {
                let Some(uri) = Object::of(params).string("uri") else {
                    return;
                };
                to_sessions(&state, &text(params), |s| s.is_subscribed(&uri));
                let listeners = state.listeners.values();
                for listener in listeners.filter(|l| l.uris.contains(&uri)) {
                    // A listener that does not read misses it.
                    let _ = listener.to.try_send(Part::Message(text(params)));
                }
            }
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed" => {
                to_sessions(&state, &text(params), |_| true);
                let listeners = state.listeners.values();
                for listener in listeners.filter(|l| l.methods.contains(method)) {
                    let _ = listener.to.try_send(Part::Message(text(params)));
                }
            }
            _ if self.shared => {}
            _ => to_sessions(&state, &text(params), |_| true),
        }
    }
}

/// Gives a caller a part. One that does not read fast enough loses the rest.
fn give(pending: &Pending, part: Part) {
    if pending.to.try_send(part).is_err() {
        tracing::debug!("a caller does not take a message");
    }
}

fn number(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}

fn sessions(state: &State) -> impl Iterator<Item = Arc<Session>> {
    state.sessions.iter().filter_map(Weak::upgrade)
}

fn latest_session(state: &State) -> Option<Arc<Session>> {
    sessions(state).max_by_key(|session| session.used())
}

fn to_sessions(state: &State, text: &str, fits: impl Fn(&Session) -> bool) {
    for session in sessions(state).filter(|session| fits(session)) {
        session.deliver(STANDALONE, text);
    }
}
