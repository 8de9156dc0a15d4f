//! MCP0709 too-many-sessions: the requester has `limits.sessionsPerRequester` (20) live sessions on this server already.

use api::names::REQUESTED_BY;

use crate::context::known;
use crate::effective::SESSIONS_PER_REQUESTER;

use super::{Class, Context, Meta, Need, Plain, Report, SESSION};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0709", "too-many-sessions", SESSION, Class::PolicyOn)
        .summary("the requester has `limits.sessionsPerRequester` (20) live sessions on this server already")
        .needs(&[Need::Sessions, Need::Requester, Need::Time, Need::Policies])
        .mentioned_by(|spec| spec.limits.as_ref().is_some_and(|limits| limits.sessions_per_requester.is_some()))
        .never_ratchets(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.session() else { return };
    if !context.creating() {
        return;
    }
    let Some(sessions) = known(&context.facts.sessions, Need::Sessions, report) else { return };
    let Some(requester) = context.requester(report) else { return };
    let Some(now) = context.now(report) else { return };
    let live = sessions
        .iter()
        .filter(|other| {
            let annotations = other.metadata.annotations.as_ref();
            other.metadata.namespace.as_deref() == Some(context.namespace)
                && other.metadata.name.as_deref() != Some(context.name)
                && other.spec.server_ref == spec.server_ref
                && !other.spec.revoked
                && other.spec.expires_at.0 > now
                && annotations.and_then(|a| a.get(REQUESTED_BY)) == Some(&requester.username)
        })
        .count();
    let limits = context.selected().iter().filter_map(|(_, spec)| spec.limits.as_ref()?.sessions_per_requester);
    let most = limits.min().unwrap_or(SESSIONS_PER_REQUESTER);
    if i32::try_from(live).unwrap_or(i32::MAX) >= most {
        report
            .at("spec.serverRef.name")
            .given(&spec.server_ref.name)
            .must(format!("must have at most {most} live sessions of one requester, and you have {live}"))
            .hint("kubectl mcp session list; kubectl mcp session revoke NAME");
    }
}
