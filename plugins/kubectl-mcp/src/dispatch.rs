//! What a command line of `kubectl mcp` asks for, and the texts the dispatcher itself can say. Pure but for the look at
//! which siblings are there.

use std::ffi::OsString;
use std::fmt::Write as _;

use common::called::{self, Split};
use common::verbs::{self, VERBS, Verb};

use crate::siblings::Siblings;

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A verb of a sibling.
    Run {
        /// The verb.
        verb: &'static Verb,
        /// Its arguments, global flags first.
        args: Vec<OsString>,
    },
    /// The list of verbs.
    Help,
    /// The versions.
    Version,
    /// How to install completion.
    Completion,
    /// Completion of these words, in kubectl's protocol.
    Complete {
        /// The words; the last is the one being typed, and may be empty.
        words: Vec<OsString>,
    },
    /// Nothing that makes sense.
    Wrong {
        /// What was given.
        message: String,
        /// What to type.
        hint: String,
    },
}

/// Reads a command line, without `argv[0]`.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Request {
    let Split {
        before,
        verb,
        after,
        other,
    } = called::split(args);
    if let Some(flag) = other {
        return match &*flag.to_string_lossy() {
            "-h" | "--help" => Request::Help,
            "--version" => Request::Version,
            flag => Request::Wrong {
                message: format!("'{flag}' is no flag of every verb"),
                hint: format!("put it after the verb: kubectl mcp VERB {flag}"),
            },
        };
    }
    let Some(word) = verb else {
        return Request::Help;
    };
    let word = word.to_string_lossy();
    if let Some(verb) = verbs::find(&word) {
        return Request::Run {
            verb,
            args: [before, after].concat(),
        };
    }
    match &*word {
        "help" => help_for(&after),
        "version" => Request::Version,
        "completion" => Request::Completion,
        "__complete" => Request::Complete { words: after },
        word => Request::Wrong {
            message: format!("'{}' is no verb of kubectl mcp", word.escape_debug()),
            hint: verbs::nearest(word).map_or_else(
                || "kubectl mcp --help".to_owned(),
                |verb| format!("kubectl mcp {}", verb.name),
            ),
        },
    }
}

/// `kubectl mcp help grant` is `kubectl mcp grant --help`.
fn help_for(words: &[OsString]) -> Request {
    match words
        .first()
        .and_then(|word| verbs::find(&word.to_string_lossy()))
    {
        Some(verb) => Request::Run {
            verb,
            args: [&words[1..], &["--help".into()]].concat(),
        },
        None => Request::Help,
    }
}

/// The list of verbs of the installed siblings.
pub(crate) fn help(siblings: &Siblings) -> String {
    let mut text = String::from(
        "Governed MCP servers on Kubernetes.\n\nUsage: kubectl mcp VERB [OPTIONS]\n\nVerbs:\n",
    );
    let mut missing = Vec::new();
    for verb in VERBS {
        if siblings.find(verb.binary).is_some() {
            let _ = writeln!(text, "  {:<12}{}", verb.name, verb.about);
        } else {
            missing.push(verb.name);
        }
    }
    for (name, about) in [
        ("version", "Show the versions of the installed binaries"),
        ("completion", "Say how to get completion"),
    ] {
        let _ = writeln!(text, "  {name:<12}{about}");
    }
    if !missing.is_empty() {
        let _ = writeln!(text, "\nNot installed: {}", missing.join(", "));
    }
    text.push_str("\nkubectl's own flags (-n, -A, --context, --kubeconfig, --as, ...) may stand before or after the verb.\n");
    text.push_str("kubectl mcp VERB --help says more.\n");
    text
}

/// The version, and where each sibling is.
pub(crate) fn version(siblings: &Siblings) -> String {
    let mut text = format!("kubectl-mcp {}\n", common::VERSION);
    let mut seen = Vec::new();
    for verb in VERBS.iter().filter(|verb| !verb.binary.is_empty()) {
        if seen.contains(&verb.binary) {
            continue;
        }
        seen.push(verb.binary);
        let place = siblings.find(verb.binary).map_or_else(
            || "not installed".to_owned(),
            |path| path.display().to_string(),
        );
        let _ = writeln!(text, "  {:<20}{place}", verb.binary);
    }
    text
}

/// kubectl asks an executable of this name; krew cannot install one.
pub(crate) const COMPLETION: &str = "\
# kubectl asks an executable named kubectl_complete-mcp on PATH. This makes one:
#   kubectl mcp completion > ~/.local/bin/kubectl_complete-mcp && chmod +x ~/.local/bin/kubectl_complete-mcp
#!/bin/sh
exec kubectl mcp __complete \"$@\"
";

/// kubectl's completion protocol: a line per choice, then the directive (4: no file names).
pub(crate) fn complete(siblings: &Siblings, words: &[OsString]) -> String {
    let mut text = String::new();
    if let [typed] = words {
        let typed = typed.to_string_lossy();
        for verb in VERBS
            .iter()
            .filter(|v| v.name.starts_with(&*typed) && siblings.find(v.binary).is_some())
        {
            let _ = writeln!(text, "{}\t{}", verb.name, verb.about);
        }
    }
    text.push_str(":4\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Request {
        read(line.split_whitespace().map(OsString::from))
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn global_flags_before_a_verb_go_to_the_verb() {
        let Request::Run { verb, args } = request("-n x --context=c session list -o json") else {
            panic!("not a verb");
        };
        assert_eq!(
            (verb.name, args),
            ("session", words("-n x --context=c list -o json"))
        );
    }

    #[test]
    fn help_of_a_verb_is_asked_of_the_verb() {
        let Request::Run { verb, args } = request("help grant create") else {
            panic!("not a verb")
        };
        assert_eq!((verb.name, args), ("grant", words("create --help")));
    }

    #[test]
    fn nothing_and_help_list_the_verbs() {
        for line in ["", "-h", "--help", "help", "-n x", "-n x --help"] {
            assert_eq!(request(line), Request::Help, "{line}");
        }
    }

    #[test]
    fn a_verb_that_is_mistyped_is_guessed() {
        let Request::Wrong { message, hint } = request("sesion list") else {
            panic!("taken")
        };
        assert_eq!(message, "'sesion' is no verb of kubectl mcp");
        assert_eq!(hint, "kubectl mcp session");
    }

    #[test]
    fn a_flag_of_one_verb_is_sent_behind_it() {
        let Request::Wrong { hint, .. } = request("--tool echo grant") else {
            panic!("taken")
        };
        assert_eq!(hint, "put it after the verb: kubectl mcp VERB --tool");
    }
}
