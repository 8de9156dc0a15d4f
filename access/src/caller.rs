//! Who calls: the identity that grants speak of, and the session that carried it.

use api::{ServiceAccountRef, Subject, Trust};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::bundle::{Bundle, SessionEntry};
use crate::reason::Reason;

/// The user name of callers of a server with `auth.mode: none`, as in Kubernetes.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of such callers: a grant to it is a grant to anybody.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Whom grants can name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// A person.
    pub human: Option<String>,
    /// The agent that acts for it, self-declared.
    pub agent: Option<String>,
    /// A team.
    pub team: Option<String>,
    /// A Kubernetes service account.
    pub service_account: Option<ServiceAccountRef>,
    /// Groups.
    pub groups: Vec<String>,
    /// Teams by the policies' mappings, besides `team`: only denials look at them.
    pub teams: Vec<String>,
    /// The OAuth issuer that vouches for the above; Kubernetes when absent.
    pub issuer: Option<String>,
}

/// An authenticated caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub identity: Identity,
    /// By which session, if by one.
    pub session: Option<CallerSession>,
}

/// What a decision needs to know of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerSession {
    /// Name of the MCPAgentSession.
    pub name: String,
    /// The highest trust the subject agreed to.
    pub consented_trust: Trust,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Identity {
    /// The identity of a subject, with the groups it is in.
    pub fn of(subject: &Subject, groups: Vec<String>) -> Self {
        Self {
            human: subject.human_id.clone(),
            agent: subject.agent_id.clone(),
            team: subject.team_id.clone(),
            service_account: subject.service_account.clone(),
            groups,
            teams: Vec::new(),
            issuer: subject.issuer.clone(),
        }
    }

    /// Whether a grant to `subject` speaks of this identity: every field that is given must match, an issuer is never
    /// taken for another, and a subject that names nobody speaks of nobody.
    pub fn is(&self, subject: &Subject) -> bool {
        self.speaks_of(subject, same(subject.team_id.as_ref(), self.team.as_ref()))
    }

    /// Whether a denial to `subject` speaks of this identity: as [`is`](Self::is), but membership of the team is
    /// enough. A session that leaves its team out does not get past a denial to the team.
    pub fn is_denied_as(&self, subject: &Subject) -> bool {
        let member = subject
            .team_id
            .as_ref()
            .is_some_and(|team| self.teams.contains(team));
        self.speaks_of(
            subject,
            member || same(subject.team_id.as_ref(), self.team.as_ref()),
        )
    }

    fn speaks_of(&self, subject: &Subject, team: bool) -> bool {
        subject.names_somebody()
            && subject.issuer == self.issuer
            && same(subject.human_id.as_ref(), self.human.as_ref())
            && same(subject.agent_id.as_ref(), self.agent.as_ref())
            && team
            && (subject.service_account.is_none()
                || subject.service_account == self.service_account)
            && subject
                .group
                .as_ref()
                .is_none_or(|group| self.groups.contains(group))
    }

    /// The subject that a new grant to this identity would name: the narrowest authenticated name, without the agent.
    pub fn subject(&self) -> Subject {
        let mut subject = Subject {
            issuer: self.issuer.clone(),
            ..Subject::default()
        };
        if self.human.is_some() {
            subject.human_id.clone_from(&self.human);
        } else if self.service_account.is_some() {
            subject.service_account.clone_from(&self.service_account);
        } else if self.team.is_some() {
            subject.team_id.clone_from(&self.team);
        } else {
            subject.group = self.groups.first().cloned();
        }
        subject
    }

    /// A text that is equal for two callers if and only if they are the same principal. MCP sessions are bound to it.
    /// The agent belongs to it, because grants can name it; groups do not, because they may change.
    #[allow(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn principal(&self) -> String {
        let account = self
            .service_account
            .as_ref()
            .map(|a| format!("{}/{}", a.namespace, a.name));
        let parts = [&self.issuer, &self.human, &account, &self.team, &self.agent];
        serde_json::to_string(&parts)
            .expect("a list of strings has no keys, which is all that can fail")
    }
}

/// The user name of a service account.
pub fn account_user(account: &ServiceAccountRef) -> String {
    format!(
        "system:serviceaccount:{}:{}",
        account.namespace, account.name
    )
}

/// The audience that a service account's token must be made for to be taken by a server with `auth.mode: kubernetes`.
pub fn token_audience(namespace: &str, server: &str) -> String {
    format!("kubectl-mcp/{namespace}/{server}")
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = Subject {
            human_id: self.human.clone(),
            agent_id: self.agent.clone(),
            team_id: self.team.clone(),
            service_account: self.service_account.clone(),
            group: None,
            issuer: self.issuer.clone(),
        };
        write!(f, "{whole}")
    }
}

impl Caller {
    /// Somebody unknown, for servers with `auth.mode: none`.
    pub fn anonymous() -> Self {
        Self {
            identity: Identity {
                human: Some(ANONYMOUS.to_owned()),
                groups: vec![UNAUTHENTICATED.to_owned()],
                ..Identity::default()
            },
            session: None,
        }
    }

    /// A subject without a session: for questions such as "can alice".
    pub fn of(subject: &Subject, groups: Vec<String>) -> Self {
        Self {
            identity: Identity::of(subject, groups),
            session: None,
        }
    }

    /// The same caller as a member of teams, by [`Settings::teams_of`](crate::Settings::teams_of).
    #[must_use]
    pub fn in_teams(mut self, teams: Vec<String>) -> Self {
        self.identity.teams = teams;
        self
    }

    /// The holder of a session.
    pub fn of_session(session: &SessionEntry) -> Self {
        Self {
            identity: Identity {
                teams: session.teams.clone(),
                ..Identity::of(&session.subject, session.groups.clone())
            },
            session: Some(CallerSession {
                name: session.name.clone(),
                consented_trust: session.consented_trust,
                expires_at: session.expires_at,
            }),
        }
    }
}

/// The caller with the session whose token came beside its own identity (`sessionIDHeader`).
///
/// The session must be of the same principal. It may add an agent and a team where the caller says none, but never
/// say another one, and its teams count for denials.
pub fn join_session(caller: Caller, session: Caller) -> Result<Caller, Reason> {
    let (own, other) = (&caller.identity, &session.identity);
    let same_principal = own.issuer == other.issuer
        && own.human == other.human
        && own.service_account == other.service_account
        && (own.human.is_some() || own.service_account.is_some());
    let agrees = |own: &Option<String>, other: &Option<String>| {
        own.is_none() || other.is_none() || own == other
    };
    if !same_principal || !agrees(&own.agent, &other.agent) || !agrees(&own.team, &other.team) {
        return Err(Reason::SessionOfAnother);
    }
    let mut identity = caller.identity;
    let other = session.identity;
    identity.agent = identity.agent.or(other.agent);
    identity.team = identity.team.or(other.team);
    identity.groups = union(identity.groups, other.groups);
    identity.teams = union(identity.teams, other.teams);
    Ok(Caller {
        identity,
        session: session.session,
    })
}

fn union(mut all: Vec<String>, more: Vec<String>) -> Vec<String> {
    all.extend(more);
    all.sort();
    all.dedup();
    all
}

fn same(wanted: Option<&String>, have: Option<&String>) -> bool {
    wanted.is_none() || wanted == have
}

/// The `tokenHash` of a bearer token: SHA-256 over its whole text, in lower-case hexadecimal digits.
pub fn token_hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// The caller behind the hash of a token. Only the hash is compared, so the time it takes tells nothing of a token.
pub fn authenticate(bundle: &Bundle, token_hash: &str, now: Timestamp) -> Result<Caller, Reason> {
    let session = bundle.session(token_hash).ok_or(Reason::InvalidToken)?;
    if session.revoked {
        return Err(Reason::SessionRevoked);
    }
    if session.expires_at <= now {
        return Err(Reason::SessionExpired);
    }
    Ok(Caller::of_session(session))
}

/// Lower-case hexadecimal digits.
#[allow(clippy::missing_panics_doc, reason = "it cannot")]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = vec![0; 2 * bytes.len()];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    String::from_utf8(digits).expect("the digits are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(issuer: Option<&str>, human: Option<&str>, agent: Option<&str>) -> Caller {
        let text = |text: &str| text.to_owned();
        Caller {
            identity: Identity {
                human: human.map(text),
                agent: agent.map(text),
                issuer: issuer.map(text),
                ..Identity::default()
            },
            session: None,
        }
    }

    #[test]
    fn a_session_joins_its_own_principal_only() {
        let holder = |issuer, human, agent| {
            let mut caller = caller(issuer, human, agent);
            caller.identity.groups = vec!["sre".to_owned()];
            caller.session = Some(CallerSession {
                name: "s".to_owned(),
                consented_trust: Trust::Low,
                expires_at: Timestamp::MAX,
            });
            caller
        };
        let alice = caller(Some("i"), Some("alice"), None);
        let joined =
            join_session(alice.clone(), holder(Some("i"), Some("alice"), Some("a"))).unwrap();
        assert_eq!(joined.identity.agent.as_deref(), Some("a"));
        assert_eq!(joined.identity.groups, ["sre"]);
        assert!(joined.session.is_some());
        for (caller, holder) in [
            (alice.clone(), holder(None, Some("alice"), None)),
            (alice.clone(), holder(Some("j"), Some("alice"), None)),
            (alice, holder(Some("i"), Some("bob"), None)),
            (
                caller(None, Some("alice"), Some("a")),
                holder(None, Some("alice"), Some("b")),
            ),
            (caller(None, None, None), holder(None, None, None)),
        ] {
            let refused = join_session(caller, holder);
            assert_eq!(refused, Err(Reason::SessionOfAnother));
        }
    }
}
