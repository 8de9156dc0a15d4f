//! What could not be looked at in a cluster, and who misses it.
//!
//! Said once, in one line, and only where a manifest of the run needed it: most people may not read most of a cluster.

use std::collections::BTreeMap;

use rules::{Finding, Kind, Need, Severity, find};

/// Objects that the rules may want to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// What they are called in the API.
    pub(super) plural: &'static str,
    /// What the rules call them; nothing where no rule asks.
    need: Option<Need>,
    /// The kind, where it is one of ours: objects of the run may be there already.
    kind: Option<Kind>,
}

impl Subject {
    /// Objects that are not of our kinds.
    pub(super) fn of(plural: &'static str, need: Need) -> Self {
        Self {
            plural,
            need: Some(need),
            kind: None,
        }
    }

    /// Objects of our kinds.
    pub(super) fn of_kind(kind: Kind) -> Self {
        let need = match kind {
            Kind::Server => Some(Need::Servers),
            Kind::Grant => Some(Need::Grants),
            Kind::Session => Some(Need::Sessions),
            Kind::Policy => Some(Need::Policies),
            Kind::Tool | Kind::Prompt | Kind::Resource => Some(Need::Tools),
            Kind::Registry => None,
        };
        Self {
            plural: kind.plural(),
            need,
            kind: Some(kind),
        }
    }

    /// `secrets of namespace 'team-a'`; the empty namespace stands for all.
    pub(super) fn in_words(self, namespace: &str) -> String {
        match namespace {
            "" => self.plural.to_owned(),
            _ => format!("{} of namespace '{namespace}'", self.plural),
        }
    }
}

/// Something that could not be looked at.
#[derive(Clone, Debug)]
pub(crate) struct Unseen {
    pub(super) subject: Subject,
    /// Where; empty for everywhere.
    pub(super) namespace: String,
    /// Those of the namespaces of the run were seen, or are named themselves.
    pub(super) elsewhere: bool,
    /// The caller may not; else the cluster has none.
    pub(super) forbidden: bool,
}

/// What a finding could not look up: what its sentence names, or all that its rule looks up.
pub(crate) fn missing(finding: &Finding) -> Vec<Need> {
    if finding.severity != Severity::Unchecked {
        return Vec::new();
    }
    let all = find(finding.code).map_or(&[][..], |rule| rule.meta().needs);
    let named: Vec<_> = all
        .iter()
        .copied()
        .filter(|need| finding.message.contains(need.as_str()))
        .collect();
    if named.is_empty() {
        all.to_vec()
    } else {
        named
    }
}

/// What was missed, as one line for each reason. `kinds` are those of the run.
pub(crate) fn sentences<'a>(
    unseen: &[Unseen],
    kinds: &[Kind],
    findings: impl Iterator<Item = &'a Finding>,
) -> Vec<String> {
    let needs: Vec<Need> = findings.flat_map(missing).collect();
    let counts = |unseen: &&Unseen| {
        let Subject { need, kind, .. } = unseen.subject;
        need.is_some_and(|need| needs.contains(&need))
            || (!unseen.elsewhere && kind.is_some_and(|kind| kinds.contains(&kind)))
    };
    let missed: Vec<_> = unseen.iter().filter(counts).collect();
    let list = |forbidden| {
        let some = missed.iter().filter(|unseen| unseen.forbidden == forbidden);
        joined(some.copied())
    };
    let mut sentences = Vec::new();
    let forbidden = list(true);
    if !forbidden.is_empty() {
        sentences.push(format!(
            "not looked at, because you may not read it (forbidden): {forbidden}"
        ));
    }
    let absent = list(false);
    if !absent.is_empty() {
        sentences.push(format!(
            "not looked at, because the cluster does not have it: {absent}"
        ));
    }
    sentences
}

/// `mcppolicies, secrets of namespaces 'a' and 'b'`.
fn joined<'a>(unseen: impl Iterator<Item = &'a Unseen>) -> String {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for unseen in unseen {
        let place = match (unseen.elsewhere, unseen.namespace.as_str()) {
            (true, _) => "of other namespaces".to_owned(),
            (false, "") => String::new(),
            (false, namespace) => format!("'{namespace}'"),
        };
        places.entry(unseen.subject.plural).or_default().push(place);
    }
    let parts = places.into_iter().map(|(plural, places)| {
        let (named, others): (Vec<_>, Vec<_>) = places
            .into_iter()
            .partition(|place| place.starts_with('\''));
        let mut text = plural.to_owned();
        match named.as_slice() {
            [] => {}
            [one] => text = format!("{text} of namespace {one}"),
            several => text = format!("{text} of namespaces {}", several.join(" and ")),
        }
        match others.first().map(String::as_str) {
            None | Some("") => text,
            Some(others) if named.is_empty() => format!("{text} {others}"),
            Some(others) => format!("{text} and {others}"),
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unseen(plural: &'static str, need: Need, namespace: &str) -> Unseen {
        Unseen {
            subject: Subject::of(plural, need),
            namespace: namespace.to_owned(),
            elsewhere: false,
            forbidden: true,
        }
    }

    #[test]
    fn one_line_names_what_a_manifest_needed_and_nothing_else() {
        let mut all = vec![
            unseen("secrets", Need::Secrets, "team-a"),
            unseen("secrets", Need::Secrets, "team-b"),
            unseen("configmaps", Need::ConfigMaps, "team-a"),
            unseen("mcpservers", Need::Servers, ""),
        ];
        all[3].elsewhere = true;
        let server = serde_json::json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
            "metadata": {"name": "weather", "namespace": "team-a"},
            "spec": {"image": "ghcr.io/acme/weather:1.0.0", "ingressHost": "mcp.example.com",
                     "env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}
        });
        let findings: Vec<_> = rules::check(Some(&server), None, &rules::Facts::default())
            .into_iter()
            .collect();
        assert_eq!(
            sentences(&all, &[Kind::Server], findings.iter()),
            [
                "not looked at, because you may not read it (forbidden): mcpservers of other namespaces, secrets of namespaces 'team-a' and 'team-b'"
            ]
        );
        assert!(sentences(&all, &[Kind::Server], [].iter()).is_empty());
        let policies = Unseen {
            subject: Subject::of_kind(Kind::Policy),
            ..unseen("", Need::Policies, "")
        };
        assert_eq!(
            sentences(&[policies], &[Kind::Policy], [].iter()).len(),
            1,
            "whether it is there already is not known"
        );
    }
}
