//! Session ids of the legacy era, as callers see them: the server's own id, sealed together with whose it is and which
//! pod has it.
//!
//! Nobody but the principal to whom a session was given can use it, whatever else he knows; an id that was not made by a
//! gateway of this server is none. The key is the server's ([`keys`](crate::keys)), so an id outlives the process that
//! made it. Where there is none, the key ends with the process, ids of an earlier one are unknown, and the client
//! initialises again, as MCP says.

use std::net::SocketAddr;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::{self, Keys, Purpose};

/// The longest id of a server that is taken, in bytes.
const LONGEST: usize = 1024;

/// Why an id could not be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The system has no random numbers.
    #[error("the system gave no random numbers")]
    Random,
    /// The server's id is longer than any that MCP servers give.
    #[error("the server's session id is longer than {LONGEST} bytes")]
    TooLong,
    /// Not made by a gateway of this server for this principal.
    #[error("the MCP session is unknown: initialize again")]
    Unknown,
}

/// What is in an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The server's own id.
    pub upstream: String,
    /// Which pod has it.
    pub pod: Pod,
}

/// The pod that has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pod {
    /// This one.
    Own,
    /// Another one, whose gateway is at this address.
    Other(SocketAddr),
}

/// Makes and opens ids.
#[derive(Debug)]
pub struct Sealer {
    keys: ArcSwap<Keys>,
    own: Option<SocketAddr>,
}

impl Sealer {
    /// With a key that ends with the process. `own` is where the other gateways of the server find this one.
    pub fn new(own: Option<SocketAddr>) -> Result<Self, keys::Error> {
        Ok(Self {
            keys: ArcSwap::from_pointee(Keys::random()?),
            own,
        })
    }

    /// Uses these keys from now on; what was sealed before still opens.
    pub fn take(&self, new: Keys) {
        let before = self.keys.load_full();
        if !new.same(&before) {
            tracing::info!("the server's key is in use");
            self.keys.store(new.after(&before).into());
        }
    }

    /// The keys in use.
    pub fn keys(&self) -> impl std::ops::Deref<Target = std::sync::Arc<Keys>> {
        self.keys.load()
    }

    /// Where the other gateways of the server find this one.
    pub fn own(&self) -> Option<SocketAddr> {
        self.own
    }

    /// The id to give to `principal` for the server's id `upstream`.
    pub fn seal(&self, upstream: &str, principal: &str) -> Result<String, Error> {
        if upstream.len() > LONGEST {
            return Err(Error::TooLong);
        }
        let pod = self.own.map(|own| own.to_string()).unwrap_or_default();
        let text = format!("{pod} {upstream}");
        let sealed = self
            .keys
            .load()
            .seal(Purpose::Session, principal.as_bytes(), text.as_bytes());
        sealed
            .map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
            .map_err(|_| Error::Random)
    }

    /// The session behind an id that `principal` sent.
    pub fn open(&self, id: &str, principal: &str) -> Result<Session, Error> {
        if id.len() > 2 * LONGEST {
            return Err(Error::Unknown);
        }
        let sealed = URL_SAFE_NO_PAD.decode(id).map_err(|_| Error::Unknown)?;
        let keys = self.keys.load();
        let text = keys.open(Purpose::Session, principal.as_bytes(), &sealed);
        let text = text.and_then(|text| String::from_utf8(text).ok());
        let text = text.ok_or(Error::Unknown)?;
        let (pod, upstream) = text.split_once(' ').ok_or(Error::Unknown)?;
        let pod = match (pod, self.own) {
            ("", None) => Pod::Own,
            (pod, own) => match pod.parse().map_err(|_| Error::Unknown)? {
                pod if Some(pod) == own => Pod::Own,
                pod => Pod::Other(pod),
            },
        };
        Ok(Session {
            upstream: upstream.to_owned(),
            pod,
        })
    }
}

/// An id that nobody can guess.
pub fn random_id() -> Result<String, Error> {
    let bytes: [u8; 16] = keys::number().map_err(|_| Error::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(sealer: &Sealer, id: &str, principal: &str) -> Result<String, Error> {
        sealer.open(id, principal).map(|session| session.upstream)
    }

    #[test]
    fn only_the_principal_opens_its_session() {
        let sealer = Sealer::new(None).unwrap();
        let id = sealer.seal("upstream-1", "alice").unwrap();
        assert_eq!(opened(&sealer, &id, "alice").unwrap(), "upstream-1");
        assert_eq!(opened(&sealer, &id, "bob"), Err(Error::Unknown));
        let other = Sealer::new(None).unwrap();
        assert_eq!(opened(&other, &id, "alice"), Err(Error::Unknown));
        assert!(!id.contains("upstream"));
    }

    #[test]
    fn two_sessions_of_one_id_look_different() {
        let sealer = Sealer::new(None).unwrap();
        assert_ne!(
            sealer.seal("s", "alice").unwrap(),
            sealer.seal("s", "alice").unwrap()
        );
    }

    #[test]
    fn an_id_says_which_pod_of_the_server_has_the_session() {
        let key = || Keys::of([[1; 32].as_slice()]).unwrap();
        let [one, two] = [1, 2].map(|last| {
            let own = SocketAddr::from(([10, 0, 0, last], 8091));
            let sealer = Sealer::new(Some(own)).unwrap();
            sealer.take(key());
            sealer
        });
        let id = one.seal("a b", "alice").unwrap();
        let here = one.open(&id, "alice").unwrap();
        assert_eq!((here.upstream.as_str(), here.pod), ("a b", Pod::Own));
        let there = two.open(&id, "alice").unwrap();
        assert_eq!(there.pod, Pod::Other(one.own.unwrap()));
        assert_eq!(two.open(&id, "bob"), Err(Error::Unknown));
    }

    #[test]
    fn an_id_outlives_its_process_and_one_change_of_the_key() {
        let sealer = |secrets: &[[u8; 32]]| {
            let sealer = Sealer::new(None).unwrap();
            let secrets = secrets.iter().map(<[u8; 32]>::as_slice);
            sealer.take(Keys::of(secrets).unwrap());
            sealer
        };
        let id = sealer(&[[1; 32]]).seal("s", "alice").unwrap();
        assert!(sealer(&[[1; 32]]).open(&id, "alice").is_ok());
        assert!(sealer(&[[2; 32], [1; 32]]).open(&id, "alice").is_ok());
        assert!(sealer(&[[2; 32]]).open(&id, "alice").is_err());
        let running = Sealer::new(None).unwrap();
        let early = running.seal("s", "alice").unwrap();
        running.take(Keys::of([[1; 32].as_slice()]).unwrap());
        assert!(running.open(&early, "alice").is_ok());
        assert!(running.open(&id, "alice").is_ok());
    }

    #[test]
    fn whatever_was_not_made_here_is_unknown() {
        let sealer = Sealer::new(None).unwrap();
        let id = sealer.seal("s", "alice").unwrap();
        let mut bent = id.clone().into_bytes();
        bent[20] = if bent[20] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bent).unwrap();
        for id in [
            "",
            "upstream-1",
            "AAAA",
            "====",
            &bent,
            &id[..id.len() - 1],
            &"A".repeat(4000),
        ] {
            assert_eq!(sealer.open(id, "alice"), Err(Error::Unknown), "{id}");
        }
        assert_eq!(sealer.seal(&"x".repeat(2000), "alice"), Err(Error::TooLong));
    }
}
