//! Definitions of tools, as the server lists them: their hash, what is suspicious in them, and which of their
//! arguments are repeated in headers. Pure.
//!
//! The hash is the SHA-256 of the RFC 8785 form of the members [`PINNED`], so it does not depend on order, spaces or
//! escapes, and changes with everything that a model or a person is told of the tool.

mod canonical;
pub mod hygiene;
pub mod params;

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::json::{self, Document, Kind, Limits, Value};
use hygiene::Finding;
use params::Param;

/// The members of a definition that a pin covers.
pub const PINNED: &[&str] = &[
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
];

/// Why a definition has no hash. It then equals no pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON that every parser reads alike.
    #[error("the definition {0}")]
    Json(#[from] json::Error),
    /// Not an object with a name.
    #[error("the definition must be an object with a name")]
    NoName,
    /// A key that some parsers take for one that the hash covers.
    #[error("a key of the definition differs from {0:?} only in case")]
    CaseVariant(&'static str),
    /// A number that is too large for any number of JSON's readers.
    #[error("the definition has a number that is out of range")]
    Number,
}

/// One tool, as the server defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub hash: String,
    /// The canonical form that was hashed.
    pub text: String,
    /// What is suspicious in it, each sort once.
    pub findings: Vec<Finding>,
    /// Arguments that calls repeat in headers.
    pub params: Vec<Param>,
}

/// The hash of an entry of `tools/list`, by its source text.
pub fn hash(entry: &[u8]) -> Result<String, Error> {
    let document = Document::scan(entry, Limits::DEFINITION)?;
    Ok(hash_of(&canonical_form(document.root())?))
}

impl Definition {
    /// Reads an entry of `tools/list`.
    pub fn read(entry: &[u8]) -> Result<Self, Error> {
        let document = Document::scan(entry, Limits::DEFINITION)?;
        let root = document.root();
        let text = canonical_form(root)?;
        let name = root
            .get("name")
            .and_then(Value::as_str)
            .ok_or(Error::NoName)?;
        let mut findings = BTreeSet::new();
        look(root, &mut findings);
        if text.len() > hygiene::LONGEST {
            findings.insert(Finding::Oversized);
        }
        Ok(Self {
            name: name.into_owned(),
            hash: hash_of(&text),
            findings: findings.into_iter().collect(),
            params: root
                .get("inputSchema")
                .map(params::of_schema)
                .unwrap_or_default(),
            text,
        })
    }
}

fn canonical_form(root: Value<'_>) -> Result<String, Error> {
    if root.kind() != Kind::Object || root.get("name").is_none() {
        return Err(Error::NoName);
    }
    if let Some((_, expected)) = root.case_variant(PINNED) {
        return Err(Error::CaseVariant(expected));
    }
    let pinned = root
        .children()
        .filter_map(|member| Some((member.key()?, member)))
        .filter(|(key, _)| PINNED.contains(&key.as_ref()))
        .collect();
    let mut text = String::with_capacity(root.raw().len());
    canonical::members(pinned, &mut text)?;
    Ok(text)
}

fn hash_of(text: &str) -> String {
    format!("sha256:{:x}", Sha256::digest(text.as_bytes()))
}

/// Looks at every text in a value, keys included: a model is shown all of it.
fn look(value: Value<'_>, findings: &mut BTreeSet<Finding>) {
    if let Some(key) = value.key() {
        findings.extend(hygiene::of_text(&key));
    }
    if let Some(text) = value.as_str() {
        findings.extend(hygiene::of_text(&text));
    }
    for child in value.children() {
        look(child, findings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: &str = r#"{"name":"echo","description":"Echoes","inputSchema":{"type":"object","properties":{"n":{"type":"number","default":1.0}}}}"#;

    fn read(text: &str) -> Definition {
        Definition::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_hash_is_of_what_it_says_and_not_of_how_it_is_written() {
        let definition = read(ECHO);
        assert_eq!(
            definition.text,
            r#"{"description":"Echoes","inputSchema":{"properties":{"n":{"default":1,"type":"number"}},"type":"object"},"name":"echo"}"#
        );
        let same = r#" { "inputSchema":{"properties":{"n":{"default":1e0,"type":"number"}},"type":"object"},
            "icons":[], "_meta":{"x":1}, "name":"\u0065cho", "description":"Echoes" } "#;
        assert_eq!(read(same).hash, definition.hash);
        assert_eq!(hash(ECHO.as_bytes()).as_ref(), Ok(&definition.hash));
        assert_eq!(definition.hash.len(), "sha256:".len() + 64);
    }

    #[test]
    fn every_pinned_member_changes_the_hash() {
        let hash = read(ECHO).hash;
        for changed in [
            ECHO.replace("Echoes", "Echoes!"),
            ECHO.replace("\"echo\"", "\"ecko\""),
            ECHO.replace("1.0", "2"),
            ECHO.replacen('{', r#"{"title":"Echo","#, 1),
            ECHO.replacen('{', r#"{"title":null,"#, 1),
            ECHO.replacen('{', r#"{"annotations":{"readOnlyHint":true},"#, 1),
            ECHO.replacen('{', r#"{"outputSchema":{},"#, 1),
        ] {
            assert_ne!(read(&changed).hash, hash, "{changed}");
        }
    }

    #[test]
    fn what_two_parsers_read_differently_has_no_hash() {
        for text in [
            ECHO.replacen('{', r#"{"Description":"other","#, 1),
            ECHO.replacen('{', r#"{"description":"other","#, 1),
            ECHO.replace("1.0", "1e999"),
            "[]".to_owned(),
            r#"{"title":"x"}"#.to_owned(),
        ] {
            assert!(Definition::read(text.as_bytes()).is_err(), "{text}");
            assert!(hash(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn hidden_text_is_found_wherever_it_stands() {
        assert_eq!(read(ECHO).findings, []);
        for text in [
            ECHO.replace("Echoes", "Echoes\\u200b"),
            ECHO.replace("\"n\"", "\"n\u{200b}\""),
            ECHO.replacen('{', "{\"annotations\":{\"title\":\"\u{200b}\"},", 1),
            ECHO.replacen('{', "{\"_meta\":{\"x\":[\"\u{200b}\"]},", 1),
        ] {
            assert_eq!(read(&text).findings, [Finding::Invisible], "{text}");
        }
        let long = ECHO.replace("Echoes", &"x".repeat(hygiene::LONGEST));
        assert_eq!(read(&long).findings, [Finding::Oversized]);
    }
}
