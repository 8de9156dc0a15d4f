//! The way through an object along its schema: it notes what does not fit, and takes away or replaces what could not be
//! read. Called by [`super::read`] for objects that are not right; it never says what a rule would say.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{hints, patterns};
use crate::finding::escape;
use crate::parse::near;

/// One thing that the schema has against an object.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// Path of the field.
    pub(crate) path: String,
    /// The value could not be kept: typed rules do not see it.
    pub(crate) hard: bool,
    /// The field is not in the schema at all.
    pub(crate) unknown: bool,
    /// What was given, where that is short and no secret.
    pub(crate) value: Option<String>,
    /// What it must be.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) hint: Option<String>,
}

/// The field that the schema leaves to rules.
const POD_TEMPLATE: &str = "podTemplate";

/// The most violations that are kept.
const MOST_VIOLATIONS: usize = 1000;

/// How many violations may have been noted before hints are no longer looked for.
const HINTED: usize = 100;

/// What stands at the top of every object.
pub(super) const TOP_LEVEL: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// What `metadata` may have: fields of `ObjectMeta`, of which the CRD's schema does not speak.
pub(super) const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// One way through an object.
#[derive(Default)]
pub(super) struct Walk {
    /// What was found on it.
    pub(super) violations: Vec<Violation>,
}

impl Walk {
    fn push(
        &mut self,
        path: &str,
        hard: bool,
        value: Option<&Value>,
        message: impl Into<String>,
    ) -> &mut Violation {
        let value = value.filter(|_| is_quotable(path)).and_then(short);
        let message = message.into();
        // Nobody reads more; the last place is written over, so that an object made to have many costs little.
        self.violations.truncate(MOST_VIOLATIONS - 1);
        let at = self.violations.len();
        self.violations.push(Violation {
            path: path.to_owned(),
            hard,
            unknown: false,
            value,
            message,
            hint: None,
        });
        &mut self.violations[at]
    }

    pub(super) fn hard(&mut self, path: &str, value: Option<&Value>, message: impl Into<String>) {
        self.push(path, true, value, message);
    }

    fn soft(&mut self, path: &str, value: &Value, message: impl Into<String>) {
        self.push(path, false, Some(value), message);
    }

    fn unknown<'a>(&mut self, path: &str, key: &str, known: impl Iterator<Item = &'a str>) {
        // Whoever sends hundreds of unknown fields is not helped by a hint for each.
        let meant = (self.violations.len() < HINTED)
            .then(|| near::meant(key, known))
            .flatten();
        let message = "is not a field of the schema: kubectl refuses it, other clients drop it";
        let violation = self.push(path, false, None, message);
        violation.unknown = true;
        violation.hint = meant.map(|meant| format!("did you mean '{meant}'?"));
    }

    pub(super) fn top_level(&mut self, object: &Value) {
        for key in keys(Some(object)).filter(|key| !TOP_LEVEL.contains(&key.as_str())) {
            self.unknown(&escape(key), key, TOP_LEVEL.into_iter());
        }
        for key in keys(object.get("metadata")).filter(|key| !METADATA.contains(&key.as_str())) {
            let path = format!("metadata.{}", escape(key));
            self.unknown(&path, key, METADATA.into_iter());
        }
    }

    /// Checks a value, and changes it so that it can be read. False: it must go.
    pub(super) fn value(&mut self, schema: &Value, value: &mut Value, path: &str) -> bool {
        if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            let fits = value.is_string() || value.is_i64() || value.is_u64();
            if !fits {
                self.hard(path, Some(value), "must be a number or a string");
            }
            return fits;
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => self.object(schema, value, path),
            Some("array") => self.array(schema, value, path),
            Some("string") => self.string(schema, value, path),
            Some("integer") => self.integer(schema, value, path),
            Some("number") => {
                let fits = value.is_number();
                self.is(fits, schema, value, path, "must be a number")
            }
            Some("boolean") => {
                let fits = value.is_boolean();
                self.is(fits, schema, value, path, "must be true or false")
            }
            _ => true,
        }
    }

    fn is(&mut self, fits: bool, schema: &Value, value: &Value, path: &str, message: &str) -> bool {
        if !fits {
            let hint = hints::of_type(schema, value, is_quotable(path));
            self.push(path, true, Some(value), message).hint = hint;
        }
        fits
    }

    fn object(&mut self, schema: &Value, value: &mut Value, path: &str) -> bool {
        let Value::Object(map) = value else {
            return self.is(false, schema, value, path, "must be a mapping");
        };
        let preserve =
            schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        let properties = schema.get("properties").and_then(Value::as_object);
        let additional = schema
            .get("additionalProperties")
            .filter(|schema| schema.is_object());
        let keys: Vec<String> = map.keys().cloned().collect();
        for key in keys {
            let Some(child) = map.get_mut(&key) else {
                continue;
            };
            let (schema, child_path) = match (properties.and_then(|p| p.get(&key)), additional) {
                (Some(schema), _) => (schema, format!("{path}.{key}")),
                (None, Some(schema)) => (schema, format!("{path}[{}]", escape(&key))),
                (None, None) if preserve => continue,
                (None, None) => {
                    let known = properties
                        .into_iter()
                        .flat_map(|p| p.keys().map(String::as_str));
                    self.unknown(&format!("{path}.{}", escape(&key)), &key, known);
                    map.remove(&key);
                    continue;
                }
            };
            let absent = child.is_null() && schema.get("nullable") != Some(&Value::Bool(true));
            if absent || !self.value(schema, child, &child_path) {
                map.remove(&key);
            }
        }
        for key in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !map.contains_key(key) {
                let child_path = format!("{path}.{key}");
                if !self
                    .violations
                    .iter()
                    .any(|violation| violation.path == child_path)
                {
                    self.hard(&child_path, None, "must be given");
                }
                map.insert(
                    key.to_owned(),
                    neutral(properties.and_then(|p| p.get(key)).unwrap_or(&Value::Null)),
                );
            }
        }
        true
    }

    fn array(&mut self, schema: &Value, value: &mut Value, path: &str) -> bool {
        let Value::Array(items) = value else {
            return self.is(false, schema, value, path, "must be a list");
        };
        if let Some(most) = schema.get("maxItems").and_then(Value::as_u64)
            && items.len() as u64 > most
        {
            self.push(
                path,
                false,
                None,
                format!("must have at most {most} entries, and has {}", items.len()),
            );
            // The object is refused anyway: no rule has to read a hundred thousand entries.
            items.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        }
        if let Some(fewest) = schema.get("minItems").and_then(Value::as_u64)
            && (items.len() as u64) < fewest
        {
            self.push(
                path,
                false,
                None,
                format!("must have at least {fewest} entries"),
            );
        }
        let Some(item_schema) = schema.get("items") else {
            return true;
        };
        for (index, item) in items.iter_mut().enumerate() {
            let item_path = format!("{path}[{index}]");
            // Never taken away: the entries after it would change their index.
            if item.is_null() {
                self.hard(&item_path, None, "must not be null");
                *item = neutral(item_schema);
            } else if !self.value(item_schema, item, &item_path) {
                *item = neutral(item_schema);
            }
        }
        self.unique(schema, items, path);
        true
    }

    /// A list that is a map by one key has each key once: the API server refuses it otherwise.
    fn unique(&mut self, schema: &Value, items: &[Value], path: &str) {
        let keys = schema.get("x-kubernetes-list-map-keys");
        let Some([Value::String(key)]) = keys.and_then(Value::as_array).map(Vec::as_slice) else {
            return;
        };
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            if let Some(value) = item.get(key).and_then(Value::as_str)
                && !seen.insert(value)
            {
                let path = format!("{path}[{index}].{key}");
                self.soft(&path, &item[key.as_str()], "must not be there twice");
            }
        }
    }

    fn string(&mut self, schema: &Value, value: &Value, path: &str) -> bool {
        let Some(text) = value.as_str() else {
            return self.is(false, schema, value, path, "must be a string");
        };
        if let Some(words) = schema.get("enum").and_then(Value::as_array)
            && !words.contains(value)
        {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            let meant = near::meant(text, words.iter().copied())
                .map(|word| format!("did you mean '{word}'?"));
            self.push(
                path,
                true,
                Some(value),
                format!("must be one of '{}'", words.join("', '")),
            )
            .hint = meant;
            return false;
        }
        if schema.get("format").and_then(Value::as_str) == Some("date-time")
            && text.parse::<Timestamp>().is_err()
        {
            return self.is(
                false,
                schema,
                value,
                path,
                "must be a time such as 2030-01-31T12:00:00Z",
            );
        }
        let length = text.chars().count() as u64;
        if let Some(most) = schema
            .get("maxLength")
            .and_then(Value::as_u64)
            .filter(|most| length > *most)
        {
            self.soft(
                path,
                value,
                format!("must be at most {most} characters long"),
            );
        } else if let Some(fewest) = schema
            .get("minLength")
            .and_then(Value::as_u64)
            .filter(|f| length < *f)
        {
            self.soft(
                path,
                value,
                format!("must be at least {fewest} characters long"),
            );
        } else if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && let Some(requirement) = patterns::violated(pattern, text)
        {
            self.push(path, false, Some(value), requirement).hint =
                hints::of_pattern(pattern, text);
        }
        true
    }

    fn integer(&mut self, schema: &Value, value: &Value, path: &str) -> bool {
        let Some(number) = value.as_i64() else {
            return self.is(false, schema, value, path, "must be a whole number");
        };
        if schema.get("format").and_then(Value::as_str) == Some("int32")
            && i32::try_from(number).is_err()
        {
            return self.is(false, schema, value, path, "must be less than 2147483648");
        }
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        #[expect(
            clippy::cast_precision_loss,
            reason = "the bounds of our schemas are small"
        )]
        let exact = number as f64;
        if bound("minimum").is_some_and(|least| exact < least)
            || bound("maximum").is_some_and(|most| exact > most)
        {
            let (least, most) = (bound("minimum"), bound("maximum"));
            self.soft(
                path,
                value,
                match (least, most) {
                    (Some(least), Some(most)) => format!("must be from {least} to {most}"),
                    (Some(least), None) => format!("must be {least} or more"),
                    (None, most) => format!("must be {} or less", most.unwrap_or_default()),
                },
            );
        }
        true
    }

    /// Reads the spec, without the fields that even a spec of the right shape can have wrong.
    pub(super) fn parse<T: DeserializeOwned>(&mut self, schema: &Value, spec: Value) -> Option<T> {
        if let Ok(typed) = serde_json::from_value(spec.clone()) {
            return Some(typed);
        }
        let Value::Object(mut map) = spec else {
            return serde_json::from_value(neutral(schema)).ok();
        };
        let Value::Object(base) = neutral(schema) else {
            return None;
        };
        for (key, value) in map.clone() {
            let mut alone = base.clone();
            alone.insert(key.clone(), value);
            if serde_json::from_value::<T>(Value::Object(alone)).is_err() {
                // MCP0311 says where a pod template is none.
                if key != POD_TEMPLATE {
                    self.hard(&format!("spec.{key}"), None, "must be as the schema says");
                }
                map.remove(&key);
                if let Some(neutral) = base.get(&key) {
                    map.insert(key, neutral.clone());
                }
            }
        }
        serde_json::from_value(Value::Object(map))
            .or_else(|_| serde_json::from_value(Value::Object(base)))
            .ok()
    }
}

/// Whether the value of a field may be printed: those of `env` may be secrets.
fn is_quotable(path: &str) -> bool {
    !path.starts_with("spec.env[")
}

/// A scalar as it may be quoted.
fn short(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Something that the schema takes and that says as little as possible.
pub(super) fn neutral(schema: &Value) -> Value {
    if let Some(first) = schema
        .get("enum")
        .and_then(Value::as_array)
        .and_then(|words| words.first())
    {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let required = schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let child = |key| {
                schema
                    .get("properties")
                    .and_then(|p| p.get(key))
                    .unwrap_or(&Value::Null)
            };
            Value::Object(
                required
                    .filter_map(Value::as_str)
                    .map(|key| (key.to_owned(), neutral(child(key))))
                    .collect(),
            )
        }
        Some("array") => json!([]),
        Some("string") if schema.get("format").and_then(Value::as_str) == Some("date-time") => {
            json!("1970-01-01T00:00:00Z")
        }
        Some("integer" | "number") => schema
            .get("minimum")
            .and_then(Value::as_i64)
            .unwrap_or(0)
            .into(),
        Some("boolean") => json!(false),
        Some("string") => json!(""),
        _ if schema.get("x-kubernetes-int-or-string").is_some() => json!(0),
        _ => Value::Null,
    }
}

/// The keys of a mapping; none of anything else.
pub(super) fn keys(value: Option<&Value>) -> impl Iterator<Item = &String> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::keys)
}
