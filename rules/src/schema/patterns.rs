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
        "^[A-Za-z0-9_./-]+$" => (
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_./-".contains(&b)),
            "must be letters, digits, '_', '-', '.' and '/'",
        ),
        "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" => (
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&b)),
            "must be the name of a header: letters, digits and '-'",
        ),
        api::tool::PATH_PATTERN => (
            text.starts_with('/') && text.bytes().all(is_path_byte),
            "must begin with '/', and have neither spaces nor '%', '?' and '#'",
        ),
        api::prompt::VARIABLE_PATTERN => (
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            "must be letters, digits and '_'",
        ),
        api::resource::PARAMETER_PATTERN => (
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)),
            "must be letters, digits, '_', '-' and '.'",
        ),
        api::resource::URI_PATTERN => (
            text.split_once(':').is_some_and(|(scheme, rest)| {
                is_scheme(scheme) && !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic())
            }),
            "must be a URI: a scheme, ':' and something behind it, without spaces",
        ),
        api::resource::MIME_PATTERN => (is_mime(text), "must be a MIME type such as text/plain"),
        api::resource::BASE64_PATTERN => (
            text.trim_end_matches('=')
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
                && text.bytes().filter(|b| *b == b'=').count() <= 2,
            "must be base64 without spaces and line breaks",
        ),
        "^https?://" => (
            text.starts_with("https://") || text.starts_with("http://"),
            "must begin with https:// or http://",
        ),
        "^[0-9a-f]{40}([0-9a-f]{24})?$" => (
            matches!(text.len(), 40 | 64)
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            "must be a whole commit: 40 or 64 lower-case hexadecimal digits",
        ),
        "^MCP[0-9]{4}$" => (
            text.strip_prefix("MCP")
                .is_some_and(|d| d.len() == 4 && d.bytes().all(|b| b.is_ascii_digit())),
            "must be a rule's code such as MCP0102",
        ),
        _ => return None,
    })
}

/// A character of a path of ours.
fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"._~!$&'()*+,;=:@{}/-".contains(&b)
}

fn is_scheme(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
}

/// A type and a subtype; what follows `;` is free.
fn is_mime(text: &str) -> bool {
    let (essence, parameters) = match text.find(';') {
        Some(at) => (text[..at].trim_end_matches([' ', '\t']), &text[at..]),
        None => (text, ""),
    };
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    // A dot of the expression is anything but a line break.
    !parameters.contains('\n')
        && essence
            .split_once('/')
            .is_some_and(|(one, two)| word(one) && word(two))
}
