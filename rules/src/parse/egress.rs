//! Entries of `egress.allowed` in a policy: a host, a wildcard for one label, an address or a network. `http://` in front
//! of it also allows plain HTTP there.

use crate::parse::address::Network;
use crate::parse::host::{self, Host};
use crate::parse::url::OutsideUrl;

/// Allows plain HTTP, in front of an entry.
const PLAIN: &str = "http://";

/// Where servers may connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EgressEntry {
    plain: bool,
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Target {
    Host(Host),
    Network(Network),
}

/// Why a text is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressFault {
    /// Another scheme than `http://`.
    Scheme,
    /// Digits, dots, colons and a slash, and still no network: its bits behind the prefix are set, or it is misspelled.
    Network,
    /// No host.
    Host(host::Error),
}

impl EgressFault {
    /// What an entry must be instead.
    pub fn requirement(&self) -> &'static str {
        match self {
            Self::Scheme => {
                "must be without a scheme; only http:// may stand in front, and also allows plain HTTP"
            }
            Self::Network => {
                "must be an address, or a network without bits behind its prefix such as 10.0.0.0/8"
            }
            Self::Host(error) => error.requirement(),
        }
    }
}

impl EgressEntry {
    /// Reads an entry.
    pub fn parse(text: &str) -> Result<Self, EgressFault> {
        let (plain, text) = match text.strip_prefix(PLAIN) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if text.contains("://") {
            return Err(EgressFault::Scheme);
        }
        if let Some(network) = Network::parse(text) {
            let target = Target::Network(network);
            return Ok(Self { plain, target });
        }
        let numeric = text
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b".:/".contains(&b));
        if text.contains(['/', ':']) && numeric {
            return Err(EgressFault::Network);
        }
        match Host::parse(text) {
            Err(error) => Err(EgressFault::Host(error)),
            Ok(host) if host.ends_in_a_number() => Err(EgressFault::Network),
            Ok(host) => Ok(Self {
                plain,
                target: Target::Host(host),
            }),
        }
    }

    /// Whether the entry covers where the URL leads. The scheme is another question: [`EgressEntry::allows_plain`].
    pub fn covers(&self, url: &OutsideUrl) -> bool {
        match (&self.target, url.address()) {
            (Target::Network(network), Some(address)) => network.contains(address),
            (Target::Host(host), None) => covers_name(host, url.host()),
            (Target::Network(_), None) | (Target::Host(_), Some(_)) => false,
        }
    }

    /// Whether the entry covers a host by its name.
    pub fn covers_name(&self, name: &str) -> bool {
        match &self.target {
            Target::Network(_) => false,
            Target::Host(host) => covers_name(host, name),
        }
    }

    /// Whether the entry covers every address of a network.
    pub fn covers_network(&self, network: &Network) -> bool {
        match &self.target {
            Target::Network(entry) => network.is_within(entry),
            Target::Host(_) => false,
        }
    }

    /// Whether the entry says that an inside address or name is meant: a host, or a network that is private all through.
    pub fn opens_inside(&self) -> bool {
        match &self.target {
            Target::Network(network) => network.is_private(),
            Target::Host(_) => true,
        }
    }

    /// Whether plain HTTP is allowed there.
    pub fn allows_plain(&self) -> bool {
        self.plain
    }
}

fn covers_name(entry: &Host, name: &str) -> bool {
    entry.as_str() == name || host::covers(entry.as_str(), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(entry: &str, url: &str) -> bool {
        EgressEntry::parse(entry)
            .unwrap()
            .covers(&OutsideUrl::parse(url).unwrap())
    }

    #[test]
    fn an_entry_covers_its_host_or_one_label_or_its_network() {
        for (entry, url, expected) in [
            ("mcp.example.com", "https://mcp.example.com/mcp", true),
            (
                "http://mcp.example.com",
                "https://mcp.example.com/mcp",
                true,
            ),
            ("mcp.example.com", "https://a.mcp.example.com", false),
            ("*.example.com", "https://mcp.example.com", true),
            ("*.example.com", "https://a.mcp.example.com", false),
            ("*.example.com", "https://example.com", false),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://[::ffff:10.1.2.3]", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.0.0.0/8", "https://mcp.example.com", false),
            ("fd00::7", "https://[fd00::7]/", true),
        ] {
            assert_eq!(covers(entry, url), expected, "{entry} {url}");
        }
    }

    #[test]
    fn only_a_private_network_or_a_name_opens_the_inside() {
        for (entry, expected) in [
            ("10.0.0.0/8", true),
            ("0.0.0.0/0", false),
            ("::/0", false),
            ("vault.corp.internal", true),
        ] {
            assert_eq!(
                EgressEntry::parse(entry).unwrap().opens_inside(),
                expected,
                "{entry}"
            );
        }
    }

    #[test]
    fn what_is_no_entry_is_refused_with_its_reason() {
        for (entry, fault) in [
            ("https://mcp.example.com", EgressFault::Scheme),
            ("10.0.0.1/8", EgressFault::Network),
            ("10.0.0/8", EgressFault::Network),
            ("0x7f.1", EgressFault::Network),
            ("", EgressFault::Host(host::Error::Empty)),
            (
                "mcp.example.com/path",
                EgressFault::Host(host::Error::NotOnlyAHost),
            ),
            ("MCP.example.com", EgressFault::Host(host::Error::UpperCase)),
        ] {
            assert_eq!(EgressEntry::parse(entry), Err(fault), "{entry}");
        }
    }
}
