//! URLs that something in the cluster is told to connect to: a remote server, an OAuth issuer and its keys, an audit
//! sink, a catalogue. The one reader for all of them.
//!
//! Stricter than any URL library: only what every library reads alike is read at all, so that the host that was judged
//! is the host that is connected to. What a name resolves to is not known here; whoever connects checks the address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::parse::address::{Place, place};
use crate::parse::host::{self, Host};

/// The longest URL.
pub const MAX_LENGTH: usize = 2048;

/// Why a text is no URL, or none that may be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlFault {
    /// Nothing.
    Empty,
    /// Longer than [`MAX_LENGTH`].
    TooLong,
    /// Something that is not ASCII, in the host or behind it.
    NotAscii,
    /// Spaces, control characters, quotes, `\`, `{` and the like: libraries drop, replace or encode them.
    Characters,
    /// No `https://` in front.
    NoScheme,
    /// Another scheme than `https` and `http`.
    Scheme,
    /// An upper-case letter in scheme or host.
    UpperCase,
    /// `user:password@`
    UserInfo,
    /// `#...`
    Fragment,
    /// The host is none.
    Host(host::Error),
    /// An IP address that is not spelled as four decimal numbers, or in brackets as IPv6.
    AddressSpelling,
    /// What follows `:` is no port.
    Port,
    /// `%` without two hexadecimal digits, or an encoded character that ends or leaves a path segment.
    Encoding,
    /// `.` or `..` as a segment, or `//`.
    Path,
    /// `http` where only `https` will do.
    Insecure,
    /// Leads to a place that is not outside.
    Inside(Place),
}

impl UrlFault {
    /// What a URL must be instead.
    pub fn requirement(&self) -> &'static str {
        match self {
            Self::Empty => "must be a URL such as https://mcp.example.com/mcp",
            Self::TooLong => "must be at most 2048 characters long",
            Self::NotAscii => "must be ASCII: write an international host in its xn-- form",
            Self::Characters => {
                "must not have spaces, quotes, '\\', '{', '}', '<', '>', '|', '^' or '`'"
            }
            Self::NoScheme => "must begin with https://",
            Self::Scheme => "must have the scheme https",
            Self::UpperCase => "must be lower case in scheme and host",
            Self::UserInfo => "must not have a user or password before the host",
            Self::Fragment => "must not have a fragment ('#')",
            Self::Host(error) => error.requirement(),
            Self::AddressSpelling => {
                "must spell an IP address as four decimal numbers, or as IPv6 in brackets: readers differ about others"
            }
            Self::Port => "must have a port from 1 to 65535 without leading zeros after ':'",
            Self::Encoding => {
                "must have '%' only before two hexadecimal digits, and not to encode '.', '/' or '\\'"
            }
            Self::Path => "must not have '.', '..' or nothing as a path segment",
            Self::Insecure => "must be https: what is sent can be read and changed on its way",
            Self::Inside(place) => place.requirement(),
        }
    }
}

/// A URL of scheme `https` or `http`, without user and fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutsideUrl {
    secure: bool,
    host: String,
    address: Option<IpAddr>,
    port: Option<u16>,
    path: String,
    query: Option<String>,
}

impl OutsideUrl {
    /// Reads a URL. Whether it is `https` and leads outside is asked separately: [`OutsideUrl::strict`].
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        characters(text)?;
        let (scheme, rest) = text.split_once("://").ok_or(UrlFault::NoScheme)?;
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") => {
                return Err(UrlFault::UpperCase);
            }
            _ => return Err(UrlFault::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlFault::UserInfo);
        }
        if target.contains('#') {
            return Err(UrlFault::Fragment);
        }
        let (host, port) = split_port(authority)?;
        let address = read_host(host)?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        check_target(path, query.as_deref().unwrap_or_default())?;
        Ok(Self {
            secure,
            host: host.to_owned(),
            address,
            port,
            path: path.to_owned(),
            query,
        })
    }

    /// The URL, if it leads outside.
    pub fn outside(self) -> Result<Self, UrlFault> {
        match self.place() {
            Place::Public => Ok(self),
            place => Err(UrlFault::Inside(place)),
        }
    }

    /// The URL, if it leads outside and is `https`.
    pub fn strict(self) -> Result<Self, UrlFault> {
        if self.secure {
            self.outside()
        } else {
            Err(UrlFault::Insecure)
        }
    }

    /// Whether the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.secure
    }

    /// The host as it was written: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host, if it is an address.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The port, given or by the scheme.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// The path as it was written: empty, or beginning with '/'.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What follows the first '?'.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Where the URL leads, as far as the text says.
    pub fn place(&self) -> Place {
        match self.address {
            Some(address) => place(address),
            None => place_of_name(&self.host),
        }
    }
}

/// The URL that was probably meant, if there is one that can be read.
pub fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let scheme = scheme.to_ascii_lowercase();
    let rest = rest.split('#').next()?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let authority = authority.rsplit('@').next()?;
    let (host, port) = authority
        .rsplit_once(':')
        .map_or((authority, None), |(host, port)| (host, Some(port)));
    let lower = host.to_ascii_lowercase();
    let host = match Host::parse(&lower) {
        Err(host::Error::NotAscii(a_labels)) => a_labels?,
        Ok(_) | Err(_) => lower,
    };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let candidate = format!("{scheme}://{host}{port}{target}");
    (candidate != text && OutsideUrl::parse(&candidate).is_ok()).then_some(candidate)
}

/// The text as it may be quoted: without what may be a password before '@', and without what follows '?', where keys are
/// often put.
pub fn quotable(text: &str) -> String {
    let (rest, query) = match text.split_once('?') {
        Some((rest, _)) => (rest, "?..."),
        None => (text, ""),
    };
    if OutsideUrl::parse(rest).is_ok() {
        return format!("{rest}{query}");
    }
    // What cannot be read may hide its '@' anywhere.
    match text.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            let after = after.split('?').next().unwrap_or_default();
            format!("{scheme}://...@{after}{query}")
        }
        None => format!("{rest}{query}"),
    }
}

fn characters(text: &str) -> Result<(), UrlFault> {
    if text.is_empty() {
        Err(UrlFault::Empty)
    } else if text.len() > MAX_LENGTH {
        Err(UrlFault::TooLong)
    } else if !text.is_ascii() {
        Err(UrlFault::NotAscii)
    } else if !text
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\"\\{}<>|^`".contains(&b))
    {
        Err(UrlFault::Characters)
    } else {
        Ok(())
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UrlFault> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']').ok_or(UrlFault::AddressSpelling)?;
        let (host, rest) = authority.split_at(end + 1);
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(UrlFault::Port),
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let Some(port) = port else {
        return Ok((host, None));
    };
    let plain = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    let number = port.parse().ok().filter(|_| plain);
    number
        .map(|number| (host, Some(number)))
        .ok_or(UrlFault::Port)
}

/// Checks the host; gives the address if it is one.
fn read_host(text: &str) -> Result<Option<IpAddr>, UrlFault> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(UrlFault::UpperCase);
    }
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner
            .strip_suffix(']')
            .and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address
            .map(|address| Some(IpAddr::V6(address)))
            .ok_or(UrlFault::AddressSpelling);
    }
    // The standard library takes four decimal numbers without leading zeros and nothing else.
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Some(IpAddr::V4(address)));
    }
    match Host::parse(text) {
        Err(host::Error::Address) => Err(UrlFault::AddressSpelling),
        Err(error) => Err(UrlFault::Host(error)),
        Ok(host) if host.ends_in_a_number() => Err(UrlFault::AddressSpelling),
        Ok(host) if host.is_wildcard() => Err(UrlFault::Host(host::Error::Wildcard)),
        Ok(_) => Ok(None),
    }
}

fn check_target(path: &str, query: &str) -> Result<(), UrlFault> {
    for part in [path, query] {
        for (at, _) in part.match_indices('%') {
            let digits = part.as_bytes().get(at + 1..at + 3).unwrap_or_default();
            if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
                return Err(UrlFault::Encoding);
            }
        }
    }
    let lower = path.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "%00"]
        .iter()
        .any(|encoded| lower.contains(encoded))
    {
        return Err(UrlFault::Encoding);
    }
    let dotted = path
        .split('/')
        .any(|segment| segment == "." || segment == "..");
    if dotted || path.contains("//") {
        return Err(UrlFault::Path);
    }
    Ok(())
}

/// Names of clouds' metadata services.
const METADATA: [&str; 7] = [
    "metadata",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
];
/// Endings of names that lead to the pod itself.
const LOOPBACK: [&str; 4] = ["localhost", "localdomain", "ip6-localhost", "ip6-loopback"];
/// Endings of names of the cluster's inside.
const CLUSTER: [&str; 2] = ["svc", "cluster.local"];
/// Endings of names of a site's inside.
const SITE: [&str; 8] = [
    "local",
    "internal",
    "intranet",
    "lan",
    "corp",
    "home",
    "private",
    "home.arpa",
];

fn place_of_name(name: &str) -> Place {
    let ends_in = |endings: &[&str]| {
        endings.iter().any(|ending| {
            name.strip_suffix(ending)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    };
    if METADATA.contains(&name) {
        Place::Metadata
    } else if ends_in(&LOOPBACK) {
        Place::Loopback
    } else if ends_in(&CLUSTER) || !name.contains('.') {
        Place::Cluster
    } else if ends_in(&SITE) {
        Place::Private
    } else {
        Place::Public
    }
}

#[cfg(test)]
mod tests;
