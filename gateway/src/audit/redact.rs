//! What is left out of audit lines, by `audit.redact`: arguments by their names, fields of the line by `@field`. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::Record;
use access::hex;

/// What stands in the place of a field.
const REDACTED: &str = "redacted";

/// What a server has left out, prepared once for a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    fields: Vec<String>,
    arguments: Vec<String>,
}

impl Redaction {
    /// Of the entries of `audit.redact`.
    pub fn new(entries: &[String]) -> Self {
        let (fields, arguments) = entries
            .iter()
            .cloned()
            .partition(|entry| entry.starts_with('@'));
        Self { fields, arguments }
    }

    /// SHA-256 of arguments: of their source text, or of what is left of it without the members that are left out,
    /// sorted by name. `None` if the hash is to be left out as well.
    pub fn hash(&self, arguments: &[u8]) -> Option<String> {
        if self.leaves_out("@arguments") {
            return None;
        }
        if self.arguments.is_empty() {
            return Some(hex(&Sha256::digest(arguments)));
        }
        let mut members: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(arguments).ok()?;
        members.retain(|name, _| !self.arguments.iter().any(|hidden| hidden == name));
        let rest = serde_json::to_vec(&members).ok()?;
        Some(hex(&Sha256::digest(rest)))
    }

    /// Takes out of a line what must not be in it.
    pub fn apply(&self, record: &mut Record) {
        if self.fields.is_empty() {
            return;
        }
        let fields = [
            ("@principal", &mut record.principal),
            ("@agent", &mut record.agent),
            ("@name", &mut record.name),
            ("@session", &mut record.session),
        ];
        for (name, value) in fields {
            if value.is_some() && self.leaves_out(name) {
                *value = Some(REDACTED.to_owned());
            }
        }
    }

    fn leaves_out(&self, field: &str) -> bool {
        self.fields.iter().any(|name| name == field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction(entries: &[&str]) -> Redaction {
        Redaction::new(
            &entries
                .iter()
                .map(|entry| (*entry).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_hash_does_not_depend_on_what_is_left_out() {
        let hidden = redaction(&["password"]);
        let one = hidden.hash(br#"{"user": "alice", "password": "1"}"#);
        assert!(one.is_some());
        assert_eq!(one, hidden.hash(br#"{"p\u0061ssword":"2","user":"alice"}"#));
        assert_eq!(one, hidden.hash(br#"{"user":"alice"}"#));
        assert_ne!(one, hidden.hash(br#"{"user":"bob","password":"1"}"#));
    }

    #[test]
    fn without_names_the_hash_is_that_of_the_source_text() {
        let text = br#"{"a": 1.0}"#;
        assert_eq!(redaction(&[]).hash(text), Some(hex(&Sha256::digest(text))));
        assert_eq!(redaction(&["@arguments"]).hash(text), None);
    }

    #[test]
    fn arguments_that_cannot_be_taken_apart_have_no_hash() {
        assert_eq!(redaction(&["password"]).hash(b"[1]"), None);
    }

    #[test]
    fn every_field_that_admission_takes_is_left_out_here() {
        for field in api::REDACTABLE {
            let mut record = Record::example();
            let before = record.clone();
            let redaction = redaction(&[field]);
            redaction.apply(&mut record);
            let hash = redaction.hash(b"{}");
            assert!(
                hash.is_none()
                    || serde_json::to_string(&record).unwrap()
                        != serde_json::to_string(&before).unwrap(),
                "{field}"
            );
        }
    }
}
