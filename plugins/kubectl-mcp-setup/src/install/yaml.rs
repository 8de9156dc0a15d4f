//! YAML in and out: the templates are read, the manifests are written.
//!
//! Written keys are sorted, with `apiVersion`, `kind` and `metadata` before the others, whatever map the JSON library
//! was built with: the same objects always give the same bytes.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::Value;

/// A template that is no YAML.
pub(crate) type Error = serde_saphyr::Error;

/// The documents of a YAML stream. YAML 1.2 booleans: `on` and `y` are words.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, Error> {
    serde_saphyr::from_multiple_with_options(text, serde_saphyr::options! { strict_booleans: true })
}

/// A YAML stream of these documents.
///
/// # Panics
/// Never: every JSON value is a YAML value.
pub fn to_yaml(objects: &[Value]) -> String {
    let documents: Vec<Sorted<'_>> = objects.iter().map(Sorted).collect();
    serde_saphyr::to_string_multiple(&documents).expect("JSON values are YAML values")
}

/// A value that serialises its maps in a fixed order.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(map) => {
                let mut entries: Vec<(&String, &Value)> = map.iter().collect();
                entries.sort_by_key(|(key, _)| (rank(key), *key));
                let mut out = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    out.serialize_entry(key, &Sorted(value))?;
                }
                out.end()
            }
            Value::Array(items) => {
                let mut out = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    out.serialize_element(&Sorted(item))?;
                }
                out.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

/// Where a key stands in its map. `name` comes first so that lists of named things can be read.
fn rank(key: &str) -> u8 {
    match key {
        "apiVersion" => 0,
        "kind" => 1,
        "name" => 2,
        "metadata" => 3,
        _ => 4,
    }
}
