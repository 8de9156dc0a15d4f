//! Callers that a proxy has authenticated: its headers are believed if its address is one of the trusted. Pure.
//!
//! Loopback is never trusted, whatever a network says: the MCP server itself speaks from there.

use std::net::IpAddr;

use access::{Identity, ProxyEntry, Reason};
use http::header::{HeaderMap, HeaderName};
use rules::parse::address::Network;

use crate::headers;

/// The longest name of a person, an agent or a team, in bytes.
const LONGEST: usize = 512;

/// Who may say who calls.
#[derive(Debug)]
pub struct Proxies {
    networks: Vec<Network>,
    by_labels: bool,
}

impl Proxies {
    /// As the bundle says; the text that is no network when there is one.
    pub fn new(entry: &ProxyEntry) -> Result<Self, String> {
        let read = |text: &String| Network::parse(text).ok_or_else(|| text.clone());
        Ok(Self {
            networks: entry.networks.iter().map(read).collect::<Result<_, _>>()?,
            by_labels: entry.by_labels,
        })
    }

    /// Whether a peer is believed. Of pods that are named by their labels the gateway knows no address: there the
    /// NetworkPolicy lets only them through.
    pub fn trust(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        !peer.is_loopback()
            && (self.by_labels || self.networks.iter().any(|network| network.contains(peer)))
    }
}

/// Who calls, by the headers for person, agent and team.
pub fn identity(headers: &HeaderMap, names: &[HeaderName; 3]) -> Result<Identity, Reason> {
    let value = |name| {
        let value = headers::single(headers, name).map_err(|_| Reason::DuplicateIdentity)?;
        match value {
            Some(text) if text.len() > LONGEST => Err(Reason::MissingIdentity),
            Some("") | None => Ok(None),
            Some(text) => Ok(Some(text.to_owned())),
        }
    };
    let [human, agent, team] = names;
    let identity = Identity {
        human: value(human)?,
        agent: value(agent)?,
        team: value(team)?,
        ..Identity::default()
    };
    // An agent alone is nobody: it says its own name.
    if identity.human.is_none() && identity.team.is_none() {
        return Err(Reason::MissingIdentity);
    }
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    fn proxies(networks: &[&str], by_labels: bool) -> Proxies {
        let networks = networks.iter().map(|text| (*text).to_owned()).collect();
        Proxies::new(&ProxyEntry {
            networks,
            by_labels,
        })
        .unwrap()
    }

    #[test]
    fn only_addresses_of_the_networks_are_trusted_and_loopback_never() {
        let some = proxies(&["10.1.0.0/16", "fd00:1::/64"], false);
        for (peer, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("fd00:1::7", true),
            ("10.2.0.1", false),
            ("fd00:2::7", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(some.trust(peer.parse().unwrap()), expected, "{peer}");
        }
        // Admission refuses such a network; here no mistake of that rule can make the server's own word count.
        for all in [proxies(&["0.0.0.0/0", "::/0"], false), proxies(&[], true)] {
            assert!(all.trust("10.2.0.1".parse().unwrap()));
            for own in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
                assert!(!all.trust(own.parse().unwrap()), "{own}");
            }
        }
        assert!(!proxies(&[], false).trust("10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn a_text_that_is_no_network_refuses_the_bundle() {
        let entry = ProxyEntry {
            networks: vec!["10.0.0.1/8".to_owned()],
            by_labels: false,
        };
        assert_eq!(Proxies::new(&entry).unwrap_err(), "10.0.0.1/8");
    }

    #[test]
    fn the_headers_say_once_who_calls() {
        let names = [
            HeaderName::from_static("x-h"),
            HeaderName::from_static("x-a"),
            HeaderName::from_static("x-t"),
        ];
        let long = "x".repeat(LONGEST + 1);
        let ask = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_str(value).unwrap());
            }
            identity(&headers, &names)
        };
        let alice = ask(&[("x-h", " alice "), ("x-a", "a1"), ("x-t", "t1")]).unwrap();
        assert_eq!(alice.human.as_deref(), Some("alice"));
        assert_eq!(alice.agent.as_deref(), Some("a1"));
        assert_eq!(alice.team.as_deref(), Some("t1"));
        assert!(ask(&[("x-t", "t1")]).is_ok());
        for (pairs, reason) in [
            (vec![], Reason::MissingIdentity),
            (vec![("x-a", "a1")], Reason::MissingIdentity),
            (vec![("x-h", "")], Reason::MissingIdentity),
            (vec![("x-h", long.as_str())], Reason::MissingIdentity),
            (
                vec![("x-h", "alice"), ("x-h", "alice")],
                Reason::DuplicateIdentity,
            ),
            (
                vec![("x-h", "alice"), ("x-t", "a"), ("x-t", "b")],
                Reason::DuplicateIdentity,
            ),
            (vec![("x-h", "al\u{e9}")], Reason::DuplicateIdentity),
        ] {
            assert_eq!(ask(&pairs), Err(reason), "{pairs:?}");
        }
    }
}
