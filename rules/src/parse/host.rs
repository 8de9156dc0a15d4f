//! Hosts of an Ingress: lower-case DNS names of A-labels, with at most one wildcard label in front.

use std::net::Ipv4Addr;

use crate::parse::punycode;

/// The longest name.
pub const MAX_LENGTH: usize = 253;
/// The longest label.
pub const MAX_LABEL: usize = 63;

/// Why a text is no host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing.
    Empty,
    /// Not ASCII. With the A-label form, where there is one.
    NotAscii(Option<String>),
    /// Longer than [`MAX_LENGTH`].
    TooLong,
    /// `https://...`
    Scheme,
    /// A path, a query or a user.
    NotOnlyAHost,
    /// A port.
    Port,
    /// An address.
    Address,
    /// Upper case.
    UpperCase,
    /// A dot in front, behind or twice.
    EmptyLabel,
    /// A label longer than [`MAX_LABEL`].
    LongLabel,
    /// A wildcard anywhere but as the whole first label.
    Wildcard,
    /// Other characters than letters, digits and '-'; or a label with '-' at an end.
    Characters,
}

impl Error {
    /// What a host must be instead.
    pub fn requirement(&self) -> &'static str {
        match self {
            Self::Empty => "must not be empty",
            Self::NotAscii(_) => "must be ASCII: write an international name in its xn-- form",
            Self::TooLong => "must be at most 253 characters long",
            Self::Scheme => "must not have a scheme such as https://",
            Self::NotOnlyAHost => "must be a host name without user, path or query",
            Self::Port => "must not have a port",
            Self::Address => "must be a DNS name, not an IP address",
            Self::UpperCase => "must be lower case",
            Self::EmptyLabel => "must not have a dot at its beginning or end, or two in a row",
            Self::LongLabel => "must not have a label longer than 63 characters",
            Self::Wildcard => "must have '*' only as the complete first label",
            Self::Characters => {
                "must be letters, digits and '-', separated by dots, with '-' at no label's end"
            }
        }
    }
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    text: String,
}

impl Host {
    /// Reads a host.
    pub fn parse(text: &str) -> Result<Self, Error> {
        check(text)?;
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// The host as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the first label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.text.starts_with("*.")
    }

    /// Whether there is only one label.
    pub fn is_single_label(&self) -> bool {
        !self.text.contains('.')
    }

    /// The suffix that makes the name one of a cluster's or a site's inside.
    pub fn internal_suffix(&self) -> Option<&'static str> {
        const SUFFIXES: [&str; 4] = [".cluster.local", ".local", ".internal", ".localhost"];
        SUFFIXES
            .into_iter()
            .find(|suffix| self.text.ends_with(suffix) || self.text == suffix[1..])
    }

    /// Whether some URL parsers would read the name as an address: its last label is a number.
    pub fn ends_in_a_number(&self) -> bool {
        let last = self.text.rsplit('.').next().unwrap_or_default();
        let hexadecimal = last
            .strip_prefix("0x")
            .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        hexadecimal || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
    }

    /// Whether an allow-list entry covers the host: the same text, or `*.` and exactly one label more.
    pub fn matches(&self, entry: &str) -> bool {
        entry == self.text || covers(entry, &self.text)
    }
}

/// Whether a wildcard covers a name: `*.` stands for exactly one label.
pub fn covers(wildcard: &str, name: &str) -> bool {
    let Some(suffix) = wildcard.strip_prefix('*') else {
        return false;
    };
    suffix.starts_with('.')
        && name
            .strip_suffix(suffix)
            .is_some_and(|label| !label.is_empty() && !label.contains('.') && label != "*")
}

fn check(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::Empty);
    }
    if !text.is_ascii() {
        return Err(Error::NotAscii(a_labels(text)));
    }
    if text.contains("://") {
        return Err(Error::Scheme);
    }
    if text.contains(['/', '@', '?', '#']) {
        return Err(Error::NotOnlyAHost);
    }
    if text.starts_with('[') || text.matches(':').count() > 1 || is_ipv4(text) {
        return Err(Error::Address);
    }
    if text.contains(':') {
        return Err(Error::Port);
    }
    if text.len() > MAX_LENGTH {
        return Err(Error::TooLong);
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    for label in name.split('.') {
        check_label(label)?;
    }
    Ok(())
}

fn check_label(label: &str) -> Result<(), Error> {
    if label.is_empty() {
        return Err(Error::EmptyLabel);
    }
    if label.contains('*') {
        return Err(Error::Wildcard);
    }
    if !label
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        || label.starts_with('-')
        || label.ends_with('-')
    {
        return Err(Error::Characters);
    }
    if label.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(Error::UpperCase);
    }
    if label.len() > MAX_LABEL {
        return Err(Error::LongLabel);
    }
    Ok(())
}

/// Four decimal numbers, with leading zeros as the API server takes them.
fn is_ipv4(text: &str) -> bool {
    let trimmed: Vec<_> = text
        .split('.')
        .map(|part| {
            let number = part.trim_start_matches('0');
            if number.is_empty() && !part.is_empty() {
                "0"
            } else {
                number
            }
        })
        .collect();
    trimmed.join(".").parse::<Ipv4Addr>().is_ok()
}

/// The A-label form of an international name.
fn a_labels(text: &str) -> Option<String> {
    let labels: Option<Vec<_>> = text
        .to_lowercase()
        .split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'])
        .map(|label| {
            if label.is_ascii() {
                Some(label.to_owned())
            } else {
                Some(format!("xn--{}", punycode::encode(label)?))
            }
        })
        .collect();
    let name = labels?.join(".");
    check(&name).is_ok().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_international_name_is_answered_with_its_a_labels() {
        assert_eq!(
            Host::parse("b\u{fc}cher.example.com"),
            Err(Error::NotAscii(Some(
                "xn--bcher-kva.example.com".to_owned()
            )))
        );
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        assert!(covers("*.example.com", "a.example.com"));
        for name in [
            "example.com",
            "a.b.example.com",
            ".example.com",
            "*.example.com",
            "aexample.com",
        ] {
            assert!(!covers("*.example.com", name), "{name}");
        }
        assert!(!covers("*", "a"));
    }

    #[test]
    fn addresses_of_any_spelling_are_no_hosts() {
        for text in ["10.0.0.1", "010.000.000.001", "[::1]", "::1", "0.0.0.0"] {
            assert_eq!(Host::parse(text), Err(Error::Address), "{text}");
        }
        for text in ["0x7f.1", "2130706433", "127.1"] {
            assert!(Host::parse(text).unwrap().ends_in_a_number(), "{text}");
        }
    }
}
