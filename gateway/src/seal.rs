//! Session ids of the legacy era, as callers see them: the server's own id, sealed together with whose it is.
//!
//! Nobody but the principal to whom a session was given can use it, whatever else he knows; an id that was not made
//! here is none. The key is made when the process starts, so ids of an earlier process are unknown and the client
//! initialises again, as MCP says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

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
    /// Not made by this process for this principal.
    #[error("the MCP session is unknown: initialize again")]
    Unknown,
}

/// Makes and opens ids.
pub struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// With a new key.
    pub fn new() -> Result<Self, Error> {
        let random = SystemRandom::new();
        let mut bytes = [0; 32];
        random.fill(&mut bytes).map_err(|_| Error::Random)?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| Error::Random)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            random,
        })
    }

    /// The id to give to `principal` for the server's id `upstream`.
    pub fn seal(&self, upstream: &str, principal: &str) -> Result<String, Error> {
        if upstream.len() > LONGEST {
            return Err(Error::TooLong);
        }
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| Error::Random)?;
        let mut sealed = upstream.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(principal),
                &mut sealed,
            )
            .map_err(|_| Error::TooLong)?;
        let mut out = nonce.to_vec();
        out.append(&mut sealed);
        Ok(URL_SAFE_NO_PAD.encode(out))
    }

    /// The server's id behind an id that `principal` sent.
    pub fn open(&self, id: &str, principal: &str) -> Result<String, Error> {
        if id.len() > 2 * LONGEST {
            return Err(Error::Unknown);
        }
        let bytes = URL_SAFE_NO_PAD.decode(id).map_err(|_| Error::Unknown)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or(Error::Unknown)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Unknown)?;
        let mut sealed = sealed.to_vec();
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(principal), &mut sealed)
            .map_err(|_| Error::Unknown)?;
        String::from_utf8(opened.to_vec()).map_err(|_| Error::Unknown)
    }
}

/// An id that nobody can guess.
pub fn random_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_principal_opens_its_session() {
        let sealer = Sealer::new().unwrap();
        let id = sealer.seal("upstream-1", "alice").unwrap();
        assert_eq!(sealer.open(&id, "alice").unwrap(), "upstream-1");
        assert_eq!(sealer.open(&id, "bob"), Err(Error::Unknown));
        assert_eq!(
            Sealer::new().unwrap().open(&id, "alice"),
            Err(Error::Unknown)
        );
        assert!(!id.contains("upstream"));
    }

    #[test]
    fn two_sessions_of_one_id_look_different() {
        let sealer = Sealer::new().unwrap();
        assert_ne!(
            sealer.seal("s", "alice").unwrap(),
            sealer.seal("s", "alice").unwrap()
        );
    }

    #[test]
    fn whatever_was_not_made_here_is_unknown() {
        let sealer = Sealer::new().unwrap();
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
