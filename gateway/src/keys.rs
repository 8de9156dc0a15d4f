//! The keys of one server, which only its gateways know: made from the 32 bytes that the operator keeps in the Secret
//! `<server>-upstream`. [`seal`](crate::seal) and [`peers`](crate::peers) use them; nobody else sees them.
//!
//! The Secret is mounted, so no gateway needs a right to read Secrets, and it is read again every little while. After a
//! change the new key seals, and what the last ones sealed still opens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::names::{PREVIOUS_SESSION_KEY, SESSION_KEY, SESSION_KEY_BYTES};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};

use crate::seal::Sealer;

/// How many keys open at most: the present one, the Secret's previous one, and one that this process has used.
const MOST: usize = 3;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system has no random numbers.
    #[error("the system gave no random numbers")]
    Random,
    /// The file cannot be read.
    #[error("the file {0} of the server's key cannot be read: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file holds something else.
    #[error(
        "the file {path} must hold a key of {SESSION_KEY_BYTES} bytes, it holds {found}: delete the Secret, the operator makes it anew"
    )]
    Length {
        /// Which file.
        path: PathBuf,
        /// How many bytes are in it.
        found: usize,
    },
}

/// What a key is for. What was sealed for one purpose does not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Session ids that callers hold.
    Session,
    /// Requests that one gateway hands to another.
    Peer,
}

/// The keys derived from one secret.
struct Key {
    session: LessSafeKey,
    peer: LessSafeKey,
    /// Tells two secrets apart without keeping them.
    fingerprint: [u8; 32],
}

impl Key {
    fn new(secret: &[u8]) -> Result<Self, Error> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"kubectl-mcp gateway").extract(secret);
        let key = |purpose: &[u8]| -> Result<LessSafeKey, Error> {
            let info = [purpose];
            let made = root.expand(&info, &CHACHA20_POLY1305);
            let made = made.map_err(|_| Error::Random)?;
            Ok(LessSafeKey::new(UnboundKey::from(made)))
        };
        let mut fingerprint = [0; 32];
        root.expand(&[b"fingerprint"], hkdf::HKDF_SHA256)
            .and_then(|made| made.fill(&mut fingerprint))
            .map_err(|_| Error::Random)?;
        Ok(Self {
            session: key(b"session id")?,
            peer: key(b"between gateways")?,
            fingerprint,
        })
    }

    fn of(&self, purpose: Purpose) -> &LessSafeKey {
        match purpose {
            Purpose::Session => &self.session,
            Purpose::Peer => &self.peer,
        }
    }
}

/// The keys that are known, the present one first.
pub struct Keys {
    known: Vec<Arc<Key>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.known.len())
    }
}

impl Keys {
    /// A key that ends with the process.
    pub fn random() -> Result<Self, Error> {
        let secret: [u8; SESSION_KEY_BYTES] = number()?;
        Self::of([secret.as_slice()])
    }

    /// Of these secrets, the present one first.
    pub fn of<'s>(secrets: impl IntoIterator<Item = &'s [u8]>) -> Result<Self, Error> {
        let known = secrets.into_iter().map(|s| Key::new(s).map(Arc::new));
        Ok(Self {
            known: known.collect::<Result<_, _>>()?,
        })
    }

    /// The mounted key and the one before it; `None` as long as there is none.
    pub fn read(directory: &Path) -> Result<Option<Self>, Error> {
        let Some(present) = secret(&directory.join(SESSION_KEY))? else {
            return Ok(None);
        };
        let previous = secret(&directory.join(PREVIOUS_SESSION_KEY))?;
        let secrets = std::iter::once(&present).chain(&previous);
        Self::of(secrets.map(Vec::as_slice)).map(Some)
    }

    /// Whether the present keys are the same.
    pub fn same(&self, other: &Self) -> bool {
        let first = |keys: &Self| keys.known.first().map(|key| key.fingerprint);
        first(self) == first(other)
    }

    /// These keys, and behind them those that were known before.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        for key in &before.known {
            let new = self.known.iter().all(|k| k.fingerprint != key.fingerprint);
            if new && self.known.len() < MOST {
                self.known.push(Arc::clone(key));
            }
        }
        self
    }

    /// Seals `text` under the present key; `beside` must be the same when it is opened.
    pub fn seal(&self, purpose: Purpose, beside: &[u8], text: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.known.first().ok_or(Error::Random)?;
        let nonce: [u8; NONCE_LEN] = number()?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + text.len() + CHACHA20_POLY1305.tag_len());
        sealed.extend(text);
        let tag = key.of(purpose).seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(beside),
            &mut sealed,
        );
        sealed.extend(tag.map_err(|_| Error::Random)?.as_ref());
        sealed.extend(nonce);
        Ok(sealed)
    }

    /// What was sealed for this purpose, by any known key.
    pub fn open(&self, purpose: Purpose, beside: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (sealed, nonce) = sealed.split_last_chunk::<NONCE_LEN>()?;
        self.known.iter().find_map(|key| {
            let mut text = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = key
                .of(purpose)
                .open_in_place(nonce, Aad::from(beside), &mut text);
            let length = opened.ok()?.len();
            text.truncate(length);
            Some(text)
        })
    }
}

/// A number that nobody can guess.
pub fn number<const N: usize>() -> Result<[u8; N], Error> {
    let mut number = [0; N];
    SystemRandom::new()
        .fill(&mut number)
        .map_err(|_| Error::Random)?;
    Ok(number)
}

/// The bytes of a mounted key, if there is one.
fn secret(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(bytes) if bytes.len() == SESSION_KEY_BYTES => Ok(Some(bytes)),
        Ok(bytes) => Err(Error::Length {
            path: path.to_owned(),
            found: bytes.len(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Read(path.to_owned(), error)),
    }
}

/// Follows the mounted key for ever. What cannot be read leaves the last keys in use, and is logged once.
pub async fn follow(sealer: Arc<Sealer>, directory: PathBuf, every: Duration) {
    let mut failing = false;
    loop {
        match Keys::read(&directory) {
            Ok(found) => {
                failing = false;
                if let Some(keys) = found {
                    sealer.take(keys);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "the last key stays in use");
                }
            }
        }
        tokio::time::sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_the_same_purpose_only_and_beside_the_same() {
        let keys = Keys::random().unwrap();
        let sealed = keys.seal(Purpose::Session, b"alice", b"text").unwrap();
        let opened = keys.open(Purpose::Session, b"alice", &sealed);
        assert_eq!(opened.as_deref(), Some(b"text".as_slice()));
        assert_eq!(keys.open(Purpose::Peer, b"alice", &sealed), None);
        assert_eq!(keys.open(Purpose::Session, b"bob", &sealed), None);
        let other = Keys::random().unwrap();
        assert_eq!(other.open(Purpose::Session, b"alice", &sealed), None);
    }

    #[test]
    fn after_a_change_the_last_keys_still_open_and_old_ones_go() {
        let sealed = |keys: &Keys| keys.seal(Purpose::Session, b"", b"x").unwrap();
        let opens = |keys: &Keys, sealed: &[u8]| keys.open(Purpose::Session, b"", sealed).is_some();
        let first = Keys::random().unwrap();
        let old = sealed(&first);
        let second = Keys::random().unwrap().after(&first);
        assert!(opens(&second, &old) && opens(&second, &sealed(&second)));
        assert!(!opens(&first, &sealed(&second)));
        let fourth = Keys::random()
            .unwrap()
            .after(&Keys::random().unwrap().after(&second));
        assert!(!opens(&fourth, &old));
    }

    #[test]
    fn the_mounted_key_is_the_same_in_every_process() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Keys::read(folder.path()).unwrap().is_none());
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes);
        write(SESSION_KEY, &[7; SESSION_KEY_BYTES]).unwrap();
        let read = || Keys::read(folder.path()).unwrap().unwrap();
        let sealed = read().seal(Purpose::Session, b"", b"x").unwrap();
        assert!(read().same(&read()));
        write(PREVIOUS_SESSION_KEY, &[7; SESSION_KEY_BYTES]).unwrap();
        write(SESSION_KEY, &[8; SESSION_KEY_BYTES]).unwrap();
        assert!(read().open(Purpose::Session, b"", &sealed).is_some());
        write(SESSION_KEY, b"short").unwrap();
        let error = Keys::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("32 bytes, it holds 5"), "{error}");
    }
}
