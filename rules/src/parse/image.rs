//! Image references by the grammar of distribution/reference, and their match against an allow-list entry.
//!
//! ASCII only, no case folding, no Unicode normalisation, no URL parser. The host is compared exactly, port included;
//! the path by whole segments.

use crate::parse::url;

/// The longest text that is looked at.
pub const MAX_LENGTH: usize = 4096;
/// The longest path of a repository.
pub const MAX_PATH: usize = 255;
/// The longest tag.
pub const MAX_TAG: usize = 128;
/// How a digest begins, right or wrong.
const DIGESTS: [&str; 4] = ["sha256:", "sha384:", "sha512:", "md5:"];
const HUB: &str = "docker.io";
const HUB_LEGACY: &str = "index.docker.io";
const OFFICIAL: &str = "library/";

/// Why a text is no image reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing, or only a tag.
    Empty,
    /// Longer than [`MAX_LENGTH`].
    TooLong,
    /// Something that is not printable ASCII, or a space.
    Characters,
    /// `https://...`
    Scheme,
    /// 64 hexadecimal digits: runtimes take it for the id of an image on the node.
    ImageId,
    /// The first component is taken for a host and is none.
    Host,
    /// An upper-case letter in the path.
    UpperCase,
    /// A path component that the grammar does not have.
    Path,
    /// A path longer than [`MAX_PATH`].
    PathTooLong,
    /// A tag that the grammar does not have.
    Tag,
    /// What follows `@` is no digest of a known algorithm.
    Digest,
}

impl Error {
    /// What a reference must be instead.
    pub fn requirement(self) -> &'static str {
        match self {
            Self::Empty => {
                "must be an image reference such as registry.example.com/team/server:1.2.3"
            }
            Self::TooLong => "must be at most 4096 characters long",
            Self::Characters => "must be printable ASCII without spaces",
            Self::Scheme => "must not have a scheme such as https://",
            Self::ImageId => {
                "must not be 64 hexadecimal digits: that is the id of an image on the node, not a reference"
            }
            Self::Host => {
                "must begin with a registry host: letters, digits, '-' and '.', then an optional numeric port"
            }
            Self::UpperCase => "must not have upper-case letters in the path",
            Self::Path => {
                "must have a path of lower-case letters and digits, separated by '.', '_', '__' or '-' and single slashes"
            }
            Self::PathTooLong => "must have a path of at most 255 characters",
            Self::Tag => {
                "must have a tag of at most 128 letters, digits, '_', '.' and '-' that begins with a letter, digit or '_'"
            }
            Self::Digest => {
                "must have a digest such as sha256: and 64 lower-case hexadecimal digits after '@'"
            }
        }
    }
}

/// The text as it may be quoted: without what may be a password before '@', and without what follows '?'. What stands
/// before a digest is none.
pub fn quotable(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((rest, digest)) if DIGESTS.iter().any(|begin| digest.starts_with(begin)) => {
            format!("{}@{digest}", url::quotable(rest))
        }
        Some(_) | None => url::quotable(text),
    }
}

/// A normalised image reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageRef {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
    id_shaped: bool,
}

impl ImageRef {
    /// Reads and normalises a reference: `nginx` becomes `docker.io/library/nginx`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(Error::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::Characters);
        }
        if text.len() == 64 && text.bytes().all(lower_hex) {
            return Err(Error::ImageId);
        }
        if text.contains("://") {
            return Err(Error::Scheme);
        }
        let (host, remainder) = split_host(text);
        if !is_host(host) {
            return Err(Error::Host);
        }
        let (name, digest) = match remainder.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (remainder, None),
        };
        let (path, tag) = match name.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (name, None),
        };
        let mut path = path.to_owned();
        if path.is_empty() {
            return Err(Error::Empty);
        }
        if host == HUB && !path.contains('/') {
            path.insert_str(0, OFFICIAL);
        }
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(Error::UpperCase);
        }
        if !path.split('/').all(is_component) {
            return Err(Error::Path);
        }
        if path.len() > MAX_PATH {
            return Err(Error::PathTooLong);
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(Error::Tag);
        }
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(Error::Digest);
        }
        Ok(Self {
            host: host.to_owned(),
            path,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
            id_shaped: is_id_shaped(text),
        })
    }

    /// The registry with its port, as it is compared: never empty.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository on that registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Whether a runtime may take the text for the id of an image that is already on the node, whatever the grammar
    /// says: `sha256:...` or a single component of 12 to 63 hexadecimal digits. No allow-list entry covers that.
    pub fn is_id_shaped(&self) -> bool {
        self.id_shaped
    }

    /// Whether an allow-list entry (`host[:port][/path]`) covers the image.
    pub fn matches(&self, entry: &str) -> bool {
        if self.id_shaped {
            return false;
        }
        let (host, prefix) = entry.split_once('/').unwrap_or((entry, ""));
        if host != self.host {
            return false;
        }
        match self.path.strip_prefix(prefix) {
            Some(rest) => {
                prefix.is_empty() && !entry.contains('/')
                    || rest.is_empty()
                    || rest.starts_with('/')
            }
            None => false,
        }
    }
}

/// The host and the rest, by the rules of the Docker client: the first component is a host only if it says so.
fn split_host(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((HUB_LEGACY, rest)) => (HUB, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (HUB, text),
    }
}

/// `domain-name | "[" IPv6 "]"`, then an optional port of digits.
pub fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        return !address.is_empty()
            && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    name.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Lower-case alphanumerics, separated by one '.', one or two '_', or any number of '-'.
pub fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    if !bytes.first().copied().is_some_and(alphanumeric)
        || !bytes.last().copied().is_some_and(alphanumeric)
    {
        return false;
    }
    component
        .split(|c: char| c.is_ascii() && alphanumeric(c as u8))
        .all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

/// A word character, then up to 127 more, '.' and '-' among them.
pub fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(lower_hex)
}

fn is_id_shaped(text: &str) -> bool {
    if text.contains(['/', '@']) {
        return false;
    }
    match text.split_once(':') {
        Some((algorithm, hex)) => {
            matches!(algorithm, "sha256" | "sha384" | "sha512") && hex.bytes().all(lower_hex)
        }
        None => (12..64).contains(&text.len()) && text.bytes().all(lower_hex),
    }
}

fn lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_completed() {
        for (text, host, path) in [
            ("nginx", "docker.io", "library/nginx"),
            ("index.docker.io/nginx", "docker.io", "library/nginx"),
            ("acme/x:1", "docker.io", "acme/x"),
            ("localhost/x", "localhost", "x"),
            ("Acme/x", "Acme", "x"),
        ] {
            let image = ImageRef::parse(text).unwrap();
            assert_eq!((image.host(), image.path()), (host, path), "{text}");
        }
    }

    #[test]
    fn an_entry_with_a_path_needs_that_path() {
        let image = ImageRef::parse("ghcr.io/acme").unwrap();
        assert!(image.matches("ghcr.io"));
        assert!(image.matches("ghcr.io/acme"));
        assert!(!image.matches("ghcr.io/"));
        assert!(!image.matches("ghcr.io/acm"));
        assert!(!image.matches(""));
    }
}
