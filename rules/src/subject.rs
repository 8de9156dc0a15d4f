//! Who a session or a grant speaks of, compared with who asks.

use api::{Effect, MCPAccessGrant, ServiceAccountRef, Subject};
use jiff::Timestamp;

use crate::facts::Requester;
use crate::policy::PolicySet;

/// What user names of service accounts begin with.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Whether the subject is the requester's own principal: his user name or himself as a service account, in no team
/// that the policies do not map to one of his groups, and nothing else.
pub(crate) fn is_own(subject: &Subject, requester: &Requester, policies: &PolicySet) -> bool {
    let human = subject
        .human_id
        .as_ref()
        .is_none_or(|human| *human == requester.username);
    let account = subject
        .service_account
        .as_ref()
        .is_none_or(|account| is_account(account, requester));
    let team = subject
        .team_id
        .as_ref()
        .is_none_or(|team| in_team(team, requester, policies));
    is_one_principal(subject) && human && account && team && subject.issuer.is_none()
}

/// Whether the requester is the service account.
pub(crate) fn is_account(account: &ServiceAccountRef, requester: &Requester) -> bool {
    requester.username == format!("{SERVICE_ACCOUNT}{}:{}", account.namespace, account.name)
}

/// Whether the subject is exactly one person or one service account.
pub(crate) fn is_one_principal(subject: &Subject) -> bool {
    subject.group.is_none() && subject.human_id.is_some() != subject.service_account.is_some()
}

/// Whether a policy makes a member of one of the requester's groups a member of the team.
pub(crate) fn in_team(team: &str, requester: &Requester, policies: &PolicySet) -> bool {
    policies.any(|spec| {
        let teams = spec
            .access
            .as_ref()
            .and_then(|access| access.teams.as_ref());
        teams.into_iter().flatten().any(|mapping| {
            mapping.name == team
                && mapping
                    .groups
                    .iter()
                    .any(|group| requester.groups.contains(group))
        })
    })
}

/// Whether a grant's subject covers the principal of a session: every field that the grant names is equal.
pub(crate) fn covers(grant: &Subject, session: &Subject, groups: &[String]) -> bool {
    fn fits<T: PartialEq>(wanted: Option<&T>, given: Option<&T>) -> bool {
        wanted.is_none_or(|wanted| given == Some(wanted))
    }
    grant.names_somebody()
        && fits(grant.human_id.as_ref(), session.human_id.as_ref())
        && fits(grant.agent_id.as_ref(), session.agent_id.as_ref())
        && fits(grant.team_id.as_ref(), session.team_id.as_ref())
        && fits(
            grant.service_account.as_ref(),
            session.service_account.as_ref(),
        )
        && grant.issuer == session.issuer
        && grant
            .group
            .as_ref()
            .is_none_or(|group| groups.contains(group))
}

/// Whether a grant decides anything at a time. A grant that is being deleted no longer allows, but still denies.
pub(crate) fn is_live(grant: &MCPAccessGrant, now: Option<Timestamp>) -> bool {
    let expired = match (&grant.spec.expires_at, now) {
        (Some(expires), Some(now)) => expires.0 <= now,
        _ => false,
    };
    let deleted = grant.metadata.deletion_timestamp.is_some() && grant.spec.effect == Effect::Allow;
    !grant.spec.disabled && !expired && !deleted
}
