//! Where the server is: what a URL may say, and to which addresses its name may lead. No caller has a say in either.
//!
//! The URL is written by the operator, which has judged the spec; here no mistake of that judgement can lead the
//! gateway to its own pod, to the node or to a cloud's metadata. A name is judged by the addresses that it has when
//! the connection is made, so a name that changes its mind gains nothing.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use rules::parse::address::place;
use tower::Service;

/// Written before the URL of a server that speaks HTTP with SSE, the transport of 2024-11-05.
const SSE: &str = "sse+";

/// Where the server is, as `--upstream` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The URL, without the mark of the transport.
    pub uri: Uri,
    /// What its host may be.
    pub reach: Reach,
    /// The server speaks HTTP with SSE, the transport of 2024-11-05.
    pub sse: bool,
}

/// What sort of host the server has, and so to which addresses its name may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This pod.
    Loopback,
    /// A Service of the namespace.
    Service,
    /// A server elsewhere, reached over TLS.
    Remote,
}

/// Why an address is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a URL.
    #[error("--upstream {0:?} must be a URL such as http://127.0.0.1:8088/mcp")]
    NotAUrl(String),
    /// A user or a password in it, which belong into a header from a Secret.
    #[error("--upstream must not hold a user or a password: give them by --upstream-header")]
    User,
    /// Plain HTTP to somewhere else than this pod and the namespace.
    #[error(
        "--upstream {address:?} must be https, or http on a loopback address such as http://127.0.0.1:8088/mcp, or \
         http on a Service such as http://NAME.{namespace}.svc/mcp"
    )]
    Plain {
        /// What was given.
        address: String,
        /// The server's namespace.
        namespace: String,
    },
    /// An address that is no server's.
    #[error("--upstream {address:?} {requirement}")]
    Place {
        /// What was given.
        address: String,
        /// What it must be instead.
        requirement: &'static str,
    },
}

impl Address {
    /// Reads the URL of the server of an MCPServer in `namespace`.
    pub fn parse(text: &str, namespace: &str) -> Result<Self, Error> {
        let (url, sse) = match text.strip_prefix(SSE) {
            Some(url) => (url, true),
            None => (text, false),
        };
        let not_a_url = || Error::NotAUrl(text.to_owned());
        let uri: Uri = url.parse().map_err(|_| not_a_url())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(not_a_url());
        };
        if authority.as_str().contains('@') {
            return Err(Error::User);
        }
        let host = authority.host();
        let literal = literal(host);
        let loopback = host == "localhost" || literal.is_some_and(|ip| ip.is_loopback());
        let service = host.strip_suffix(&format!(".{namespace}.svc"));
        let reach = match scheme {
            "http" | "https" if loopback => Reach::Loopback,
            "http" if service.is_some_and(|name| !name.is_empty() && !name.contains('.')) => {
                Reach::Service
            }
            "https" => Reach::Remote,
            "http" => {
                return Err(Error::Plain {
                    address: text.to_owned(),
                    namespace: namespace.to_owned(),
                });
            }
            _ => return Err(not_a_url()),
        };
        if let Some(ip) = literal.filter(|ip| !reach.permits(*ip)) {
            return Err(Error::Place {
                address: text.to_owned(),
                requirement: place(ip).requirement(),
            });
        }
        Ok(Self { uri, reach, sse })
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

impl Reach {
    /// Whether a host of this sort may have this address.
    pub fn permits(self, address: IpAddr) -> bool {
        match self {
            Self::Loopback => address.is_loopback(),
            Self::Service | Self::Remote => place(address).can_be_allowed(),
        }
    }
}

/// Looks names up, and leaves out the addresses that are not permitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver(pub(super) Reach);

/// A name leads nowhere that is permitted.
#[derive(Debug, thiserror::Error)]
#[error("{name} has no address that may be connected to: it {requirement}")]
struct Nowhere {
    name: String,
    requirement: &'static str,
}

impl Resolver {
    async fn look_up(self, name: Name) -> std::io::Result<std::vec::IntoIter<SocketAddr>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
        let (good, bad): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|at| self.0.permits(at.ip()));
        match bad.first() {
            Some(bad) if good.is_empty() => {
                let requirement = match self.0 {
                    Reach::Loopback => "must lead to a loopback address",
                    Reach::Service | Reach::Remote => place(bad.ip()).requirement(),
                };
                Err(std::io::Error::other(Nowhere {
                    name: name.to_string(),
                    requirement,
                }))
            }
            _ => Ok(good.into_iter()),
        }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.look_up(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(text: &str) -> Result<Reach, Error> {
        Address::parse(text, "team-a").map(|address| address.reach)
    }

    #[test]
    fn plain_http_stays_in_the_pod_and_the_namespace() {
        for text in [
            "http://127.0.0.1:8088/mcp",
            "http://localhost/mcp",
            "http://[::1]:80/",
            "https://127.0.0.1/mcp",
            "https://localhost:8443/mcp",
        ] {
            assert_eq!(reach(text), Ok(Reach::Loopback), "{text}");
        }
        assert_eq!(
            reach("http://weather.team-a.svc:8080/mcp"),
            Ok(Reach::Service)
        );
        assert_eq!(reach("https://mcp.example.com/mcp"), Ok(Reach::Remote));
        for text in [
            "http://10.0.0.1/mcp",
            "http://example.com",
            "http://weather.team-b.svc/mcp",
            "http://.team-a.svc/mcp",
            "http://evil.example.com.team-a.svc/mcp",
            "http://weather.team-a.svc.example.com/mcp",
        ] {
            assert!(matches!(reach(text), Err(Error::Plain { .. })), "{text}");
        }
        for text in ["/mcp", "x y", "ftp://localhost", "stdio", ""] {
            assert!(matches!(reach(text), Err(Error::NotAUrl(_))), "{text}");
        }
        assert_eq!(reach("https://me:secret@example.com/mcp"), Err(Error::User));
    }

    #[test]
    fn no_url_leads_to_the_node_or_to_a_clouds_metadata() {
        for text in [
            "https://169.254.169.254/latest",
            "https://[fe80::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://0.0.0.0/",
            "https://100.100.100.200/",
        ] {
            assert!(matches!(reach(text), Err(Error::Place { .. })), "{text}");
        }
    }

    #[test]
    fn the_old_transport_is_named_before_the_url() {
        let address = Address::parse("sse+http://127.0.0.1:8088/sse", "team-a").unwrap();
        assert!(address.sse && address.uri == "http://127.0.0.1:8088/sse");
        assert!(
            !Address::parse("http://127.0.0.1:8088/sse", "team-a")
                .unwrap()
                .sse
        );
        assert!(reach("sse+http://example.com/sse").is_err());
    }

    #[tokio::test]
    async fn a_name_of_a_server_elsewhere_cannot_lead_into_the_pod() {
        let name = || "localhost".parse::<Name>().unwrap();
        let error = Resolver(Reach::Remote).look_up(name()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "localhost has no address that may be connected to: it must not lead to a loopback address"
        );
        assert!(Resolver(Reach::Service).look_up(name()).await.is_err());
        let mut own = Resolver(Reach::Loopback).look_up(name()).await.unwrap();
        assert!(own.next().unwrap().ip().is_loopback());
    }
}
