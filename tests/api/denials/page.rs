//! The part of a rule's page that holds what `kubectl` prints.

use crate::door::codes;

const HEADING: &str = "## What kubectl prints\n\n";
const OPEN: &str = "<!-- printed by kubectl for ";
const OPEN_END: &str = "; `cargo xtask test --layer api --write` writes this -->\n";
const CLOSE: &str = "<!-- end of what is printed -->\n";
const BEFORE: &str = "## Good\n";

/// What was printed for one fixture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Printed {
    /// The file of the fixture.
    pub(super) fixture: String,
    /// The command.
    pub(super) command: String,
    /// What it printed.
    pub(super) text: String,
    /// Whether it failed.
    pub(super) refused: bool,
}

impl Printed {
    /// A cluster cannot even hold what the fixture takes for granted.
    pub(super) fn impossible(fixture: &str, refusal: &str) -> Self {
        Self {
            fixture: fixture.to_owned(),
            command: "kubectl apply -f facts.yaml".to_owned(),
            text: refusal.to_owned(),
            refused: true,
        }
    }

    /// Whether the rule is named.
    pub(super) fn names(&self, rule: &str) -> bool {
        codes(&self.text).iter().any(|code| code == rule)
    }

    /// Whether the rule refuses.
    pub(super) fn refuses(&self, rule: &str) -> bool {
        let refusal = self
            .text
            .lines()
            .filter(|line| !line.starts_with("Warning: "));
        self.refused && refusal.flat_map(codes).any(|code| code == rule)
    }

    fn sentence(&self, rule: &str) -> &'static str {
        if self.names(rule) {
            ""
        } else if self.refused && codes(&self.text).is_empty() {
            "The API server says no before this rule is asked; `kubectl mcp lint` says it by this rule.\n\n"
        } else {
            "The webhook may not look at what this rule needs, so that it is silent here; `kubectl mcp lint --server` and the\n\
             operator, who may, say it.\n\n"
        }
    }
}

/// What a page holds.
pub(super) fn read(page: &str) -> Option<Printed> {
    let (_, rest) = page.split_once(OPEN)?;
    let (fixture, rest) = rest.split_once(OPEN_END)?;
    let (section, _) = rest.split_once(CLOSE)?;
    let (_, block) = section.split_once("```console\n$ ")?;
    let (command, text) = block.rsplit_once("```\n")?.0.split_once('\n')?;
    Some(Printed {
        fixture: fixture.to_owned(),
        command: command.to_owned(),
        text: text.to_owned(),
        refused: !text
            .lines()
            .any(|line| ACCEPTED.iter().any(|word| line.ends_with(word))),
    })
}

/// How the lines end that `kubectl` prints when something was done.
const ACCEPTED: [&str; 5] = [
    " created",
    " configured",
    " unchanged",
    " deleted",
    " deleted from team-a namespace",
];

/// The page with what was printed in it.
pub(super) fn with(page: &str, rule: &str, printed: &Printed) -> String {
    let section = format!(
        "{OPEN}{}{OPEN_END}{}```console\n$ {}\n{}```\n{CLOSE}",
        printed.fixture,
        printed.sentence(rule),
        printed.command,
        printed.text
    );
    if let Some((before, rest)) = page.split_once(OPEN) {
        let after = rest.split_once(CLOSE).map_or("", |(_, after)| after);
        return format!("{before}{section}{after}");
    }
    match page.split_once(BEFORE) {
        Some((before, after)) => format!("{before}{HEADING}{section}\n{BEFORE}{after}"),
        None => format!("{page}\n{HEADING}{section}"),
    }
}
