//! MCP0710 blocked-subject: a Deny grant covers the subject.

use api::{Effect, Subject};
use api::names::REQUESTED_BY;

use crate::context::known;
use crate::finding::escape;
use crate::subject::{covers, in_team, is_live};

use super::{Class, Context, Meta, Need, Plain, Report, SESSION};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0710", "blocked-subject", SESSION, Class::Warning)
        .summary("a Deny grant covers the subject")
        .needs(&[Need::Grants]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.session() else { return };
    if !context.creating() {
        return;
    }
    let Some(grants) = known(&context.facts.grants, Need::Grants, report) else { return };
    let groups = context.facts.requester.get().map(|requester| requester.groups.as_slice()).unwrap_or_default();
    for grant in grants.iter().filter(|grant| {
        grant.metadata.namespace.as_deref() == Some(context.namespace)
            && grant.spec.effect == Effect::Deny
            && grant.spec.server_ref == spec.server_ref
            && is_live(grant, context.facts.now.get().copied())
            && covers(&grant.spec.subject, &as_member(&grant.spec.subject, &spec.subject, context), groups)
    }) {
        let what = if grant.spec.tool_rules.is_empty() { "every call" } else { "some calls" };
        let until = grant.spec.expires_at.as_ref().map(|time| format!(" until {}", time.0)).unwrap_or_default();
        let by = grant.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REQUESTED_BY));
        let by = by.map(|by| format!(" by {}", escape(by))).unwrap_or_default();
        report.at("spec.subject").given(&spec.subject).must(format!("is denied {what}{until}{by}"));
    }
}

/// The session's subject, in the team that is denied if the requester is a member: leaving the team out of the session
/// does not get past the denial.
fn as_member(denied: &Subject, session: &Subject, context: &Context<'_>) -> Subject {
    let mut subject = session.clone();
    if let (Some(team), Some(requester)) = (&denied.team_id, context.facts.requester.get())
        && in_team(team, requester, context.selected())
    {
        subject.team_id = Some(team.clone());
    }
    subject
}
