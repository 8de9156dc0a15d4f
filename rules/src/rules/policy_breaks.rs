//! MCP0906 policy-breaks: how many live objects would fall foul of the policy and do not now.
//!
//! Each object is judged as it stands, by all rules, once with the policies that are there and once with this one in its
//! place. `kubectl mcp policy test` does the same for all objects.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy};
use serde::Serialize;
use serde_json::Value;

use crate::check::check as judge;
use crate::context::known;
use crate::facts::{Facts, Known, NamespaceFacts, Operation};
use crate::policy::PolicySet;

use super::{Class, Context, Meta, Need, POLICY, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0906", "policy-breaks", POLICY, Class::Warning)
        .summary("live servers, grants or sessions would fall foul of the policy that do not now")
        .needs(&[Need::Policies, Need::Namespaces, Need::Servers, Need::Grants, Need::Sessions]),
    check,
};

/// The most objects that are judged: whoever applies a policy waits for the answer.
const MOST: usize = 1000;

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.policy() else { return };
    let unchanged = context.old.is_some_and(|old| old.get("spec") == context.object.get("spec"));
    if !matches!(context.operation, Operation::Create | Operation::Update) || unchanged {
        return;
    }
    let Some(now) = known(&context.facts.policies, Need::Policies, report) else { return };
    if context.namespaces(report).is_none() {
        return;
    }
    let mut tally = Tally::new(context.facts, now, Arc::new(MCPPolicy::new(context.name, spec.clone())));
    for server in context.live(report).unwrap_or_default() {
        let read = || serde_json::from_str(&server.text).ok().map(Cow::Owned);
        tally.take("MCPServer", &server.namespace, &server.name, read);
    }
    let grants: &[Arc<MCPAccessGrant>] = known(&context.facts.grants, Need::Grants, report).map_or(&[], |grants| grants.as_slice());
    for grant in grants {
        tally.take_object("MCPAccessGrant", grant.as_ref());
    }
    let sessions: &[Arc<MCPAgentSession>] =
        known(&context.facts.sessions, Need::Sessions, report).map_or(&[], |sessions| sessions.as_slice());
    for session in sessions {
        tally.take_object("MCPAgentSession", session.as_ref());
    }
    tally.say(report);
}

/// What a namespace's objects are judged by, before and after.
struct Sides {
    namespace: Known<Arc<NamespaceFacts>>,
    before: Arc<PolicySet>,
    after: Arc<PolicySet>,
}

/// What was found so far.
struct Tally<'a> {
    facts: &'a Facts,
    before: Arc<Vec<Arc<MCPPolicy>>>,
    after: Arc<Vec<Arc<MCPPolicy>>>,
    /// By namespace; none where the policy changes nothing.
    sides: BTreeMap<String, Option<Sides>>,
    looked: usize,
    left_out: usize,
    broken: Vec<(&'static str, usize)>,
    first: Option<String>,
}

impl<'a> Tally<'a> {
    fn new(facts: &'a Facts, before: &Arc<Vec<Arc<MCPPolicy>>>, candidate: Arc<MCPPolicy>) -> Self {
        let mut after: Vec<_> = before.iter().filter(|policy| policy.metadata.name != candidate.metadata.name).cloned().collect();
        after.push(candidate);
        Self {
            facts,
            before: Arc::clone(before),
            after: Arc::new(after),
            sides: BTreeMap::new(),
            looked: 0,
            left_out: 0,
            broken: Vec::new(),
            first: None,
        }
    }

    fn take_object<K: kube::Resource + Serialize>(&mut self, kind: &'static str, object: &K) {
        let meta = object.meta();
        let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        self.take(kind, namespace, name, || serde_json::to_value(object).ok().map(Cow::Owned));
    }

    /// Judges an object, if the policy has a say about its namespace and there were not too many before it.
    fn take<'v>(&mut self, kind: &'static str, namespace: &str, name: &str, read: impl FnOnce() -> Option<Cow<'v, Value>>) {
        if self.sides(namespace).is_none() {
            return;
        }
        if self.looked == MOST {
            self.left_out += 1;
            return;
        }
        self.looked += 1;
        let Some(object) = read() else { return };
        let Some(sides) = self.sides(namespace) else { return };
        let (after, before) = (Arc::clone(&sides.after), Arc::clone(&sides.before));
        let mut facts = self.facts_of(namespace);
        facts.policies = Known::Known(Arc::clone(&self.after));
        facts.selection = Some(after);
        let found = judge(Some(&object), None, &facts);
        if !found.is_refused() {
            return;
        }
        facts.policies = Known::Known(Arc::clone(&self.before));
        facts.selection = Some(before);
        let now = judge(Some(&object), None, &facts);
        let Some(new) = found.errors().find(|finding| !now.errors().any(|old| old.same_as(finding))) else { return };
        match self.broken.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.broken.push((kind, 1)),
        }
        self.first.get_or_insert_with(|| format!("{kind} {namespace}/{name} by {}", new.code));
    }

    /// The facts of a namespace's objects as they stand: nobody asks, and nobody's Secrets are known.
    fn facts_of(&self, namespace: &str) -> Facts {
        let known = self.sides.get(namespace).and_then(Option::as_ref);
        Facts {
            operation: Some(Operation::Live),
            namespace: known.map(|sides| sides.namespace.clone()).unwrap_or_default(),
            requester: Known::Unknown,
            secrets: Known::Unknown,
            config_maps: Known::Unknown,
            ..self.facts.clone()
        }
    }

    fn sides(&mut self, namespace: &str) -> Option<&Sides> {
        if !self.sides.contains_key(namespace) {
            let sides = self.work_out(namespace);
            self.sides.insert(namespace.to_owned(), sides);
        }
        self.sides.get(namespace).and_then(Option::as_ref)
    }

    fn work_out(&self, namespace: &str) -> Option<Sides> {
        let labels = self.facts.namespaces.get().and_then(|namespaces| namespaces.get(namespace));
        let select = |policies: &[Arc<MCPPolicy>]| match labels {
            Some(labels) => PolicySet::select(policies, namespace, labels),
            None => PolicySet::assume(policies, namespace),
        };
        let (before, after) = (select(&self.before), select(&self.after));
        let facts = labels.map(|labels| NamespaceFacts { name: namespace.to_owned(), labels: labels.clone() });
        (before != after).then(|| Sides {
            namespace: facts.map_or(Known::Unknown, |facts| Known::Known(Arc::new(facts))),
            before: Arc::new(before),
            after: Arc::new(after),
        })
    }

    fn say(self, report: &mut Report) {
        let limit = match self.left_out {
            0 => String::new(),
            more => format!("; only {MOST} objects were looked at, {more} were not"),
        };
        let Some(first) = self.first else {
            if self.left_out > 0 {
                report.incomplete(format!("only {MOST} live objects were looked at, {} were not", self.left_out));
            }
            return;
        };
        let counts: Vec<_> =
            self.broken.iter().map(|(kind, count)| format!("{count} {kind}{}", if *count == 1 { "" } else { "s" })).collect();
        report
            .at("spec")
            .must(format!("would refuse {}, which pass now: {first}{limit}", counts.join(", ")))
            .hint("kubectl mcp policy test -f FILE");
    }
}
