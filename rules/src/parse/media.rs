//! MIME types (RFC 9110, 8.3.1) and base64 (RFC 4648, 4).

use super::name::is_token;

/// Why a text is no MIME type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not one type, '/' and one subtype.
    Essence,
    /// A parameter that is not `name=value`.
    Parameter,
}

impl Error {
    /// What a MIME type must be instead.
    pub fn requirement(self) -> &'static str {
        match self {
            Self::Essence => {
                "must be a MIME type: a type, '/' and a subtype, such as text/markdown"
            }
            Self::Parameter => {
                "must have parameters of the form '; name=value', such as text/plain; charset=utf-8"
            }
        }
    }
}

/// Checks a MIME type.
pub fn check(text: &str) -> Result<(), Error> {
    let (essence, mut rest) = match text.find(';') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let word = match rest {
        "" => essence,
        _ => essence.trim_end_matches([' ', '\t']),
    };
    let (kind, subtype) = word.split_once('/').ok_or(Error::Essence)?;
    // `*` is a token too, but a range of types and no type.
    if !is_token(kind) || !is_token(subtype) || essence.contains('*') {
        return Err(Error::Essence);
    }
    while let Some(parameter) = rest.strip_prefix(';') {
        rest = parameter_end(parameter.trim_start_matches([' ', '\t']))
            .ok_or(Error::Parameter)?
            .trim_start_matches([' ', '\t']);
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Error::Parameter)
    }
}

/// What follows a parameter.
fn parameter_end(text: &str) -> Option<&str> {
    let (name, value) = text.split_once('=')?;
    if !is_token(name) {
        return None;
    }
    if let Some(mut quoted) = value.strip_prefix('"') {
        loop {
            let at = quoted.find(['"', '\\'])?;
            let clean = quoted[..at]
                .bytes()
                .all(|b| b == b'\t' || (b' '..=b'~').contains(&b));
            if !clean {
                return None;
            }
            if quoted.as_bytes()[at] == b'"' {
                return Some(&quoted[at + 1..]);
            }
            let escaped = quoted[at + 1..].chars().next()?;
            quoted = &quoted[at + 1 + escaped.len_utf8()..];
        }
    }
    let end = value.find([';', ' ', '\t']).unwrap_or(value.len());
    is_token(&value[..end]).then(|| &value[end..])
}

/// The MIME type of what people write instead of one.
pub fn meant(text: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 14] = [
        ("text", "text/plain"),
        ("txt", "text/plain"),
        ("plain", "text/plain"),
        ("markdown", "text/markdown"),
        ("md", "text/markdown"),
        ("html", "text/html"),
        ("csv", "text/csv"),
        ("json", "application/json"),
        ("yaml", "application/yaml"),
        ("xml", "application/xml"),
        ("pdf", "application/pdf"),
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
    ];
    let word = text.trim().trim_start_matches('.').to_ascii_lowercase();
    KNOWN
        .into_iter()
        .find(|(known, _)| *known == word)
        .map(|(_, mime)| mime)
}

/// Why a text is no base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base64Error {
    /// A space or a line break, with its place.
    Space(usize),
    /// `-` or `_`, with its place.
    UrlSafe(usize),
    /// Another character that does not belong, with its place.
    Character(usize),
    /// `=` elsewhere than at the end, or a length that is no multiple of four.
    Padding,
    /// The last character says bits that belong to no byte.
    Trailing,
}

impl Base64Error {
    /// What base64 must be instead.
    pub fn requirement(self) -> String {
        match self {
            Self::Space(at) => {
                format!("must be base64 in one line, and has a space or line break at {at}")
            }
            Self::UrlSafe(at) => {
                format!(
                    "must be base64 with '+' and '/', not '-' and '_' as in URLs, and has one at {at}"
                )
            }
            Self::Character(at) => {
                format!(
                    "must be base64 (A-Z, a-z, 0-9, '+' and '/'), and has something else at {at}"
                )
            }
            Self::Padding => {
                "must be base64 with '=' only at its end, up to a multiple of four characters"
                    .to_owned()
            }
            Self::Trailing => {
                "must be base64, and its last character says more than a byte".to_owned()
            }
        }
    }
}

/// Checks base64: the standard alphabet, with padding, in one line. Places count from zero.
pub fn check_base64(text: &str) -> Result<(), Base64Error> {
    if let Some(at) = text.find([' ', '\t', '\r', '\n']) {
        return Err(Base64Error::Space(at));
    }
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    for (at, b) in digits.bytes().enumerate() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => {}
            b'-' | b'_' => return Err(Base64Error::UrlSafe(at)),
            b'=' => return Err(Base64Error::Padding),
            _ => return Err(Base64Error::Character(at)),
        }
    }
    if !text.len().is_multiple_of(4) || padding > 2 {
        return Err(Base64Error::Padding);
    }
    let unused = match padding {
        1 => 0b11,
        2 => 0b1111,
        _ => 0,
    };
    let last = digits.bytes().last().map_or(0, value);
    if last & unused == 0 {
        Ok(())
    } else {
        Err(Base64Error::Trailing)
    }
}

fn value(b: u8) -> u8 {
    match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        _ => 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mime_type_may_have_parameters() {
        for good in [
            "text/plain",
            "application/vnd.Foo+json",
            "text/plain; charset=utf-8",
            "text/plain;charset=\"utf-8\" ; a=b",
            "multipart/mixed; boundary=\"a\\\"b\"",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "text",
            "text/",
            "/plain",
            "a/b/c",
            "text plain",
            "text/*",
            "a/b ",
        ] {
            assert_eq!(check(bad), Err(Error::Essence), "{bad}");
        }
        for bad in [
            "text/plain;",
            "text/plain; charset",
            "text/plain; =a",
            "text/plain; a=\"b",
            "text/plain; a=b c",
            "text/plain; a=\"b\r\nc\"",
        ] {
            assert_eq!(check(bad), Err(Error::Parameter), "{bad}");
        }
    }

    #[test]
    fn base64_is_the_standard_one_with_padding_in_one_line() {
        for good in ["", "aGk=", "aGVsbG8=", "AAAA", "/+8="] {
            assert_eq!(check_base64(good), Ok(()), "{good}");
        }
        for (bad, error) in [
            ("aGk", Base64Error::Padding),
            ("aG=k", Base64Error::Padding),
            ("a===", Base64Error::Padding),
            ("aGk=\n", Base64Error::Space(4)),
            ("aG k", Base64Error::Space(2)),
            ("_-8=", Base64Error::UrlSafe(0)),
            ("a\u{e4}k", Base64Error::Character(1)),
            ("aGl=", Base64Error::Trailing),
        ] {
            assert_eq!(check_base64(bad), Err(error), "{bad:?}");
        }
    }
}
