//! URIs of resources (RFC 3986): only read as far as two readers must agree on where one ends and what it is made of.
//! Nothing is ever fetched from one.

use std::fmt::Write as _;

/// Why a text is no URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No scheme in front.
    NoScheme,
    /// Nothing behind the scheme.
    Empty,
    /// Not ASCII.
    NotAscii,
    /// Braces, as templates have.
    Template,
    /// Spaces, control characters, quotes and the like.
    Characters,
    /// `%` without two hexadecimal digits.
    Encoding,
}

impl Error {
    /// What a URI must be instead.
    pub fn requirement(self) -> &'static str {
        match self {
            Self::NoScheme => "must begin with a scheme and ':', such as doc://handbook/intro",
            Self::Empty => "must have something behind its scheme",
            Self::NotAscii => "must be ASCII: write other characters as %XX",
            Self::Template => {
                "must not have '{' and '}': a resource with parameters has operations, not content"
            }
            Self::Characters => {
                "must not have spaces, line breaks, '\"', '\\', '<', '>', '|', '^' and '`'"
            }
            Self::Encoding => "must have '%' only before two hexadecimal digits",
        }
    }
}

/// Checks a URI.
pub fn check(text: &str) -> Result<(), Error> {
    let (scheme, rest) = text.split_once(':').ok_or(Error::NoScheme)?;
    let starts = scheme
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic());
    if !starts
        || !scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
    {
        return Err(Error::NoScheme);
    }
    if rest.is_empty() || rest == "//" {
        return Err(Error::Empty);
    }
    if !rest.is_ascii() {
        return Err(Error::NotAscii);
    }
    if rest.contains(['{', '}']) {
        return Err(Error::Template);
    }
    if !rest
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\"\\<>|^`".contains(&b))
    {
        return Err(Error::Characters);
    }
    for (at, _) in rest.match_indices('%') {
        let digits = rest.as_bytes().get(at + 1..at + 3).unwrap_or_default();
        if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Error::Encoding);
        }
    }
    Ok(())
}

/// The URI with what it must not have written as `%XX`, if that makes it one.
pub fn meant(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for b in text.trim().bytes() {
        if b.is_ascii_graphic() && !b"\"\\<>|^`".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    (out != text && check(&out).is_ok()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_has_a_scheme_and_nothing_that_readers_differ_about() {
        for good in [
            "doc://handbook/intro",
            "config:a",
            "urn:isbn:0451450523",
            "file:///etc/motd",
            "https://a.example/x?y=1#z",
            "x-y+z.1:%20",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, error) in [
            ("", Error::NoScheme),
            ("handbook", Error::NoScheme),
            ("1a:b", Error::NoScheme),
            ("a b:c", Error::NoScheme),
            ("doc:", Error::Empty),
            ("doc://", Error::Empty),
            ("doc://\u{e4}", Error::NotAscii),
            ("doc://a/{b}", Error::Template),
            ("doc://a b", Error::Characters),
            ("doc://a\r\nb", Error::Characters),
            ("doc://a%2", Error::Encoding),
            ("doc://a%zz", Error::Encoding),
        ] {
            assert_eq!(check(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn what_must_not_stand_there_is_encoded() {
        assert_eq!(meant("doc://a b").as_deref(), Some("doc://a%20b"));
        assert_eq!(meant("doc://\u{e4}").as_deref(), Some("doc://%C3%A4"));
        assert_eq!(meant("handbook"), None);
        assert_eq!(meant("doc://a"), None);
    }
}
