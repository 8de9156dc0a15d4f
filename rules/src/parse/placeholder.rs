//! Placeholders: `{{variable}}` in the text of a prompt, `{parameter}` in a path.

/// The longest piece of a text that a fault shows, in characters.
const SHOWN: usize = 60;

/// What is wrong with a placeholder, with the piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A brace that has no counterpart.
    Open(String),
    /// Something else than a name between the braces.
    Name(String),
}

/// The variables that the text of a prompt uses, in their order. Spaces around a name mean nothing; a `}}` that nothing
/// opened is text.
pub fn of_template(text: &str) -> Vec<Result<&str, Fault>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let from = &rest[start..];
        let inner = &from[2..];
        let end = inner.find("}}");
        let next = inner.find("{{");
        let Some(end) = end.filter(|end| next.is_none_or(|next| *end <= next)) else {
            found.push(Err(Fault::Open(shown(from))));
            let Some(next) = next else { break };
            rest = &inner[next..];
            continue;
        };
        let name = inner[..end].trim();
        if is_variable(name) {
            found.push(Ok(name));
        } else {
            found.push(Err(Fault::Name(shown(&from[..end + 4]))));
        }
        rest = &inner[end + 2..];
    }
    found
}

/// The parameters of a path, in their order.
pub fn of_path(path: &str) -> Vec<Result<&str, Fault>> {
    let mut found = Vec::new();
    let mut rest = path;
    while let Some(start) = rest.find(['{', '}']) {
        let from = &rest[start..];
        let inner = &from[1..];
        let end = inner.find(['{', '}', '/']);
        let Some(end) =
            end.filter(|end| from.starts_with('{') && inner.as_bytes().get(*end) == Some(&b'}'))
        else {
            found.push(Err(Fault::Open(shown(from))));
            rest = inner;
            continue;
        };
        let name = &inner[..end];
        if is_parameter(name) {
            found.push(Ok(name));
        } else {
            found.push(Err(Fault::Name(shown(&from[..end + 2]))));
        }
        rest = &inner[end + 1..];
    }
    found
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_parameter(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn shown(text: &str) -> String {
    crate::finding::cut(text.lines().next().unwrap_or_default(), SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Vec<String> {
        of_template(text)
            .into_iter()
            .map(|found| found.map_or_else(|fault| format!("{fault:?}"), str::to_owned))
            .collect()
    }

    fn path(text: &str) -> Vec<String> {
        of_path(text)
            .into_iter()
            .map(|found| found.map_or_else(|fault| format!("{fault:?}"), str::to_owned))
            .collect()
    }

    #[test]
    fn variables_of_a_text_are_found_with_spaces_and_among_braces() {
        for (text, expected) in [
            ("", &[] as &[&str]),
            ("{{a}} and {{ b_1 }}{{c}}", &["a", "b_1", "c"]),
            (r#"{"x": {"y": 1}}"#, &[]),
            (r#"{"x": {{a}}}"#, &["a"]),
            ("{{a b}}", &["Name(\"{{a b}}\")"]),
            ("{{}}", &["Name(\"{{}}\")"]),
            ("{{#if x}}", &["Name(\"{{#if x}}\")"]),
            ("{{a", &["Open(\"{{a\")"]),
            ("{{a {{b}}", &["Open(\"{{a {{b}}\")", "b"]),
            ("{{{a}}}", &["Name(\"{{{a}}\")"]),
            ("{{\u{e4}}}", &["Name(\"{{\u{e4}}}\")"]),
        ] {
            assert_eq!(template(text), expected, "{text}");
        }
    }

    #[test]
    fn parameters_of_a_path_are_found_within_a_segment() {
        for (text, expected) in [
            ("/", &[] as &[&str]),
            ("/a/{b}/c-{d.e}.md", &["b", "d.e"]),
            ("/{a}{b}", &["a", "b"]),
            ("/{}", &["Name(\"{}\")"]),
            ("/{a b}", &["Name(\"{a b}\")"]),
            ("/{a/b}", &["Open(\"{a/b}\")", "Open(\"}\")"]),
            ("/a}", &["Open(\"}\")"]),
            ("/{{a}}", &["Open(\"{{a}}\")", "a", "Open(\"}\")"]),
        ] {
            assert_eq!(path(text), expected, "{text}");
        }
    }
}
