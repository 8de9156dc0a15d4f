//! What must be asked of the API server about the requester before an object can be judged.

use api::{GROUP, Subject};
use serde_json::Value;

use crate::check::is_terminating;
use crate::context::{annotation, text};
use crate::escalation;
use crate::facts::{Facts, Question, Requester};
use crate::kind::{Kind, kind_of};
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
        (Some(Kind::Server | Kind::Policy | Kind::Session) | None, _, _) => None,
    };
    question.into_iter().collect()
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
