//! Entries that name a registry: `host[:port][/path]`, in allow lists and overrides.

use crate::parse::image::{is_component, is_host};

/// Why a text is no registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing.
    Empty,
    /// Something that is not printable ASCII, or a space.
    Characters,
    /// `https://...`
    Scheme,
    /// A `*`: an entry covers everything below it anyway.
    Wildcard,
    /// `@sha256:...`
    Digest,
    /// A slash at the end.
    TrailingSlash,
    /// Upper case: hosts are compared exactly.
    UpperCase,
    /// One word: that is a name on Docker Hub, not a registry.
    SingleWord,
    /// The other name of Docker Hub.
    LegacyHub,
    /// The first part is no host.
    Host,
    /// A tag.
    Tag,
    /// The rest is no path of a repository.
    Path,
}

impl Error {
    /// What an entry must be instead.
    pub fn requirement(self) -> &'static str {
        match self {
            Self::Empty => "must not be empty",
            Self::Characters => "must be printable ASCII without spaces",
            Self::Scheme => "must not have a scheme such as https://",
            Self::Wildcard => "must not have '*': it covers everything below it without",
            Self::Digest => "must not have a digest",
            Self::TrailingSlash => "must not end in '/'",
            Self::UpperCase => "must be lower case",
            Self::SingleWord => {
                "must begin with a registry host that has '.' or ':' or is localhost"
            }
            Self::LegacyHub => "must name Docker Hub as docker.io",
            Self::Host => {
                "must begin with a registry host such as registry.example.com or registry.example.com:5000"
            }
            Self::Tag => "must not have a tag",
            Self::Path => "must have a path of lower-case letters and digits after the host",
        }
    }
}

/// Checks an entry.
pub fn check(entry: &str) -> Result<(), Error> {
    if entry.is_empty() {
        return Err(Error::Empty);
    }
    if !entry.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::Characters);
    }
    let (host, path) = match entry.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (entry, None),
    };
    if entry.contains("://") {
        Err(Error::Scheme)
    } else if entry.contains('*') {
        Err(Error::Wildcard)
    } else if entry.contains('@') {
        Err(Error::Digest)
    } else if entry.ends_with('/') {
        Err(Error::TrailingSlash)
    } else if entry.bytes().any(|b| b.is_ascii_uppercase()) {
        Err(Error::UpperCase)
    } else if host == "index.docker.io" {
        Err(Error::LegacyHub)
    } else if !host.contains(['.', ':']) && host != "localhost" {
        Err(Error::SingleWord)
    } else if !is_host(host) {
        Err(Error::Host)
    } else if path.is_some_and(|path| path.contains(':')) {
        Err(Error::Tag)
    } else if path.is_some_and(|path| !path.split('/').all(is_component)) {
        Err(Error::Path)
    } else {
        Ok(())
    }
}

/// The entry that was probably meant.
pub fn meant(entry: &str) -> Option<String> {
    let mut text = entry.trim().to_ascii_lowercase();
    if let Some((_, rest)) = text.split_once("://") {
        text = rest.to_owned();
    }
    // Before a digest stands the registry; before another '@' stand a user and a password, which are never repeated.
    while let Some((rest, after)) = text.rsplit_once('@') {
        let kept = if after.starts_with("sha") && after.contains(':') && !after.contains('/') {
            rest
        } else {
            after
        };
        text = kept.to_owned();
    }
    let text = text.trim_end_matches(['*', '/']);
    let text = match text.split_once('/') {
        Some((host, path)) => format!("{host}/{}", path.split(':').next().unwrap_or_default()),
        None => text.to_owned(),
    };
    let text = match text.strip_prefix("index.docker.io") {
        Some(rest) => format!("docker.io{rest}"),
        None => text,
    };
    let text = if check(&text) == Err(Error::SingleWord) {
        format!("docker.io/{text}")
    } else {
        text
    };
    (text != entry && check(&text).is_ok()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_said() {
        for (entry, expected) in [
            ("https://ghcr.io/acme/", Some("ghcr.io/acme")),
            ("ghcr.io/acme/*", Some("ghcr.io/acme")),
            ("GHCR.io/acme", Some("ghcr.io/acme")),
            ("acme", Some("docker.io/acme")),
            ("index.docker.io/library", Some("docker.io/library")),
            ("ghcr.io/acme/x:1", Some("ghcr.io/acme/x")),
            ("*.example.com", None),
            ("ghcr.io", None),
            ("ghcr.io/acme@sha256:00", Some("ghcr.io/acme")),
            ("https://bob:1234@ghcr.io/acme", Some("ghcr.io/acme")),
            ("bob:1234@ghcr.io", Some("ghcr.io")),
        ] {
            assert_eq!(meant(entry).as_deref(), expected, "{entry}");
        }
    }
}
