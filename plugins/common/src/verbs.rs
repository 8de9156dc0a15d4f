//! The one table of verbs: which binary serves which.
//!
//! Read by the dispatcher, and by each binary to know its own verbs. A verb stands here only when it works.

/// One verb of `kubectl mcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verb {
    /// As it is typed.
    pub name: &'static str,
    /// File name of the binary, without `.exe`.
    pub binary: &'static str,
    /// One line for the list of verbs.
    pub about: &'static str,
}

const SETUP: &str = "kubectl-mcp-setup";
const SERVER: &str = "kubectl-mcp-server";
const GRANT: &str = "kubectl-mcp-grant";
const POLICY: &str = "kubectl-mcp-policy";

/// Every verb, in the order in which `kubectl mcp` lists them.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "setup",
        binary: SETUP,
        about: "Install kubectl-mcp into a cluster, upgrade or remove it",
    },
    Verb {
        name: "check",
        binary: SETUP,
        about: "Find out what is wrong, and what to type next",
    },
    Verb {
        name: "status",
        binary: SETUP,
        about: "Show the platform and its servers on one screen",
    },
    Verb {
        name: "server",
        binary: SERVER,
        about: "Make, look at and call MCP servers",
    },
    Verb {
        name: "grant",
        binary: GRANT,
        about: "Say who may call what, and find out why not",
    },
    Verb {
        name: "session",
        binary: GRANT,
        about: "Make and revoke tokens for callers",
    },
    Verb {
        name: "lint",
        binary: POLICY,
        about: "Check manifests by the cluster's own rules, with or without a cluster",
    },
    Verb {
        name: "diff",
        binary: POLICY,
        about: "Show what admission would change in a manifest, or what the cluster would store",
    },
    Verb {
        name: "policy",
        binary: POLICY,
        about: "Show policies, try a change on what is there, explain a namespace",
    },
];

/// The verb of that name.
pub fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}

/// The verbs that a binary serves.
pub fn of_binary(binary: &str) -> impl Iterator<Item = &'static Verb> {
    VERBS.iter().filter(move |verb| verb.binary == binary)
}

/// The verb that somebody who typed `name` may have meant: at most two letters away.
pub fn nearest(name: &str) -> Option<&'static Verb> {
    VERBS
        .iter()
        .map(|verb| (distance(verb.name, name), verb))
        .filter(|(distance, verb)| *distance <= 2 && *distance < verb.name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, verb)| verb)
}

/// Levenshtein distance, by letters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_verb_is_served_twice() {
        for (i, verb) in VERBS.iter().enumerate() {
            assert!(
                VERBS[..i].iter().all(|other| other.name != verb.name),
                "{}",
                verb.name
            );
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        assert_eq!(nearest("sever").map(|v| v.name), Some("server"));
        assert_eq!(nearest("grnat").map(|v| v.name), Some("grant"));
        assert_eq!(nearest("frobnicate"), None);
    }
}
