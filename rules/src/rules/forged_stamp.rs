//! MCP0910 forged-stamp: a stamp is not the requester's at creation, or was changed later.

use api::names::{EDITED_BY, REQUESTED_BY, REQUESTED_BY_GROUPS};

use crate::context::annotation;
use crate::defaults::expected_groups;
use crate::facts::Operation;

use super::{Class, Context, Kind, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0910", "forged-stamp", &Kind::ALL, Class::Structural)
        .summary("a stamp is not the requester's at creation, or was changed later")
        .needs(&[Need::Requester])
        .never_ratchets()
        .terminating(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    match context.operation {
        Operation::Create => created(context, report),
        Operation::Update => changed(context, report),
        Operation::Delete | Operation::Live => {}
    }
}

fn created(context: &Context<'_>, report: &mut Report) {
    const STAMPS: [&str; 3] = [REQUESTED_BY, REQUESTED_BY_GROUPS, EDITED_BY];
    let Some(requester) = context.facts.requester.get() else {
        if STAMPS.into_iter().any(|key| context.annotation(key).is_some()) {
            report.unchecked(Need::Requester);
        }
        return;
    };
    let groups = expected_groups(context.object, context.kind, requester, context.facts);
    for (key, expected) in [(REQUESTED_BY, requester.username.as_str()), (REQUESTED_BY_GROUPS, groups.as_str())] {
        match context.annotation(key) {
            Some(given) if given == expected => {}
            Some(given) => refuse(key, Some(given), "must be the requester's", report),
            None => refuse(key, None, "must be given: the mutating webhook did not stamp the object; try again", report),
        }
    }
    if let Some(given) = context.annotation(EDITED_BY).filter(|given| *given != requester.username) {
        refuse(EDITED_BY, Some(given), "must be the requester's", report);
    }
}

fn changed(context: &Context<'_>, report: &mut Report) {
    let Some(old) = context.old else { return };
    for key in [REQUESTED_BY, REQUESTED_BY_GROUPS] {
        let (new, old) = (context.annotation(key), annotation(old, key));
        if new != old {
            refuse(key, new, "must not change", report);
        }
    }
    let (new, before) = (context.annotation(EDITED_BY), annotation(old, EDITED_BY));
    let edited = context.kind == Kind::Server && context.object.get("spec") != old.get("spec");
    let requester = context.facts.requester.get().map(|requester| requester.username.as_str());
    if new == requester && new.is_some() || new == before && !edited {
        return;
    }
    if requester.is_none() {
        report.unchecked(Need::Requester);
    } else {
        refuse(EDITED_BY, new, "must be the requester's when the spec changes, and stay otherwise", report);
    }
}

fn refuse(key: &str, given: Option<&str>, message: &str, report: &mut Report) {
    let draft = report.at(format!("metadata.annotations[{key}]")).must(message);
    if let Some(given) = given {
        draft.given(given);
    }
    draft.hint("take the annotation away: it is written for you");
}
