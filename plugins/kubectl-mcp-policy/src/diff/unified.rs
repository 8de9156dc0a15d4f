//! Two documents as a unified diff, coloured where colours are seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use common::printer::styled;
use serde_json::Value;
use similar::{Algorithm, ChangeTag, TextDiff};

/// What stands for a value that is not shown.
const HIDDEN: &str = "***";
/// Lines around a change.
const AROUND: usize = 3;
const OUT: Style = AnsiColor::Red.on_default();
const IN: Style = AnsiColor::Green.on_default();
const PLACE: Style = AnsiColor::Cyan.on_default();
const NAME: Style = Style::new().bold();

/// An object before and after.
#[derive(Debug)]
pub(super) struct Change {
    /// What the first is called.
    pub(super) before_name: String,
    /// What the second is called.
    pub(super) after_name: String,
    /// Nothing where the object is new.
    pub(super) before: Option<Value>,
    pub(super) after: Value,
}

/// The difference of two texts; empty where there is none.
pub(super) fn render(change: &Change, before: &str, after: &str) -> String {
    let mut text = String::new();
    if before == after {
        return text;
    }
    // Writing to a text does not fail.
    let _ = writeln!(
        text,
        "{}",
        styled(NAME, format_args!("--- {}", change.before_name))
    );
    let _ = writeln!(
        text,
        "{}",
        styled(NAME, format_args!("+++ {}", change.after_name))
    );
    let diff = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .diff_lines(before, after);
    for hunk in diff.unified_diff().context_radius(AROUND).iter_hunks() {
        let _ = writeln!(text, "{}", styled(PLACE, hunk.header()));
        for line in hunk.iter_changes() {
            let content = line.value().trim_end_matches('\n');
            let _ = match line.tag() {
                ChangeTag::Delete => writeln!(text, "{}", styled(OUT, format_args!("-{content}"))),
                ChangeTag::Insert => writeln!(text, "{}", styled(IN, format_args!("+{content}"))),
                ChangeTag::Equal => writeln!(text, " {content}"),
            };
        }
    }
    text
}

/// Takes literal values of environment variables out, as kubectl does with Secrets: a diff ends up in logs of CI, and a
/// secret that stands in a manifest by mistake must not. That one changed is still seen.
pub(super) fn hide_secrets(before: Option<&mut Value>, after: &mut Value) {
    let mut earlier = BTreeMap::new();
    let Some(before) = before else {
        return values(after).for_each(|(_, value)| *value = HIDDEN.into());
    };
    for (name, value) in values(before) {
        earlier.insert(name, value);
    }
    for (name, value) in values(after) {
        match earlier.get_mut(&name) {
            Some(earlier) if **earlier != *value => {
                **earlier = format!("{HIDDEN} (before)").into();
                *value = format!("{HIDDEN} (after)").into();
            }
            _ => *value = HIDDEN.into(),
        }
    }
    for value in earlier.into_values() {
        if !value.as_str().is_some_and(|text| text.starts_with(HIDDEN)) {
            *value = HIDDEN.into();
        }
    }
}

/// The literal values of environment variables, by name.
fn values(object: &mut Value) -> impl Iterator<Item = (String, &mut Value)> {
    let variables = object
        .pointer_mut("/spec/env")
        .and_then(Value::as_array_mut);
    variables.into_iter().flatten().filter_map(|variable| {
        let name = variable
            .get("name")
            .map(Value::to_string)
            .unwrap_or_default();
        let value = variable.get_mut("value")?;
        (*value != "").then_some((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn env(variables: &[(&str, &str)]) -> Value {
        let list: Vec<_> = variables
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        json!({"spec": {"env": list}})
    }

    #[test]
    fn literal_values_are_hidden_and_their_change_is_seen() {
        let mut before = env(&[("A", "one"), ("B", "two"), ("C", "three"), ("E", "")]);
        let mut after = env(&[("A", "one"), ("B", "other"), ("D", "four"), ("E", "")]);
        hide_secrets(Some(&mut before), &mut after);
        let expected = env(&[("A", "***"), ("B", "*** (before)"), ("C", "***"), ("E", "")]);
        assert_eq!(before, expected);
        let expected = env(&[("A", "***"), ("B", "*** (after)"), ("D", "***"), ("E", "")]);
        assert_eq!(after, expected);
        let mut new = env(&[("A", "one")]);
        hide_secrets(None, &mut new);
        assert_eq!(new, env(&[("A", "***")]));
    }

    #[test]
    fn a_difference_is_a_unified_diff() {
        let change = Change {
            before_name: "a".to_owned(),
            after_name: "b".to_owned(),
            before: None,
            after: Value::Null,
        };
        let text = render(&change, "1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\n5\nsix\n");
        let plain = without_colours(&text);
        assert_eq!(
            plain,
            "--- a\n+++ b\n@@ -3,4 +3,4 @@\n 3\n 4\n 5\n-6\n+six\n"
        );
        assert_eq!(render(&change, "1\n", "1\n"), "");
    }

    /// The text without colours.
    fn without_colours(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            rest = after.split_once('m').map_or("", |(_, rest)| rest);
        }
        plain + rest
    }
}
