//! A permission profile from a ConfigMap: JSON, in the form that the profiles of `ToolHive` have.
//!
//! ```json
//! {"read": ["/data"], "write": [], "network": {"outbound": {"allow_host": ["api.example.com"], "allow_port": [443]}}}
//! ```

use serde::Deserialize;

use crate::parse::address::Network;
use crate::parse::host::Host;

/// The longest profile, in bytes.
const MAX_LENGTH: usize = 65_536;

/// What a server may connect to and mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// A name, for people.
    #[serde(default)]
    pub name: Option<String>,
    /// A sentence, for people.
    #[serde(default)]
    pub description: Option<String>,
    /// Paths that may be read.
    #[serde(default)]
    pub read: Vec<String>,
    /// Paths that may be written.
    #[serde(default)]
    pub write: Vec<String>,
    /// What may be connected to.
    #[serde(default)]
    pub network: Traffic,
    /// Must not be true.
    #[serde(default)]
    privileged: bool,
}

/// What a server may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// From the server.
    #[serde(default)]
    pub outbound: Outbound,
}

/// What a server may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// Everything.
    #[serde(default)]
    pub insecure_allow_all: bool,
    /// Hosts, addresses and networks.
    #[serde(default)]
    pub allow_host: Vec<String>,
    /// Ports; all of them when empty.
    #[serde(default)]
    pub allow_port: Vec<u16>,
}

/// Why a text is no profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileFault {
    /// Longer than 64 KiB.
    TooLong,
    /// No JSON, or none of this form: where, by line and column.
    Form(usize, usize),
    /// `privileged: true`
    Privileged,
    /// A host that is no DNS name, address or network, by its index. A wildcard has no addresses.
    Host(usize),
    /// Port 0, by its index.
    Port(usize),
    /// A path that is not absolute and plain.
    Path(String),
}

impl ProfileFault {
    /// What a profile must be instead.
    pub fn requirement(&self) -> String {
        match self {
            Self::TooLong => "must be a profile of at most 65536 bytes".to_owned(),
            Self::Form(line, column) => format!(
                "must be a profile as JSON with read, write and network.outbound: it is none at line {line}, column {column}"
            ),
            Self::Privileged => "must be a profile without privileged: true".to_owned(),
            Self::Host(index) => format!(
                "must be a profile whose hosts are names, addresses or networks without wildcards: \
                 network.outbound.allow_host[{index}] is none"
            ),
            Self::Port(index) => format!(
                "must be a profile whose ports are from 1 to 65535: network.outbound.allow_port[{index}] is not"
            ),
            Self::Path(field) => {
                format!(
                    "must be a profile whose paths are absolute and without '..' and ':': {field} is not"
                )
            }
        }
    }
}

impl Profile {
    /// Reads a profile.
    pub fn parse(text: &str) -> Result<Self, ProfileFault> {
        if text.len() > MAX_LENGTH {
            return Err(ProfileFault::TooLong);
        }
        let profile: Self = serde_json::from_str(text)
            .map_err(|error| ProfileFault::Form(error.line(), error.column()))?;
        if profile.privileged {
            return Err(ProfileFault::Privileged);
        }
        let outbound = &profile.network.outbound;
        let position = outbound.allow_host.iter().position(|host| !is_target(host));
        if let Some(index) = position {
            return Err(ProfileFault::Host(index));
        }
        if let Some(index) = outbound.allow_port.iter().position(|port| *port == 0) {
            return Err(ProfileFault::Port(index));
        }
        for (field, paths) in [("read", &profile.read), ("write", &profile.write)] {
            if let Some(index) = paths.iter().position(|path| !is_plain(path)) {
                return Err(ProfileFault::Path(format!("{field}[{index}]")));
            }
        }
        Ok(profile)
    }
}

fn is_target(text: &str) -> bool {
    Network::parse(text).is_some()
        || Host::parse(text).is_ok_and(|host| !host.is_wildcard() && !host.ends_in_a_number())
}

fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains([':', '\0'])
        && !path
            .split('/')
            .any(|segment| segment == "." || segment == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read() {
        let profile = Profile::parse(
            r#"{"name": "x", "read": ["/data"], "network": {"outbound": {"allow_host": ["api.example.com", "10.0.0.0/8"], "allow_port": [443]}}}"#,
        )
        .unwrap();
        assert_eq!(
            profile.network.outbound.allow_host,
            ["api.example.com", "10.0.0.0/8"]
        );
        assert_eq!(Profile::parse("{}"), Ok(Profile::default()));
    }

    #[test]
    fn what_is_no_profile_is_refused_with_its_reason() {
        let with = |outbound: &str| format!("{{\"network\": {{\"outbound\": {{{outbound}}}}}}}");
        for (text, fault) in [
            (String::new(), ProfileFault::Form(1, 0)),
            ("{\"reed\": []}".to_owned(), ProfileFault::Form(1, 7)),
            (
                "{\"privileged\": true}".to_owned(),
                ProfileFault::Privileged,
            ),
            (
                with("\"allow_host\": [\"a.example.com\", \"*.example.com\"]"),
                ProfileFault::Host(1),
            ),
            (with("\"allow_host\": [\"127.1\"]"), ProfileFault::Host(0)),
            (with("\"allow_port\": [443, 0]"), ProfileFault::Port(1)),
            (
                "{\"read\": [\"data\"]}".to_owned(),
                ProfileFault::Path("read[0]".to_owned()),
            ),
            (
                "{\"write\": [\"/a/../b\"]}".to_owned(),
                ProfileFault::Path("write[0]".to_owned()),
            ),
            (" ".repeat(MAX_LENGTH + 1), ProfileFault::TooLong),
        ] {
            assert_eq!(Profile::parse(&text), Err(fault), "{}", text.trim());
        }
    }
}
