//! MCP0608 four-eyes: a grant that needs a second person is written by the server's author, or by whom it is for.

use api::{Effect, Subject};

use crate::context::known;
use crate::escalation::widens;
use crate::facts::{Operation, Requester};
use crate::policy::PolicySet;
use crate::subject::{in_team, is_account};

use super::{Class, Context, GRANT, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0608", "four-eyes", GRANT, Class::Policy)
        .summary("a grant of a trust in `access.fourEyesFor` is written or widened by an author of its server, or by whom it is for")
        .needs(&[Need::Policies, Need::Servers, Need::Requester])
        .mentioned_by(|spec| spec.access.as_ref().is_some_and(|access| access.four_eyes_for.is_some()))
        .never_ratchets(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.grant() else { return };
    let gives = match context.operation {
        Operation::Create => true,
        Operation::Update => context.old_grant().is_some_and(|old| widens(spec, old)),
        Operation::Delete | Operation::Live => false,
    };
    if !gives || spec.effect == Effect::Deny {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    let asking = policies.first(|policy| policy.access.as_ref()?.four_eyes_for.as_ref().filter(|levels| levels.contains(&spec.max_trust)));
    let Some((policy, _)) = asking else { return };
    let Some(requester) = context.requester(report) else { return };
    let why = format!("MCPPolicy '{policy}' asks for a second person where maxTrust is {}", spec.max_trust);
    let hint = format!("somebody else with the role kubectl-mcp-granter in namespace {} can do it", context.namespace);
    if is_for(&spec.subject, requester, policies) {
        report
            .at("spec.subject")
            .given(&spec.subject)
            .must(format!("must not be you, who asks: {why}"))
            .hint(&hint)
            .forbidden();
    }
    if known(&context.facts.servers, Need::Servers, report).is_none() {
        return;
    }
    let name = &spec.server_ref.name;
    match context.facts.server(context.namespace, name) {
        None => {
            report
                .at("spec.serverRef.name")
                .given(name)
                .must(format!("must be a server that is there, so that its author is known: {why}"))
                .hint("make the server first");
        }
        Some(server) if server.authors.contains(&requester.username) => {
            report
                .at("spec.serverRef.name")
                .given(name)
                .must(format!("must not be a server that you made or changed last: {why}"))
                .hint(&hint)
                .forbidden();
        }
        Some(_) => {}
    }
}

/// Whether the requester may be whom the grant is for: nothing that the subject names is somebody else. An issuer changes
/// nothing: the same name at a login service is the same person, as far as two pairs of eyes are concerned.
fn is_for(subject: &Subject, requester: &Requester, policies: &PolicySet) -> bool {
    subject.names_somebody()
        && subject.human_id.as_ref().is_none_or(|human| *human == requester.username)
        && subject.group.as_ref().is_none_or(|group| requester.groups.contains(group))
        && subject.team_id.as_ref().is_none_or(|team| in_team(team, requester, policies))
        && subject.service_account.as_ref().is_none_or(|account| is_account(account, requester))
}
