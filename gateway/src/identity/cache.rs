//! Tokens that were checked a moment ago, by hash, so that a call with the same token costs no signature.
//!
//! An entry counts only under the bundle and the keys by which it was checked, and for [`LIFE`] at most. Grants and
//! sessions are asked anew for every call, so a revocation never waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::Identity;
use jiff::Timestamp;

use super::issuers::Keeper;
use super::jwks::KeySet;

/// How long an entry counts.
pub const LIFE: Duration = Duration::from_secs(60);
/// Most entries.
const MOST: usize = 1024;

/// SHA-256 of a token.
pub type Hash = [u8; 32];

/// What a valid token says.
#[derive(Debug)]
pub struct Verified {
    /// Who.
    pub identity: Identity,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// When it ends, with the allowance for clocks.
    pub until: Timestamp,
}

/// The cache. One for the process.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// Of the bundle under which all of them were made.
    sequence: u64,
    by_hash: HashMap<Hash, Entry>,
}

#[derive(Debug)]
struct Entry {
    verified: Arc<Verified>,
    keeper: Arc<Keeper>,
    keys: Arc<KeySet>,
    until: Timestamp,
}

impl Cache {
    /// What is known of a token.
    pub fn get(&self, hash: &Hash, sequence: u64, now: Timestamp) -> Option<Arc<Verified>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.sequence != sequence {
            return None;
        }
        let entry = entries.by_hash.get(hash)?;
        let counts = entry.until > now
            && entry
                .keeper
                .keys()
                .is_some_and(|keys| Arc::ptr_eq(&keys, &entry.keys));
        counts.then(|| Arc::clone(&entry.verified))
    }

    /// Remembers a token that was just checked.
    pub fn put(
        &self,
        hash: Hash,
        sequence: u64,
        now: Timestamp,
        verified: &Arc<Verified>,
        (keeper, keys): (Arc<Keeper>, Arc<KeySet>),
    ) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.sequence > sequence {
            return;
        }
        if entries.sequence < sequence {
            entries.sequence = sequence;
            entries.by_hash.clear();
        }
        if entries.by_hash.len() >= MOST {
            entries.by_hash.retain(|_, entry| entry.until > now);
        }
        if entries.by_hash.len() >= MOST {
            entries.by_hash.clear();
        }
        let until = now.checked_add(LIFE).unwrap_or(now).min(verified.until);
        entries.by_hash.insert(
            hash,
            Entry {
                verified: Arc::clone(verified),
                keeper,
                keys,
                until,
            },
        );
    }
}
