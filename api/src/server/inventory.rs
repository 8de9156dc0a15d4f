//! What a server has to be granted: tools, prompts, resources.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::access::{SideEffect, Trust};

/// A tool that may be granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Name, as the server lists it.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9_./-]+$"))]
    pub name: String,
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Trust that a call needs. low when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_trust: Option<Trust>,
    /// What a call does to the world. read when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_effect: Option<SideEffect>,
    /// OAuth scopes that a call needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    pub scopes: Vec<String>,
    /// Labels, for selectors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Hashes of the approved definitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pins_schema")]
    pub pin: Option<Pins>,
}

impl Tool {
    /// The hashes of the approved definitions.
    pub fn pins(&self) -> &[String] {
        match &self.pin {
            None => &[],
            Some(Pins::One(pin)) => std::slice::from_ref(pin),
            Some(Pins::Many(pins)) => pins,
        }
    }
}

/// One approved definition, or several during a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pins {
    /// One hash.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// A prompt or a resource that may be granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedItem {
    /// Name of the prompt, or URI of the resource.
    #[schemars(length(min = 1, max = 2048))]
    pub name: String,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Labels, for selectors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Either a string or a list; the rules say what the string must be (MCP0504).
fn pins_schema(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}
