//! The few regular expressions of our schemas, each with a reader of its own: no expression from anywhere else
//! ever comes here, and a test finds a new one.

use api::duration;

/// What a text must be that a pattern of the schema does not cover.
pub(super) fn violated(pattern: &str, text: &str) -> Option<&'static str> {
    let (fits, requirement) = read(pattern, text)?;
    (!fits).then_some(requirement)
}

pub(super) fn read(pattern: &str, text: &str) -> Option<(bool, &'static str)> {
    Some(match pattern {
        duration::PATTERN => (
            !matches!(duration::parse(text), Err(duration::Error::Syntax)),
            "must be a duration such as 30s, 15m or 24h",
        ),
        "^(None|ClientIP)$" => (
            matches!(text, "None" | "ClientIP"),
            "must be None or ClientIP",
        ),
        "^[0-9a-f]{64}$" => (
            text.len() == 64
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            "must be 64 lower-case hexadecimal digits",
        ),
        "^MCP[0-9]{4}$" => (
            text.strip_prefix("MCP")
                .is_some_and(|d| d.len() == 4 && d.bytes().all(|b| b.is_ascii_digit())),
            "must be a rule's code such as MCP0102",
        ),
        _ => return None,
    })
}
