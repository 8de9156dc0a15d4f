//! The webhook's own certificate authority: made, read back, and signing leaves. Pure but for randomness: no clock, no
//! client. What the CA Secret holds of it is [`super::contents`].
//!
//! The CA lives two years; each replica keeps its own leaf key in memory and signs a seven-day leaf for it, so no leaf
//! ever lies in the cluster.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SanType,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// How long a CA is valid.
pub const CA_LIFETIME: Duration = Duration::from_secs(2 * 365 * 24 * 60 * 60);
/// How long a leaf is valid.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Certificates are valid from a little before they were made, because clocks differ.
const SKEW: Duration = Duration::from_secs(60 * 60);
/// Characters in a line of PEM (RFC 7468, section 2).
const PEM_LINE: usize = 64;

/// Why there is no authority, or no leaf.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Secret lacks an entry.
    #[error("the CA Secret has no {0:?}")]
    Missing(&'static str),
    /// An entry of the Secret is not what it must be.
    #[error("{key:?} of the CA Secret is unusable: {why}")]
    Unusable {
        /// Which entry.
        key: &'static str,
        /// What the parser said. Never the content.
        why: String,
    },
    /// Key generation or signing failed.
    #[error("cannot make a certificate: {0}")]
    Generate(rcgen::Error),
    /// A name of `--service`, `--namespace` or `--url` cannot stand in a certificate.
    #[error("{name:?} must be a DNS name or an IP address: {why}")]
    Name {
        /// The name.
        name: String,
        /// What was wrong with it.
        why: String,
    },
    /// A certificate that cannot be read back.
    #[error("cannot read a certificate: {0}")]
    Read(String),
}

/// The certificate of a CA, without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(CertificateDer<'static>);

/// A CA with its private key.
pub struct Authority {
    root: Root,
    key: KeyPair,
    validity: Validity,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: Timestamp,
    /// Last moment.
    pub not_after: Timestamp,
}

/// A leaf with its key, ready for a TLS server.
#[derive(Debug)]
pub struct Leaf {
    /// The leaf alone; clients know the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// When it is valid.
    pub validity: Validity,
}

impl Validity {
    /// Renewed when two thirds of the life are over, so that a third is left for whatever goes wrong.
    pub fn is_due(self, now: Timestamp) -> bool {
        let life = self.not_after.as_second() - self.not_before.as_second();
        now.as_second() >= self.not_before.as_second() + life / 3 * 2
    }

    /// Overdue when five sixths of the life are over: half of the time to renew it went by, and nobody did.
    pub fn is_overdue(self, now: Timestamp) -> bool {
        let life = self.not_after.as_second() - self.not_before.as_second();
        now.as_second() >= self.not_before.as_second() + life / 6 * 5
    }

    /// Whether its last moment is over.
    pub fn is_over(self, now: Timestamp) -> bool {
        now >= self.not_after
    }

    /// Reads it from a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|error| Error::Read(error.to_string()))?;
        let moment = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_second(time.timestamp()).map_err(|error| Error::Read(error.to_string()))
        };
        let validity = parsed.validity();
        Ok(Self {
            not_before: moment(validity.not_before)?,
            not_after: moment(validity.not_after)?,
        })
    }
}

impl Root {
    /// Reads the first certificate of a PEM text, which must be that of a CA. Whatever else the text holds is left
    /// behind, a private key above all.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(text).map_err(|error| error.to_string())?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&der).map_err(|error| error.to_string())?;
        if !parsed.is_ca() {
            return Err("it is no CA".to_owned());
        }
        Ok(Self(der))
    }

    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        let text = STANDARD.encode(&self.0);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(PEM_LINE) {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

impl Authority {
    /// A new CA. Its subject carries the moment, so that two generations are never mistaken for each other.
    pub fn generate(now: Timestamp) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Generate)?;
        let mut params = params(Vec::new(), now, CA_LIFETIME)?;
        params.distinguished_name.push(
            DnType::CommonName,
            format!("kubectl-mcp webhook CA {}", now.as_second()),
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(Error::Generate)?;
        let validity = Validity::of(certificate.der())?;
        Ok(Self {
            root: Root(certificate.der().clone()),
            key,
            validity,
        })
    }

    /// Reads a CA from its PEM texts; `names` are the entries of the Secret that errors speak of.
    pub fn parse(certificate: &[u8], key: &[u8], names: [&'static str; 2]) -> Result<Self, Error> {
        let unusable = |key: &'static str| move |why: String| Error::Unusable { key, why };
        let text =
            std::str::from_utf8(key).map_err(|error| unusable(names[1])(error.to_string()))?;
        let key = KeyPair::from_pem(text).map_err(|error| unusable(names[1])(error.to_string()))?;
        let root = Root::parse(certificate).map_err(unusable(names[0]))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&root.0)
            .map_err(|error| unusable(names[0])(error.to_string()))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(unusable(names[0])(
                "it belongs to another private key".to_owned(),
            ));
        }
        let validity = Validity::of(&root.0)?;
        Ok(Self {
            root,
            key,
            validity,
        })
    }

    /// The CA's certificate.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The private key as PEM, for the Secret alone.
    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// When the CA is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Signs a leaf with a key of its own for `names`: DNS names and IP addresses.
    pub fn sign(&self, names: &[String], now: Timestamp) -> Result<Leaf, Error> {
        let key = KeyPair::generate().map_err(Error::Generate)?;
        let sans = names
            .iter()
            .map(|name| subject_alt_name(name))
            .collect::<Result<_, _>>()?;
        let mut params = params(sans, now, LEAF_LIFETIME)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "mcp-webhook");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(&self.root.0, &self.key).map_err(Error::Generate)?;
        let leaf = params.signed_by(&key, &issuer).map_err(Error::Generate)?;
        let chain = vec![leaf.der().clone()];
        let validity = Validity::of(&chain[0])?;
        Ok(Leaf {
            chain,
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            validity,
        })
    }
}

fn subject_alt_name(name: &str) -> Result<SanType, Error> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let dns = name.try_into().map_err(|error: rcgen::Error| Error::Name {
        name: name.to_owned(),
        why: error.to_string(),
    })?;
    Ok(SanType::DnsName(dns))
}

fn params(
    names: Vec<SanType>,
    now: Timestamp,
    lifetime: Duration,
) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(Error::Generate)?;
    params.subject_alt_names = names;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
    params.not_before = epoch + seconds.saturating_sub(SKEW);
    params.not_after = epoch + seconds + lifetime;
    Ok(params)
}

/// The names under which the API server calls a Service: it verifies `NAME.NAMESPACE.svc`.
pub fn service_names(service: &str, namespace: &str) -> Vec<String> {
    vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
        format!("{service}.{namespace}"),
        service.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
    }

    fn verify(
        authority: &Authority,
        leaf: &Leaf,
        name: &str,
        at: Timestamp,
    ) -> Result<(), rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.root().pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let at =
            UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap()));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier
            .verify_server_cert(&leaf.chain[0], &[], &name, &[], at)
            .map(drop)
    }

    #[test]
    fn a_leaf_is_trusted_under_the_names_of_the_service_and_no_other() {
        let authority = Authority::generate(now()).unwrap();
        let leaf = authority
            .sign(&service_names("mcp-webhook", "kubectl-mcp-system"), now())
            .unwrap();
        verify(
            &authority,
            &leaf,
            "mcp-webhook.kubectl-mcp-system.svc",
            now(),
        )
        .unwrap();
        assert!(verify(&authority, &leaf, "mcp-webhook.other.svc", now()).is_err());
    }

    #[test]
    fn a_leaf_for_an_address_is_trusted_there() {
        let authority = Authority::generate(now()).unwrap();
        let leaf = authority.sign(&["127.0.0.1".to_owned()], now()).unwrap();
        verify(&authority, &leaf, "127.0.0.1", now()).unwrap();
    }

    #[test]
    fn another_authority_does_not_vouch_for_the_leaf() {
        let (ours, theirs) = (
            Authority::generate(now()).unwrap(),
            Authority::generate(now()).unwrap(),
        );
        let leaf = ours.sign(&["a.test".to_owned()], now()).unwrap();
        assert!(verify(&theirs, &leaf, "a.test", now()).is_err());
    }

    #[test]
    fn a_leaf_is_due_at_two_thirds_of_its_life_and_ends_after_seven_days() {
        let authority = Authority::generate(now()).unwrap();
        let leaf = authority.sign(&["a.test".to_owned()], now()).unwrap();
        let after = |hours: i64| Timestamp::from_second(now().as_second() + hours * 3600).unwrap();
        assert!(!leaf.validity.is_due(after(4 * 24)));
        assert!(leaf.validity.is_due(after(5 * 24)));
        verify(&authority, &leaf, "a.test", after(-1)).unwrap();
        verify(&authority, &leaf, "a.test", after(7 * 24 - 1)).unwrap();
        assert!(verify(&authority, &leaf, "a.test", after(7 * 24 + 1)).is_err());
    }

    #[test]
    fn a_certificate_is_overdue_with_a_sixth_of_its_life_left() {
        let authority = Authority::generate(now()).unwrap();
        let validity = authority
            .sign(&["a.test".to_owned()], now())
            .unwrap()
            .validity;
        let after = |hours: i64| Timestamp::from_second(now().as_second() + hours * 3600).unwrap();
        assert!(!validity.is_overdue(after(139)));
        assert!(validity.is_overdue(after(140)) && !validity.is_over(after(140)));
        assert!(validity.is_over(after(7 * 24)));
    }

    #[test]
    fn an_authority_read_back_signs_for_the_same_root() {
        let authority = Authority::generate(now()).unwrap();
        let (certificate, key) = (authority.root().pem(), authority.key_pem());
        let again =
            Authority::parse(certificate.as_bytes(), key.as_bytes(), ["crt", "key"]).unwrap();
        assert_eq!(again.root(), authority.root());
        let leaf = again.sign(&["a.test".to_owned()], now()).unwrap();
        verify(&authority, &leaf, "a.test", now()).unwrap();
    }

    #[test]
    fn a_key_and_a_certificate_that_do_not_belong_together_are_unusable() {
        let [ours, theirs] = [(); 2].map(|()| Authority::generate(now()).unwrap());
        let mixed = Authority::parse(
            ours.root().pem().as_bytes(),
            theirs.key_pem().as_bytes(),
            ["crt", "key"],
        );
        assert!(matches!(mixed, Err(Error::Unusable { key: "crt", .. })));
    }

    #[test]
    fn a_key_beside_the_certificate_is_left_behind() {
        let authority = Authority::generate(now()).unwrap();
        let both = format!("{}{}", authority.key_pem(), authority.root().pem());
        assert_eq!(
            Root::parse(both.as_bytes()).unwrap().pem(),
            authority.root().pem()
        );
    }

    #[test]
    fn a_leaf_is_no_root() {
        let authority = Authority::generate(now()).unwrap();
        let leaf = authority.sign(&["a.test".to_owned()], now()).unwrap();
        let pem = Root(leaf.chain[0].clone()).pem();
        assert_eq!(Root::parse(pem.as_bytes()), Err("it is no CA".to_owned()));
    }

    #[test]
    fn the_private_key_is_in_no_debug_output() {
        let authority = Authority::generate(now()).unwrap();
        assert!(!format!("{authority:?}").contains("PRIVATE"));
    }
}
