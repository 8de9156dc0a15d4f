//! What the CA Secret holds, and the bundle that follows from it. Pure.
//!
//! Replicas sign with [`Contents::current`]; clients of the webhook trust all three. A rotation adds `next`, makes it
//! `current` when every client can know it, and keeps the old one as `previous` until no replica signs with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;

use super::authority::{Authority, Error, Root};

/// Entry of the Secret: the CA certificate that replicas sign with.
pub const CERTIFICATE_KEY: &str = "tls.crt";
/// Entry of the Secret: its private key.
pub const PRIVATE_KEY: &str = "tls.key";
/// Entry of the Secret: the CA certificate that will follow, already trusted.
pub const NEXT_CERTIFICATE_KEY: &str = "next-ca.crt";
/// Entry of the Secret: its private key.
pub const NEXT_PRIVATE_KEY: &str = "next-ca.key";
/// Entry of the Secret: the CA certificate before this one, still trusted.
pub const PREVIOUS_KEY: &str = "previous-ca.crt";

/// The CA in use and its neighbours in time.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The CA that replicas sign with.
    pub current: Arc<Authority>,
    /// The CA that will follow.
    pub next: Option<Arc<Authority>>,
    /// The CA before the present one.
    pub previous: Option<Root>,
}

impl Contents {
    /// One CA alone.
    pub fn sole(current: Authority) -> Self {
        Self {
            current: Arc::new(current),
            next: None,
            previous: None,
        }
    }

    /// Reads the entries of the Secret. A `next` or `previous` that cannot be read is left out: the CA in use does not
    /// depend on them, and the leader makes another `next` when one is due.
    pub fn read(data: &BTreeMap<String, ByteString>) -> Result<Self, Error> {
        let current = authority(data, [CERTIFICATE_KEY, PRIVATE_KEY])?;
        let next = authority(data, [NEXT_CERTIFICATE_KEY, NEXT_PRIVATE_KEY]).ok();
        let previous = data.get(PREVIOUS_KEY);
        Ok(Self {
            current: Arc::new(current),
            next: next.map(Arc::new),
            previous: previous.and_then(|text| Root::parse(&text.0).ok()),
        })
    }

    /// The entries of the Secret.
    pub fn entries(&self) -> BTreeMap<String, ByteString> {
        let mut entries = vec![
            (CERTIFICATE_KEY, self.current.root().pem()),
            (PRIVATE_KEY, self.current.key_pem()),
        ];
        if let Some(next) = &self.next {
            entries.push((NEXT_CERTIFICATE_KEY, next.root().pem()));
            entries.push((NEXT_PRIVATE_KEY, next.key_pem()));
        }
        if let Some(previous) = &self.previous {
            entries.push((PREVIOUS_KEY, previous.pem()));
        }
        entries
            .into_iter()
            .map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())))
            .collect()
    }

    /// What clients of the webhook trust, as PEM: the CA in use, the next one and the previous one.
    pub fn bundle(&self) -> ByteString {
        let next = self.next.as_ref().map(|next| next.root());
        let roots = [Some(self.current.root()), next, self.previous.as_ref()];
        let text: String = roots.into_iter().flatten().map(Root::pem).collect();
        ByteString(text.into_bytes())
    }
}

fn authority(
    data: &BTreeMap<String, ByteString>,
    names: [&'static str; 2],
) -> Result<Authority, Error> {
    let entry = |name: &'static str| data.get(name).ok_or(Error::Missing(name));
    Authority::parse(&entry(names[0])?.0, &entry(names[1])?.0, names)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn made() -> Authority {
        Authority::generate(Timestamp::now()).unwrap()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let contents = Contents {
            current: Arc::new(made()),
            next: Some(Arc::new(made())),
            previous: Some(made().root().clone()),
        };
        let again = Contents::read(&contents.entries()).unwrap();
        assert_eq!(again.bundle(), contents.bundle());
        assert_eq!(again.entries(), contents.entries());
    }

    #[test]
    fn a_missing_entry_is_named() {
        let mut entries = Contents::sole(made()).entries();
        entries.remove(PRIVATE_KEY);
        assert!(matches!(
            Contents::read(&entries),
            Err(Error::Missing(PRIVATE_KEY))
        ));
    }

    #[test]
    fn rubbish_beside_a_good_ca_never_reaches_the_bundle() {
        let contents = Contents::sole(made());
        let mut entries = contents.entries();
        for name in [PREVIOUS_KEY, NEXT_CERTIFICATE_KEY, NEXT_PRIVATE_KEY] {
            entries.insert(name.to_owned(), ByteString(b"rubbish".to_vec()));
        }
        let read = Contents::read(&entries).unwrap();
        assert_eq!(read.bundle(), contents.bundle());
    }

    #[test]
    fn no_private_key_is_in_the_bundle() {
        let contents = Contents {
            next: Some(Arc::new(made())),
            ..Contents::sole(made())
        };
        let bundle = String::from_utf8(contents.bundle().0).unwrap();
        assert!(!bundle.contains("PRIVATE"), "{bundle}");
    }
}
