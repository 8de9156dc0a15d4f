//! Paths that requests are sent to (of a Service) or taken at (below a server's), with `{name}` for parameters.

/// Why a text is no such path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `http://...`
    Scheme,
    /// Does not begin with a slash.
    NotAbsolute,
    /// CR, LF or another control character: one request would become two.
    Control,
    /// `?`
    Query,
    /// `#`
    Fragment,
    /// `%`: what one reader decodes, another does not.
    Encoded,
    /// `//`
    DoubleSlash,
    /// `.` or `..` as a segment.
    DotSegment,
    /// Anything else that has no place in a path.
    Characters,
}

impl Fault {
    /// What a path must be instead.
    pub fn requirement(self) -> &'static str {
        match self {
            Self::Scheme => {
                "must be a path without scheme and host: name and port of the Service say where it is"
            }
            Self::NotAbsolute => "must begin with '/'",
            Self::Control => "must not have line breaks and other control characters",
            Self::Query => "must not have a query ('?')",
            Self::Fragment => "must not have a fragment ('#')",
            Self::Encoded => "must not have encoded bytes ('%')",
            Self::DoubleSlash => "must not have '//'",
            Self::DotSegment => "must not have '.' or '..' as a segment",
            Self::Characters => {
                "must be ASCII without spaces, quotes, '\\', '<', '>', '[', ']', '|', '^' and '`'"
            }
        }
    }
}

/// Checks a path.
pub fn check(text: &str) -> Result<(), Fault> {
    if text.chars().any(char::is_control) {
        return Err(Fault::Control);
    }
    if text.contains("://") {
        return Err(Fault::Scheme);
    }
    if !text.starts_with('/') {
        return Err(Fault::NotAbsolute);
    }
    if text.contains('?') {
        return Err(Fault::Query);
    }
    if text.contains('#') {
        return Err(Fault::Fragment);
    }
    if text.contains('%') {
        return Err(Fault::Encoded);
    }
    if text.contains("//") {
        return Err(Fault::DoubleSlash);
    }
    if text
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(Fault::DotSegment);
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._~!$&'()*+,;=:@{}/-".contains(&b);
    if text.bytes().all(plain) {
        Ok(())
    } else {
        Err(Fault::Characters)
    }
}

/// The path that was probably meant: without scheme and host, with one slash where there are two and one in front.
pub fn meant(text: &str) -> Option<String> {
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => text,
    };
    let mut out = String::from("/");
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        if !out.ends_with('/') {
            out.push('/');
        }
        out.push_str(segment);
    }
    if path.ends_with('/') && !out.ends_with('/') {
        out.push('/');
    }
    (out != text && check(&out).is_ok()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_nothing_but_a_path() {
        for good in ["/", "/a/b", "/a/{b}/c-{d}.json", "/v1/a:b", "/a/"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, fault) in [
            ("", Fault::NotAbsolute),
            ("a", Fault::NotAbsolute),
            ("http://a/b", Fault::Scheme),
            ("/x?next=http://a", Fault::Scheme),
            ("/a\r\nHost: b", Fault::Control),
            ("/a\0", Fault::Control),
            ("/a?b=c", Fault::Query),
            ("/a#b", Fault::Fragment),
            ("/a%2e%2e/b", Fault::Encoded),
            ("//a", Fault::DoubleSlash),
            ("/a/../b", Fault::DotSegment),
            ("/a/.", Fault::DotSegment),
            ("/a b", Fault::Characters),
            ("/\u{e4}", Fault::Characters),
            ("/a\\b", Fault::Characters),
        ] {
            assert_eq!(check(bad), Err(fault), "{bad:?}");
        }
    }

    #[test]
    fn the_path_that_was_meant_is_found() {
        for (text, expected) in [
            ("http://svc:80/api/x", Some("/api/x")),
            ("https://svc", Some("/")),
            ("api/x", Some("/api/x")),
            ("/a//b/", Some("/a/b/")),
            ("/a/../b", None),
            ("/a", None),
        ] {
            assert_eq!(meant(text).as_deref(), expected, "{text}");
        }
    }
}
