//! Names: DNS labels, header names, tool names, globs.

use api::names::DERIVED_SUFFIXES;

/// The longest label.
pub const MAX_LABEL: usize = 63;

/// The longest name of a server from which every derived name is still a label.
pub(crate) fn longest_name() -> usize {
    let suffixes = DERIVED_SUFFIXES.iter().map(|suffix| suffix.len());
    MAX_LABEL - suffixes.max().unwrap_or_default() - 1
}

/// Whether a text is a DNS-1035 label: lower-case letters, digits and '-', beginning with a letter.
pub fn is_dns_1035(text: &str) -> bool {
    text.len() <= MAX_LABEL
        && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.ends_with('-')
}

/// Whether a text is a DNS-1123 label: lower-case letters, digits and '-', with no '-' at an end.
pub fn is_dns_1123(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a text is a DNS-1123 subdomain: such labels with dots between them, 253 characters at most.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_1123)
}

/// Whether a text is an HTTP token (RFC 9110, 5.6.2), so that it can be a header's name.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Headers that belong to one connection (RFC 9110, 7.6.1), and those that say how to read a message.
const OWN_HEADERS: [&str; 15] = [
    "accept",
    "accept-encoding",
    "connection",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header is one of HTTP or MCP itself, which nobody may set for the gateway's own requests.
pub fn is_own_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    OWN_HEADERS.contains(&lower.as_str())
        || lower.starts_with("content-")
        || lower.starts_with("mcp-")
}

/// Whether a text can be a tool's name: 1 to 128 of letters, digits, '_', '-', '.' and '/'.
pub fn is_tool_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
}

/// Whether a pattern in which `*` stands for any characters covers a text.
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("echo", "echo", true),
            ("echo", "echoes", false),
            ("*", "", true),
            ("get_*", "get_x", true),
            ("get_*", "forget_x", false),
            ("*_file", "read_file", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
