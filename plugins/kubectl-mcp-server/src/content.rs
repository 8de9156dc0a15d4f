//! The content of a tool's answer, as text for a terminal. Pure.

use serde_json::Value;

/// One piece of content per entry. What a server writes may hold control characters that move the cursor or change the
/// terminal; they are shown escaped.
pub(crate) fn lines(result: &Value) -> Vec<String> {
    let blocks = result
        .get("content")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut lines: Vec<_> = blocks.iter().map(block).collect();
    if lines.is_empty()
        && let Some(structured) = result.get("structuredContent")
    {
        lines.push(common::output::pretty_json(structured));
    }
    lines
}

fn block(block: &Value) -> String {
    let text = |pointer: &str| block.pointer(pointer).and_then(Value::as_str);
    match text("/type") {
        Some("text") => printable(text("/text").unwrap_or_default()),
        Some(kind @ ("image" | "audio")) => {
            let size = text("/data").map_or(0, |data| data.len() / 4 * 3);
            format!(
                "[{kind} {}, about {size} bytes; -o json has it]",
                printable(text("/mimeType").unwrap_or("?"))
            )
        }
        Some("resource") => match text("/resource/text") {
            Some(content) => printable(content),
            None => format!(
                "[resource {}]",
                printable(text("/resource/uri").unwrap_or("?"))
            ),
        },
        Some("resource_link") => format!("[link {}]", printable(text("/uri").unwrap_or("?"))),
        _ => block.to_string(),
    }
}

/// The text with all control characters but newline and tab escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\n' | '\t') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_printed_and_the_rest_is_named() {
        let result = json!({"content": [
            {"type": "text", "text": "hello\nworld"},
            {"type": "image", "data": "AAAAAAAA", "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "x://1", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "x://2", "blob": "AA=="}},
            {"type": "resource_link", "uri": "x://3"},
            {"type": "new"},
        ]});
        assert_eq!(
            lines(&result),
            [
                "hello\nworld",
                "[image image/png, about 6 bytes; -o json has it]",
                "inside",
                "[resource x://2]",
                "[link x://3]",
                "{\"type\":\"new\"}"
            ]
        );
    }

    #[test]
    fn structured_content_is_shown_when_there_is_nothing_else() {
        assert_eq!(
            lines(&json!({"content": [], "structuredContent": {"a": 1}})),
            ["{\n    \"a\": 1\n}"]
        );
    }

    #[test]
    fn a_server_cannot_drive_the_terminal() {
        assert_eq!(
            printable("\u{1b}[2Jx\r\u{9b}y\t\n"),
            "\\u{1b}[2Jx\\r\\u{9b}y\t\n"
        );
    }
}
