//! Public paths: RFC 3986 unreserved characters and slashes, nothing encoded, no dot segments.

/// The longest path.
pub const MAX_LENGTH: usize = 255;
/// First segments that a shared host keeps for itself.
pub const RESERVED: [&str; 5] = [".well-known", "healthz", "readyz", "livez", "metrics"];

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Does not begin with a slash.
    NotAbsolute,
    /// Longer than [`MAX_LENGTH`].
    TooLong,
    /// `%`: what one reader decodes, another does not.
    Encoded,
    /// Other characters than unreserved ones and '/'.
    Characters,
    /// `//`
    DoubleSlash,
    /// `.` or `..` as a segment.
    DotSegment,
}

impl Error {
    /// What a path must be instead.
    pub fn requirement(self) -> &'static str {
        match self {
            Self::NotAbsolute => "must begin with '/'",
            Self::TooLong => "must be at most 255 characters long",
            Self::Encoded => "must not have encoded bytes ('%')",
            Self::Characters => "must be letters, digits, '-', '.', '_', '~' and '/'",
            Self::DoubleSlash => "must not have '//'",
            Self::DotSegment => "must not have '.' or '..' as a segment",
        }
    }
}

/// A public path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpPath {
    text: String,
}

impl HttpPath {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if !text.starts_with('/') {
            return Err(Error::NotAbsolute);
        }
        if text.len() > MAX_LENGTH {
            return Err(Error::TooLong);
        }
        if text.contains('%') {
            return Err(Error::Encoded);
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b))
        {
            return Err(Error::Characters);
        }
        if text.contains("//") {
            return Err(Error::DoubleSlash);
        }
        if text
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        {
            return Err(Error::DotSegment);
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first segment, if a shared host keeps it for itself.
    pub fn reserved(&self) -> Option<&'static str> {
        let first = self.text.split('/').nth(1)?;
        RESERVED.into_iter().find(|reserved| first == *reserved)
    }
}

/// Whether `prefix` is `path` or surrounds it, by whole segments; a slash at the end means nothing.
pub fn is_segment_prefix(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    let path = path.trim_end_matches('/');
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
