//! Signed tokens: JSON Web Tokens in the compact form (RFC 7515, RFC 7519), with the checks of RFC 8725. Pure.
//!
//! Reading a token says nothing about it: only [`Unverified::verify`] gives claims out, after the signature was checked
//! with a key of the issuer, by an algorithm that is made for that key. There is no `none`, and no algorithm with a
//! shared secret: a public key can therefore never be used as one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::jwks::{KeySet, NotVerified};
use crate::json;

/// The longest token, in bytes.
pub const LONGEST: usize = 16 * 1024;
/// How far the clocks of issuer and gateway may be apart, in seconds.
pub const SKEW: i64 = 60;

/// What header and claims may look like.
const LIMITS: json::Limits = json::Limits {
    depth: 16,
    recorded_depth: 0,
    recorded: 16,
    members: 256,
    opaque: None,
};

/// Why a token is not taken. No variant repeats anything of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than [`LONGEST`].
    #[error("the token is longer than {LONGEST} bytes")]
    TooLong,
    /// Not three parts: an opaque token, an encrypted one, or none at all.
    #[error("the token is no signed JSON Web Token: it must have three parts")]
    Parts,
    /// A part is not base64url without padding.
    #[error("the token is no signed JSON Web Token: its parts must be base64url")]
    Encoding,
    /// Header or claims are not JSON that every parser reads alike.
    #[error("the token's {part} {source}")]
    Json {
        /// Which part.
        part: &'static str,
        /// Why.
        source: json::Error,
    },
    /// Header or claims are no object, or a member has another type than it must have.
    #[error("the token's {0} is missing or has the wrong type")]
    Member(&'static str),
    /// An algorithm that is not allowed, `none` and those with a shared secret above all.
    #[error(
        "the token's algorithm is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"
    )]
    Algorithm,
    /// The header has extensions that must be understood (RFC 7515, 4.1.11).
    #[error("the token's header has critical extensions, which are not supported")]
    Critical,
    /// Another sort of token, such as a logout token.
    #[error("the token's type is not JWT or at+jwt")]
    Type,
    /// The issuer is none that this server trusts.
    #[error("the token's issuer is none that this server trusts")]
    Issuer,
    /// The issuer has no such key for this algorithm.
    #[error("the token's key is none of its issuer's")]
    Key,
    /// The signature is not by the key.
    #[error("the token's signature is not valid")]
    Signature,
    /// For somebody else.
    #[error("the token's audience is not this server")]
    Audience,
    /// Over.
    #[error("the token has expired")]
    Expired,
    /// Not yet valid.
    #[error("the token is not valid yet")]
    Early,
    /// Bound to a key that a bearer does not prove to have (RFC 7800).
    #[error("the token is bound to a key, so it is no bearer token")]
    Bound,
    /// The claim that says who calls is missing or no text.
    #[error("the token does not say who calls: a claim with the identity is missing or no text")]
    Identity,
}

/// An algorithm that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// By its name in a header or a key (RFC 7518, RFC 8037; `Ed25519` is RFC 9864).
    pub fn find(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A token whose signature was not checked yet.
#[derive(Debug)]
pub struct Unverified<'t> {
    algorithm: Algorithm,
    key: Option<String>,
    claims: Claims,
    signed: &'t [u8],
    signature: Vec<u8>,
}

impl<'t> Unverified<'t> {
    /// Reads a token.
    pub fn read(token: &'t str) -> Result<Self, Error> {
        if token.len() > LONGEST {
            return Err(Error::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::Parts);
        };
        let signed = &token.as_bytes()[..header.len() + 1 + claims.len()];
        let header = object(header, "header")?;
        let algorithm = text(&header, "alg")?.ok_or(Error::Member("alg"))?;
        let algorithm = Algorithm::find(algorithm).ok_or(Error::Algorithm)?;
        if header.contains_key("crit") {
            return Err(Error::Critical);
        }
        if !text(&header, "typ")?.is_none_or(is_taken_type) {
            return Err(Error::Type);
        }
        Ok(Self {
            algorithm,
            key: text(&header, "kid")?.map(str::to_owned),
            claims: Claims(object(claims, "claims")?),
            signed,
            signature: decode(signature)?,
        })
    }

    /// Who the token says has issued it.
    pub fn issuer(&self) -> Result<&str, Error> {
        self.claims.text("iss")?.ok_or(Error::Member("iss"))
    }

    /// The claims, if the token is of the issuer whose keys these are.
    pub fn verify(&self, keys: &KeySet) -> Result<&Claims, Error> {
        if self.issuer()? != keys.issuer() {
            return Err(Error::Issuer);
        }
        keys.verify(
            self.key.as_deref(),
            self.algorithm,
            self.signed,
            &self.signature,
        )
        .map_err(|error| match error {
            NotVerified::NoKey => Error::Key,
            NotVerified::Signature => Error::Signature,
        })?;
        Ok(&self.claims)
    }
}

/// What a token says.
#[derive(Clone, Debug)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Checks that the token is for one of `audiences` and valid `now`, and says until when.
    pub fn check(&self, audiences: &[impl AsRef<str>], now: Timestamp) -> Result<Timestamp, Error> {
        let audience = self.texts("aud").ok_or(Error::Member("aud"))?;
        if !audience
            .iter()
            .any(|found| audiences.iter().any(|taken| taken.as_ref() == *found))
        {
            return Err(Error::Audience);
        }
        let ends = self.seconds("exp")?.ok_or(Error::Member("exp"))?;
        let now = now.as_second();
        if ends.saturating_add(SKEW) <= now {
            return Err(Error::Expired);
        }
        if self
            .seconds("nbf")?
            .is_some_and(|begins| begins > now.saturating_add(SKEW))
        {
            return Err(Error::Early);
        }
        if self.0.contains_key("cnf") {
            return Err(Error::Bound);
        }
        Ok(Timestamp::from_second(ends.saturating_add(SKEW)).unwrap_or(Timestamp::MAX))
    }

    /// A claim that is a text, if it is there.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, Error> {
        text(&self.0, name)
    }

    /// A claim by any name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A claim that is a text or a list of texts. `None` if it is absent or anything else.
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        match self.0.get(name)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(items) => items.iter().map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    }

    /// A point in time, which may have a fraction (RFC 7519, 2); rounded down.
    fn seconds(&self, name: &'static str) -> Result<Option<i64>, Error> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        if let Some(seconds) = value.as_i64() {
            return Ok(Some(seconds));
        }
        let seconds = value.as_f64().ok_or(Error::Member(name))?;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the cast saturates, which is the end of all times"
        )]
        Ok(Some(seconds.floor() as i64))
    }
}

/// The types of access tokens (RFC 9068), of plain tokens, and none.
fn is_taken_type(given: &str) -> bool {
    let given = given.to_ascii_lowercase();
    matches!(
        given.strip_prefix("application/").unwrap_or(&given),
        "jwt" | "at+jwt"
    )
}

fn decode(part: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Encoding)
}

fn object(part: &str, name: &'static str) -> Result<Map<String, Value>, Error> {
    let bytes = decode(part)?;
    json::Document::scan(&bytes, LIMITS).map_err(|source| Error::Json { part: name, source })?;
    serde_json::from_slice(&bytes).map_err(|_| Error::Member(name))
}

fn text<'m>(map: &'m Map<String, Value>, name: &'static str) -> Result<Option<&'m str>, Error> {
    match map.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::Member(name)),
    }
}

#[cfg(test)]
mod tests;
