//! `--subject`: who a grant or session speaks of.
//!
//! Takes what the gateway's denials print, so that their hints can be copied: `alice`, `human:alice`, `group:devs`,
//! `team:x`, `serviceaccount:ns/name` (or `sa:`), and several of them joined by commas, which must then all match.

use api::{ServiceAccountRef, Subject};
use common::cluster::WhoAmI;
use common::near;

/// Reads a subject. For clap's `value_parser`.
pub(crate) fn parse(text: &str) -> Result<Subject, String> {
    let mut subject = Subject::default();
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "'{}' must have no white space and no control characters",
            text.escape_debug()
        ));
    }
    for part in parts(text) {
        let (kind, name) = split(part)?;
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
    ("sa:", Kind::ServiceAccount),
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

/// Kind and name; a name without a colon is a person. A prefix that we do not know is a slip more often than a part of
/// a name, and a denial of a person that nobody is denies nothing: such a name is written `human:oidc:alice`.
fn split(part: &str) -> Result<(Kind, &str), String> {
    if let Some(known) = KINDS
        .iter()
        .find_map(|(prefix, kind)| part.strip_prefix(prefix).map(|name| (*kind, name)))
    {
        return Ok(known);
    }
    let Some((prefix, name)) = part.split_once(':') else {
        return Ok((Kind::Human, part));
    };
    let words = KINDS.iter().map(|(known, _)| known.trim_end_matches(':'));
    let meant = near::meant(prefix, words)
        .map(|word| format!("; did you mean {word}:{name}?"))
        .unwrap_or_default();
    Err(format!(
        "'{prefix}:' must be human:, group:, team: or serviceaccount:{meant} \
         (a name with a colon is written human:{part})"
    ))
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
            ("human:oidc:alice", "human:oidc:alice"),
            ("sa:ci/bot", "serviceaccount:ci/bot"),
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
            ("groups:devs", "did you mean group:devs?"),
            ("Group:devs", "did you mean group:devs?"),
            ("bogus:alice", "written human:bogus:alice"),
            ("alice,groups:devs", "written human:alice,groups:devs"),
            ("al ice", "no white space"),
            ("human:al\u{1b}ice", "no white space and no control"),
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
