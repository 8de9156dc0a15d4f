//! `--subject`: who a grant or session speaks of.
//!
//! Takes what the gateway's denials print, so that their hints can be copied: `alice`, `human:alice`, `group:devs`,
//! `team:x`, `serviceaccount:ns/name`, and several of them joined by commas, which must then all match.

use api::{ServiceAccountRef, Subject};
use common::cluster::WhoAmI;

/// Reads a subject. For clap's `value_parser`.
pub(crate) fn parse(text: &str) -> Result<Subject, String> {
    let mut subject = Subject::default();
    for part in parts(text) {
        let (kind, name) = split(part);
        if name.is_empty() {
            return Err(format!("'{part}' must have a name after the colon"));
        }
        let field = match kind {
            Kind::ServiceAccount => {
                let account = account(name).ok_or_else(|| {
                    format!("'{name}' must be namespace/name of a service account")
                })?;
                if subject.service_account.replace(account).is_some() {
                    return Err(twice(text));
                }
                continue;
            }
            Kind::Human => &mut subject.human_id,
            Kind::Group => &mut subject.group,
            Kind::Team => &mut subject.team_id,
            Kind::Agent => &mut subject.agent_id,
            Kind::Issuer => &mut subject.issuer,
        };
        if field.replace(name.to_owned()).is_some() {
            return Err(twice(text));
        }
    }
    if subject.names_somebody() {
        Ok(subject)
    } else {
        Err("must name a human, group, team or serviceaccount: an agent alone is self-declared and names nobody".to_owned())
    }
}

fn twice(text: &str) -> String {
    format!("'{text}' must name each kind once: all parts must match one caller")
}

#[derive(Clone, Copy)]
enum Kind {
    Human,
    Group,
    Team,
    ServiceAccount,
    Agent,
    Issuer,
}

const KINDS: &[(&str, Kind)] = &[
    ("human:", Kind::Human),
    ("user:", Kind::Human),
    ("group:", Kind::Group),
    ("team:", Kind::Team),
    ("serviceaccount:", Kind::ServiceAccount),
    ("system:serviceaccount:", Kind::ServiceAccount),
    ("agent:", Kind::Agent),
    ("issuer:", Kind::Issuer),
];

/// Cuts at the commas that another kind follows: names may contain commas themselves (`CN=alice,O=example`).
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(',') {
        if KINDS
            .iter()
            .any(|(prefix, _)| text[at + 1..].starts_with(prefix))
        {
            parts.push(&text[start..at]);
            start = at + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Kind and name; without a kind that we know it is a person, such as `oidc:alice`.
fn split(part: &str) -> (Kind, &str) {
    KINDS
        .iter()
        .find_map(|(prefix, kind)| part.strip_prefix(prefix).map(|name| (*kind, name)))
        .unwrap_or((Kind::Human, part))
}

/// `ns/name`, or `ns:name` as in a user name.
fn account(name: &str) -> Option<ServiceAccountRef> {
    let (namespace, name) = name.split_once('/').or_else(|| name.split_once(':'))?;
    let plain = |text: &str| !text.is_empty() && !text.contains(['/', ':']);
    (plain(namespace) && plain(name)).then(|| ServiceAccountRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// The subject of a session that the caller makes for himself.
pub(crate) fn of_caller(who: &WhoAmI) -> Subject {
    match who.service_account() {
        Some((namespace, name)) => Subject {
            service_account: Some(ServiceAccountRef {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            ..Subject::default()
        },
        None => Subject {
            human_id: Some(who.username.clone()),
            ..Subject::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_typed() {
        for (typed, printed) in [
            ("alice", "human:alice"),
            ("human:alice", "human:alice"),
            ("oidc:alice", "human:oidc:alice"),
            ("CN=alice,O=example", "human:CN=alice,O=example"),
            ("group:system:authenticated", "group:system:authenticated"),
            ("serviceaccount:ci/bot", "serviceaccount:ci/bot"),
            ("system:serviceaccount:ci:bot", "serviceaccount:ci/bot"),
            ("alice,agent:claude", "human:alice,agent:claude"),
            (
                "human:a,group:b,team:c,issuer:https://x",
                "human:a,group:b,team:c,issuer:https://x",
            ),
        ] {
            let subject = parse(typed).unwrap();
            assert_eq!(subject.to_string(), printed, "{typed}");
            assert_eq!(parse(&subject.to_string()), Ok(subject), "{typed}");
        }
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for (typed, words) in [
            ("", "name after the colon"),
            ("human:", "name after the colon"),
            ("agent:claude", "names nobody"),
            ("serviceaccount:bot", "namespace/name"),
            ("serviceaccount:a/b/c", "namespace/name"),
            ("human:a,human:b", "each kind once"),
            ("serviceaccount:a/b,serviceaccount:c/d", "each kind once"),
        ] {
            let error = parse(typed).unwrap_err();
            assert!(error.contains(words), "{typed}: {error}");
        }
    }

    #[test]
    fn a_service_account_makes_a_session_as_itself() {
        let who = WhoAmI {
            username: "system:serviceaccount:ci:bot".to_owned(),
            groups: vec![],
        };
        assert_eq!(of_caller(&who).to_string(), "serviceaccount:ci/bot");
    }
}
