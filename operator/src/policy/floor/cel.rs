//! Constants as CEL text. What stands in a policy is somebody's text: it never becomes code.

use std::fmt::Write as _;

/// A string literal. Everything but plain ASCII becomes a code point, so no text can end the literal.
pub(super) fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('\'');
    for c in value.chars() {
        match c {
            '\'' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            _ => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push('\'');
    out
}

/// A list of string literals.
pub(super) fn list<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<String> = values.into_iter().map(text).collect();
    format!("[{}]", items.join(", "))
}

/// Whether an expression reads the variable.
pub(super) fn reads(expression: &str, variable: &str) -> bool {
    let name = format!("variables.{variable}");
    expression.match_indices(&name).any(|(at, _)| {
        !expression[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_literal() {
        for (given, expected) in [
            ("ghcr.io/acme", "'ghcr.io/acme'"),
            ("a'||true||'", r"'a\'||true||\''"),
            ("a\\", r"'a\\'"),
            ("a\nb\u{e9}", "'a\\U0000000ab\\U000000e9'"),
        ] {
            assert_eq!(text(given), expected);
        }
        assert_eq!(list(["a", "b"]), "['a', 'b']");
        assert_eq!(list([]), "[]");
    }

    #[test]
    fn a_variable_is_known_by_its_whole_name() {
        assert!(reads("!variables.images.exists(i, true)", "images"));
        assert!(!reads("variables.imagesBefore == []", "images"));
        assert!(reads(
            "variables.imagesBefore == variables.images",
            "images"
        ));
    }
}
