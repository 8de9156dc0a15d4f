//! How a binary was called: by which name, for which verb, with which arguments.
//!
//! kubectl runs `kubectl-mcp-grant` for `kubectl mcp grant`; the dispatcher runs it as `kubectl-mcp-session` for
//! `kubectl mcp session`; a person may type `kubectl-mcp-grant session`. All of them end here. No dependency, because
//! the dispatcher uses it too.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::verbs;

/// The version of the dispatcher, which a sibling compares with its own.
pub const VERSION_VARIABLE: &str = "KUBECTL_MCP_VERSION";
/// Hidden first argument with the verb, where `argv[0]` cannot be chosen (Windows).
pub const VERB_FLAG: &str = "--mcp-verb";

/// Flags of every verb that take a value. They may stand before the verb.
const WITH_VALUE: &[&str] = &[
    "--kubeconfig",
    "--context",
    "--cluster",
    "--user",
    "--namespace",
    "-n",
    "--as",
    "--as-group",
    "--request-timeout",
    "--color",
];
/// Flags of every verb that take none.
const WITHOUT_VALUE: &[&str] = &["--all-namespaces", "-A", "--insecure-skip-tls-verify"];

/// A command line taken apart at its verb.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Global flags in front of the verb.
    pub before: Vec<OsString>,
    /// The first word that is no flag.
    pub verb: Option<OsString>,
    /// What follows the verb.
    pub after: Vec<OsString>,
    /// A flag in front of the verb that is not one of every verb's, such as `--help`.
    pub other: Option<OsString>,
}

/// Takes `args` (without `argv[0]`) apart at the verb. Stops at a flag that it does not know.
pub fn split(args: impl IntoIterator<Item = OsString>) -> Split {
    let mut split = Split::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if !text.starts_with('-') || text == "-" {
            split.verb = Some(arg);
            break;
        }
        let takes_next = WITH_VALUE.contains(&&*text);
        if !takes_next && !WITHOUT_VALUE.contains(&&*text) && !is_joined(&text) {
            split.other = Some(arg);
            break;
        }
        split.before.push(arg);
        if takes_next {
            split.before.extend(args.next());
        }
    }
    split.after = args.collect();
    split
}

/// Whether this is a flag with its value in the same word: `--namespace=x`, `-nx`.
fn is_joined(text: &str) -> bool {
    match text.split_once('=') {
        Some((flag, _)) if flag.starts_with("--") => {
            WITH_VALUE.contains(&flag) || WITHOUT_VALUE.contains(&flag)
        }
        _ => text.starts_with("-n") && !text.starts_with("--"),
    }
}

/// How a binary was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// What to call it in help and hints: `kubectl mcp grant`.
    pub display: String,
    /// The verb; one that the binary serves, or the binary's own last word when nothing else was said.
    pub verb: String,
    /// The arguments after the verb, with global flags that stood before it.
    pub args: Vec<OsString>,
}

/// Two binaries of different builds were mixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSkew {
    /// The binary that was started.
    pub binary: &'static str,
    /// The version of the dispatcher that started it.
    pub dispatcher: String,
}

impl std::fmt::Display for VersionSkew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} is version {}, kubectl-mcp is version {}",
            self.binary,
            crate::VERSION,
            self.dispatcher
        )
    }
}

impl Called {
    /// How this process was called. `binary` is the name under which it is built.
    pub fn from_env(binary: &'static str) -> Result<Self, VersionSkew> {
        if let Some(dispatcher) = std::env::var_os(VERSION_VARIABLE)
            && dispatcher != crate::VERSION
        {
            return Err(VersionSkew {
                binary,
                dispatcher: dispatcher.to_string_lossy().into_owned(),
            });
        }
        let mut argv = std::env::args_os();
        let name = argv.next().unwrap_or_else(|| binary.into());
        Ok(Self::from_argv(binary, &name, argv.collect()))
    }

    /// The same from an `argv`.
    pub fn from_argv(binary: &str, argv0: &OsStr, args: Vec<OsString>) -> Self {
        let name = Path::new(argv0)
            .file_stem()
            .unwrap_or(argv0)
            .to_string_lossy()
            .into_owned();
        let own = last_word(binary).to_owned();
        let (named, prefix) = match (
            name.strip_prefix("kubectl-mcp-"),
            name.strip_prefix("kubectl-mcp_"),
        ) {
            (Some(word), _) => (word.to_owned(), "kubectl mcp ".to_owned()),
            (None, Some(word)) => (word.to_owned(), "kubectl mcp-".to_owned()),
            (None, None) => (own.clone(), "kubectl mcp ".to_owned()),
        };
        let serves = |word: &str| verbs::of_binary(binary).any(|verb| verb.name == word);
        let mut args = args;
        if args.first().is_some_and(|arg| arg == VERB_FLAG) && args.len() >= 2 {
            let verb = args.remove(1).to_string_lossy().into_owned();
            args.remove(0);
            return Self {
                display: format!("{prefix}{verb}"),
                verb,
                args,
            };
        }
        if named == own {
            let split = split(args.iter().cloned());
            if let Some(word) = split.verb.as_ref().map(|w| w.to_string_lossy())
                && serves(&word)
            {
                let verb = word.into_owned();
                return Self {
                    display: format!("kubectl mcp {verb}"),
                    verb,
                    args: [split.before, split.after].concat(),
                };
            }
        }
        let verb = if serves(&named) { named } else { own };
        Self {
            display: format!("{prefix}{verb}"),
            verb,
            args,
        }
    }
}

/// `grant` of `kubectl-mcp-grant`.
fn last_word(binary: &str) -> &str {
    binary.rsplit('-').next().unwrap_or(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    fn called(argv0: &str, args: &str) -> Called {
        Called::from_argv("kubectl-mcp-grant", OsStr::new(argv0), words(args))
    }

    #[test]
    fn global_flags_before_the_verb_are_taken_over() {
        let split = split(words("-n x --context=y -A --as bob session list -o json"));
        assert_eq!(split.before, words("-n x --context=y -A --as bob"));
        assert_eq!(split.verb, Some("session".into()));
        assert_eq!(split.after, words("list -o json"));
    }

    #[test]
    fn a_flag_that_is_not_of_every_verb_stops_the_search() {
        let split = split(words("-nx --help grant"));
        assert_eq!((split.verb, split.other), (None, Some("--help".into())));
    }

    #[test]
    fn a_binary_is_known_by_the_name_it_was_called_by() {
        for (argv0, args, display, verb, rest) in [
            (
                "/usr/bin/kubectl-mcp-grant",
                "list -o json",
                "kubectl mcp grant",
                "grant",
                "list -o json",
            ),
            (
                "kubectl-mcp-session",
                "list",
                "kubectl mcp session",
                "session",
                "list",
            ),
            (
                "kubectl-mcp_session",
                "list",
                "kubectl mcp-session",
                "session",
                "list",
            ),
            (
                "kubectl-mcp-session.exe",
                "grant",
                "kubectl mcp session",
                "session",
                "grant",
            ),
            (
                "kubectl-mcp-grant",
                "session list",
                "kubectl mcp session",
                "session",
                "list",
            ),
            (
                "kubectl-mcp-grant",
                "-n x session list",
                "kubectl mcp session",
                "session",
                "-n x list",
            ),
            (
                "kubectl-mcp-grant",
                "grant list",
                "kubectl mcp grant",
                "grant",
                "list",
            ),
            ("renamed", "list", "kubectl mcp grant", "grant", "list"),
            (
                "kubectl-mcp-grant",
                "--mcp-verb session list",
                "kubectl mcp session",
                "session",
                "list",
            ),
        ] {
            let got = called(argv0, args);
            assert_eq!(
                (got.display.as_str(), got.verb.as_str()),
                (display, verb),
                "{argv0} {args}"
            );
            assert_eq!(got.args, words(rest), "{argv0} {args}");
        }
    }
}
