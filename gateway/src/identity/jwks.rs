//! The public keys of an issuer (RFC 7517), and what each of them may be used for. Pure.
//!
//! A key verifies one family of algorithms: RSA keys those of RSA, a curve's keys those of the curve. What cannot be
//! used (secrets, encryption keys, unknown curves) is left out while reading, so it can never be picked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

use super::jwt::Algorithm;

/// Most keys of one issuer that are looked at.
const MOST: usize = 64;

/// Why a document gives no keys.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a set of keys.
    #[error("the key set is not of the form of RFC 7517: {0}")]
    Syntax(#[from] serde_json::Error),
    /// None that can be used.
    #[error(
        "the key set has no key that can be used: none is for signatures with RSA, P-256, P-384 or Ed25519"
    )]
    Empty,
}

/// Why a signature is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotVerified {
    /// No key has this id and is made for the algorithm.
    NoKey,
    /// The signature is not by the key.
    Signature,
}

/// The keys of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    issuer: String,
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A key as it stands in a document. Members of other types make the key unusable, not the set.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads the key set of an issuer.
    pub fn read(issuer: impl Into<String>, document: &[u8]) -> Result<Self, Error> {
        let set: Jwks = serde_json::from_slice(document)?;
        let keys: Vec<Key> = set
            .keys
            .into_iter()
            .take(MOST)
            .filter_map(|key| Key::read(serde_json::from_value(key).ok()?))
            .collect();
        if keys.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self {
            issuer: issuer.into(),
            keys,
        })
    }

    /// Whose keys they are: the `iss` of the tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Checks a signature. A token that names no key is taken only where one key alone comes into question.
    pub fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), NotVerified> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| id.is_none_or(|id| key.id.as_deref() == Some(id)))
            .filter(|key| key.is_for(algorithm));
        let first = fitting.next().ok_or(NotVerified::NoKey)?;
        let mut others = fitting.peekable();
        if id.is_none() && others.peek().is_some() {
            return Err(NotVerified::NoKey);
        }
        std::iter::once(first)
            .chain(others)
            .any(|key| key.material.verifies(algorithm, message, signature))
            .then_some(())
            .ok_or(NotVerified::Signature)
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        let for_signatures = jwk.r#use.is_none_or(|r#use| r#use == "sig")
            && jwk
                .key_ops
                .is_none_or(|all| all.iter().any(|op| op == "verify"));
        if !for_signatures {
            return None;
        }
        let algorithm = match &jwk.alg {
            None => None,
            Some(name) => Some(Algorithm::find(name)?),
        };
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Material::Rsa {
                n: without_zeros(bytes(jwk.n)?),
                e: without_zeros(bytes(jwk.e)?),
            },
            ("EC", Some("P-256")) => Material::P256(point(&bytes(jwk.x)?, &bytes(jwk.y)?, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(&bytes(jwk.x)?, &bytes(jwk.y)?, 48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(jwk.x).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        let key = Self {
            id: jwk.kid,
            algorithm,
            material,
        };
        key.algorithm
            .is_none_or(|own| key.material.is_for(own))
            .then_some(key)
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.material.is_for(algorithm)
    }
}

impl Material {
    fn is_for(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => matches!(self, Self::Rsa { .. }),
            Algorithm::Es256 => matches!(self, Self::P256(_)),
            Algorithm::Es384 => matches!(self, Self::P384(_)),
            Algorithm::EdDsa => matches!(self, Self::Ed25519(_)),
        }
    }

    /// RSA keys below 2048 bits verify nothing.
    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }
                    .verify(parameters, message, signature)
                    .is_ok()
            }),
            Self::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok(),
            Self::P384(point) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                .verify(message, signature)
                .is_ok(),
            Self::Ed25519(x) => UnparsedPublicKey::new(&ED25519, x)
                .verify(message, signature)
                .is_ok(),
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
    })
}

/// Some issuers write leading zeros, which `ring` does not take.
fn without_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    bytes
}

/// An uncompressed point (SEC 1, 2.3.3). Coordinates always have their full length (RFC 7518, 6.2.1.2).
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[4], x, y].concat())
}
