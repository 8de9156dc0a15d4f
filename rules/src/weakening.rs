//! Whether a server is made looser than it was: the one table of what decides who may call, who a caller is, and what
//! is noted and limited.
//!
//! Read by [`questions`](crate::questions()) before a request is judged, and by the rule MCP0410. Values are compared
//! as they take effect, under the same policies. What a server declares as a tool is its author's to say, so a further
//! tool loosens nothing; one that was declared before, or that was when a live grant was given, may not ask for less.

mod granted;
mod table;

use std::collections::BTreeSet;

use api::{Effect, GROUP, MCPServerSpec, Tool};
use serde_json::Value;

use crate::check::is_terminating;
use crate::context::text;
use crate::facts::{Facts, Known, Question};
use crate::kind::Kind;
use crate::questions::namespace;
use crate::schema::{self, Typed};
use crate::subject::is_live;

use table::{Side, Table, compare, inventory};

pub(crate) use granted::{as_granted, stricter};

/// One value that lets through, or leaves unsaid, what the value before did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loosened {
    /// Path of the field.
    pub(crate) field: String,
    /// What it says now.
    pub(crate) given: String,
    /// What it said then.
    pub(crate) was: String,
    /// When that was.
    pub(crate) since: Since,
}

/// What a server is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// The server that it is to replace.
    Before,
    /// A server that says nothing.
    Default,
    /// The server as it was when a live grant was given.
    Granted,
}

/// What a request does to the strictness of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Weakening {
    /// It may be done by whoever may write the server.
    Nothing,
    /// It is a creation that is looser than the default, and whether grants use the name could not be looked up.
    Unknown,
    /// These values are looser.
    Loosens(Vec<Loosened>),
}

/// Compares a server with what it is to replace; a creation with the default, but only where live grants name it. Where
/// live grants were given in view of a stricter server, also with that: all of a creation, of a change the tools that
/// were not there.
pub(crate) fn weakening(new: &Value, old: Option<&Value>, facts: &Facts) -> Weakening {
    if old.is_some_and(is_terminating) {
        return Weakening::Nothing;
    }
    let namespace = namespace(new, facts);
    let name = text(new, "/metadata/name").unwrap_or_default();
    // Nearly every review ends here: nobody is called by the name yet, or the spec stays as it was.
    let matters = match old {
        None => is_granted(&namespace, name, facts),
        Some(old) => Known::Known(old.get("spec") != new.get("spec")),
    };
    if matters == Known::Known(false) {
        return Weakening::Nothing;
    }
    let policies = facts.selected(&namespace);
    let side = |spec| Side::new(name, &namespace, spec, &policies);
    let after = side(read(new));
    let Some(old) = old else {
        return creation(&after, &side, facts);
    };
    let before = side(read(old));
    let mut loosened = compare(&after, &before, Since::Before);
    let (is, was) = (after.tools(), before.tools());
    let added: BTreeSet<&str> = is.difference(&was).copied().collect();
    if before.effective.gateway.enabled && !added.is_empty() {
        if facts.grants.get().is_none() && loosened.is_empty() {
            return Weakening::Unknown;
        }
        for granted in granted::remembered(facts, &namespace, name) {
            let back = granted.tools.into_iter();
            let back = back.filter(|tool| added.contains(tool.name.as_str()));
            readded(&after, &before, &back.collect::<Vec<_>>(), &mut loosened);
        }
    }
    if loosened.is_empty() {
        Weakening::Nothing
    } else {
        Weakening::Loosens(loosened)
    }
}

fn creation(after: &Side, side: &dyn Fn(MCPServerSpec) -> Side, facts: &Facts) -> Weakening {
    let (namespace, name) = (&after.effective.namespace, &after.effective.name);
    let mut loosened = compare(after, &side(MCPServerSpec::default()), Since::Default);
    match is_granted(namespace, name, facts) {
        Known::Unknown if loosened.is_empty() => return Weakening::Nothing,
        Known::Unknown => return Weakening::Unknown,
        Known::Known(false) => return Weakening::Nothing,
        Known::Known(true) => {}
    }
    for granted in granted::remembered(facts, namespace, name) {
        let more = compare(after, &side(granted), Since::Granted);
        add(&mut loosened, more);
    }
    if loosened.is_empty() {
        Weakening::Nothing
    } else {
        Weakening::Loosens(loosened)
    }
}

/// Adds what is said of no field yet.
fn add(loosened: &mut Vec<Loosened>, more: Vec<Loosened>) {
    for change in more {
        if !loosened.iter().any(|known| known.field == change.field) {
            loosened.push(change);
        }
    }
}

/// Tools that come back and ask for less than when a grant was given.
fn readded(after: &Side, before: &Side, back: &[Tool], loosened: &mut Vec<Loosened>) {
    let mut table = Table::new(Since::Granted);
    inventory(
        &after.spec.tools,
        back,
        &before.effective,
        &after.effective,
        &mut table,
    );
    add(loosened, table.rows);
}

/// To be asked where a server is made looser.
pub(crate) fn weaken(new: &Value, old: Option<&Value>, facts: &Facts) -> Option<Question> {
    matches!(weakening(new, old, facts), Weakening::Loosens(_)).then(|| question(new, facts))
}

/// Whether the requester has the verb `weaken` on the server.
pub(crate) fn question(server: &Value, facts: &Facts) -> Question {
    Question {
        verb: "weaken",
        group: GROUP,
        resource: Kind::Server.plural(),
        namespace: namespace(server, facts),
        name: text(server, "/metadata/name")
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Whether a grant gives something on a server of that name.
fn is_granted(namespace: &str, name: &str, facts: &Facts) -> Known<bool> {
    let Some(grants) = facts.grants.get() else {
        return Known::Unknown;
    };
    let now = facts.now.get().copied();
    Known::Known(grants.iter().any(|grant| {
        grant.metadata.namespace.as_deref() == Some(namespace)
            && grant.spec.server_ref.name == name
            && grant.spec.effect == Effect::Allow
            && is_live(grant, now)
    }))
}

/// The spec as far as the schema can read it.
fn read(object: &Value) -> MCPServerSpec {
    match schema::read(Kind::Server, object).0 {
        Typed::Server(spec) => *spec,
        Typed::Grant(_)
        | Typed::Session(_)
        | Typed::Policy(_)
        | Typed::Tool(_)
        | Typed::Prompt(_)
        | Typed::Resource(_)
        | Typed::Registry(_) => MCPServerSpec::default(),
    }
}

#[cfg(test)]
mod tests;
