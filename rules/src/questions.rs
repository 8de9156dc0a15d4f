//! What must be asked of the API server about the requester before an object can be judged.

use std::collections::{BTreeMap, BTreeSet};

use api::names::{MANAGED_BY, OPERATOR, SERVER_LABEL};
use api::{GROUP, Subject};
use serde_json::Value;

use crate::check::is_terminating;
use crate::context::{annotation, text};
use crate::escalation;
use crate::facts::{Facts, Question, Requester};
use crate::kind::{Kind, kind_of};
use crate::references::{Reference, secrets_of};
use crate::schema;
use crate::subject::is_own;
use crate::weakening::weaken;

/// Identities that empty a namespace because it is being deleted, not because they want to. The second is what all
/// controllers are where they have no accounts of their own. The garbage collector is none of them: whom it deletes for
/// is said by `metadata.ownerReferences`, which whoever may write the object may write (MCP0913).
const NAMESPACE_CONTROLLERS: [&str; 2] = [
    "system:serviceaccount:kube-system:namespace-controller",
    "system:kube-controller-manager",
];

/// The questions for SubjectAccessReviews, whose answers belong into [`Facts::answers`] before
/// [`check`](crate::check): a question without an answer makes its rule `unchecked`. Often empty.
pub fn questions(new: Option<&Value>, old: Option<&Value>, facts: &Facts) -> Vec<Question> {
    let Some(object) = new.or(old) else {
        return Vec::new();
    };
    let Some(requester) = facts.requester.get() else {
        return Vec::new();
    };
    let question = match (kind_of(object), new, old) {
        (Some(Kind::Session), Some(new), None) => impersonate(new, requester, facts),
        (Some(Kind::Session), new, Some(old)) => revoke(new, old, requester, facts),
        (Some(Kind::Grant), new, old) => escalation::grant(new, old, requester, facts),
        (Some(Kind::Server), Some(new), old) => weaken(new, old, facts),
        (
            Some(
                Kind::Server
                | Kind::Policy
                | Kind::Session
                | Kind::Tool
                | Kind::Prompt
                | Kind::Resource
                | Kind::Registry,
            )
            | None,
            _,
            _,
        ) => None,
    };
    let mut questions: Vec<Question> = question.into_iter().collect();
    if let Some(new) = new
        && let Some(kind @ (Kind::Server | Kind::Session)) = kind_of(new)
        && new.get("spec").is_some_and(speaks_of_secrets)
        && !old.is_some_and(is_terminating)
    {
        let named = |object| secrets_of(&schema::read(kind, object).0);
        let given = newly_given(new, named(new), &old.map(named).unwrap_or_default(), facts);
        questions.extend(given.into_iter().map(|(_, question)| question));
    }
    questions
}

/// How many Secrets are asked about one by one. Somebody who names more at once must be able to get all.
const MOST_SECRETS: usize = 32;

/// To be asked where Secrets, or keys of them, are named that were not named before: whether the requester himself may get
/// them. `named` are those of the new object, `before` those of the old one. Each with the first place that names it.
pub(crate) fn newly_given(
    new: &Value,
    named: Vec<Reference>,
    before: &[Reference],
    facts: &Facts,
) -> Vec<(Reference, Question)> {
    let before = given(before);
    let mut seen = BTreeSet::new();
    let named: Vec<Reference> = named
        .into_iter()
        .filter(|reference| {
            !is_covered(reference, &before)
                && seen.insert(reference.name.clone())
                && !consents(new, &reference.name, facts)
        })
        .collect();
    let all = named.len() > MOST_SECRETS;
    let namespace = namespace(new, facts);
    let question = |name: String| Question {
        verb: "get",
        group: "",
        resource: "secrets",
        namespace: namespace.clone(),
        name,
    };
    named
        .into_iter()
        .take(if all { 1 } else { MOST_SECRETS })
        .map(|reference| {
            let name = if all {
                String::new()
            } else {
                reference.name.clone()
            };
            (reference, question(name))
        })
        .collect()
}

/// What was given of Secrets: by name the keys, or nothing where all of them were.
fn given(references: &[Reference]) -> BTreeMap<String, Option<BTreeSet<String>>> {
    let mut given: BTreeMap<String, Option<BTreeSet<String>>> = BTreeMap::new();
    for reference in references {
        let keys = given
            .entry(reference.name.clone())
            .or_insert_with(|| Some(BTreeSet::new()));
        if reference.keys.is_empty() {
            *keys = None;
        } else if let Some(keys) = keys {
            keys.extend(reference.keys.iter().map(|(_, key)| key.clone()));
        }
    }
    given
}

/// Whether a reference asks for nothing that was not given before: another key of the same Secret is another secret.
fn is_covered(reference: &Reference, before: &BTreeMap<String, Option<BTreeSet<String>>>) -> bool {
    match before.get(&reference.name) {
        None => false,
        Some(None) => true,
        Some(Some(keys)) => {
            !reference.keys.is_empty() && reference.keys.iter().all(|(_, key)| keys.contains(key))
        }
    }
}

/// Whether some key of a spec has to do with a Secret: most do not, and need not be read for it.
fn speaks_of_secrets(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains("ecret") || speaks_of_secrets(value)),
        Value::Array(items) => items.iter().any(speaks_of_secrets),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether the Secret is labelled for the server, where its labels are known. The operator labels what it makes for a
/// server too, and means something else by it.
fn consents(object: &Value, name: &str, facts: &Facts) -> bool {
    let server = text(object, "/spec/serverRef/name").or_else(|| text(object, "/metadata/name"));
    let secret = facts.secrets.get().and_then(|secrets| secrets.get(name));
    secret.is_some_and(|secret| {
        secret.labels.get(SERVER_LABEL).map(String::as_str)
            == server.filter(|name| !name.is_empty())
            && secret.labels.contains_key(SERVER_LABEL)
            && secret.labels.get(MANAGED_BY).map(String::as_str) != Some(OPERATOR)
    })
}

/// Whether the requester removes objects only because their namespace goes.
pub(crate) fn is_namespace_controller(requester: &Requester) -> bool {
    NAMESPACE_CONTROLLERS.contains(&requester.username.as_str())
}

/// To be asked when a session is made for somebody else.
pub(crate) fn impersonate(
    object: &Value,
    requester: &Requester,
    facts: &Facts,
) -> Option<Question> {
    (!is_own_session(object, requester, facts)).then(|| question("impersonate", object, facts))
}

/// To be asked when somebody else's session is changed or deleted, or a revoked one deleted.
pub(crate) fn revoke(
    new: Option<&Value>,
    old: &Value,
    requester: &Requester,
    facts: &Facts,
) -> Option<Question> {
    let deletes_revoked = new.is_none() && old.pointer("/spec/revoked") == Some(&Value::Bool(true));
    let changes = match new {
        Some(new) => !is_terminating(old) && new.get("spec") != old.get("spec"),
        None => true,
    };
    let theirs = annotation(old, api::names::REQUESTED_BY) != Some(requester.username.as_str())
        && !is_own_session(old, requester, facts);
    let emptied = new.is_none() && is_namespace_controller(requester);
    (changes && (theirs || deletes_revoked) && !emptied).then(|| question("revoke", old, facts))
}

/// Whether a session's subject is the requester's own principal.
pub(crate) fn is_own_session(object: &Value, requester: &Requester, facts: &Facts) -> bool {
    let subject: Option<Subject> = object
        .pointer("/spec/subject")
        .and_then(|subject| serde_json::from_value(subject.clone()).ok());
    subject.is_some_and(|subject| {
        is_own(
            &subject,
            requester,
            &facts.selected(&namespace(object, facts)),
        )
    })
}

fn question(verb: &'static str, object: &Value, facts: &Facts) -> Question {
    Question {
        verb,
        group: GROUP,
        resource: Kind::Session.plural(),
        namespace: namespace(object, facts),
        name: text(object, "/metadata/name")
            .unwrap_or_default()
            .to_owned(),
    }
}

pub(crate) fn namespace(object: &Value, facts: &Facts) -> String {
    match (text(object, "/metadata/namespace"), facts.namespace.get()) {
        (Some(namespace), _) => namespace.to_owned(),
        (None, Some(known)) => known.name.clone(),
        (None, None) => String::new(),
    }
}
