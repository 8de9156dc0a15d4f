//! What the generated CRD schema says of an object, before the API server says it.
//!
//! `/mutate` and `lint` see an object before the API server has checked its shape, and all findings are to come at
//! once. So this walks the schema itself, and hands back a spec that the typed rules can read: what does not fit is
//! taken away or replaced by something neutral, and noted.

mod hints;
mod patterns;
mod shape;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use api::{
    MCPAccessGrantSpec, MCPAgentSessionSpec, MCPPolicySpec, MCPPromptSpec, MCPRegistrySpec,
    MCPResourceSpec, MCPServerSpec, MCPToolSpec,
};
use jiff::Timestamp;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::finding::escape;
use crate::kind::Kind;
use crate::parse::near;
use shape::Shape;

/// The spec of an object, as its own type.
pub(crate) enum Typed {
    Server(Box<MCPServerSpec>),
    Grant(Box<MCPAccessGrantSpec>),
    Session(Box<MCPAgentSessionSpec>),
    Policy(Box<MCPPolicySpec>),
    Tool(Box<MCPToolSpec>),
    Prompt(Box<MCPPromptSpec>),
    Resource(Box<MCPResourceSpec>),
    Registry(Box<MCPRegistrySpec>),
}

/// The field that the schema leaves to rules.
const POD_TEMPLATE: &str = "podTemplate";

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

static SCHEMAS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    api::crds()
        .into_iter()
        .filter_map(|crd| {
            let version = crd.spec.versions.into_iter().next()?;
            let schema = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
            Some((
                crd.spec.names.kind,
                schema.pointer("/properties/spec")?.clone(),
            ))
        })
        .collect()
});

/// The same, for what nearly every object is: right.
static SHAPES: LazyLock<Vec<(Kind, Shape)>> = LazyLock::new(|| {
    let shape = |kind| (kind, Shape::new(schema_of(kind)));
    Kind::ALL.into_iter().map(shape).collect()
});

/// The most violations that are kept.
const MOST_VIOLATIONS: usize = 1000;

/// How many violations may have been noted before hints are no longer looked for.
const HINTED: usize = 100;

/// What stands at the top of every object.
const TOP_LEVEL: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// What `metadata` may have: fields of `ObjectMeta`, of which the CRD's schema does not speak.
const METADATA: [&str; 15] = [
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

/// The schema of a kind's spec.
fn schema_of(kind: Kind) -> &'static Value {
    static NOTHING: Value = Value::Null;
    SCHEMAS
        .iter()
        .find(|(name, _)| name == kind.as_str())
        .map_or(&NOTHING, |(_, schema)| schema)
}

/// Reads the spec of an object, with everything the schema has against it.
pub(crate) fn read(kind: Kind, object: &Value) -> (Typed, Vec<Violation>) {
    if let Some(typed) = read_right(kind, object) {
        return (typed, Vec::new());
    }
    let schema = schema_of(kind);
    let mut walk = Walk {
        violations: Vec::new(),
    };
    walk.top_level(object);
    let spec = match object.get("spec") {
        Some(Value::Null) | None => {
            if kind != Kind::Server && kind != Kind::Policy {
                walk.hard("spec", None, "must be given");
            }
            neutral(schema)
        }
        Some(given) => {
            let mut spec = given.clone();
            if walk.value(schema, &mut spec, "spec") {
                spec
            } else {
                neutral(schema)
            }
        }
    };
    let typed = match kind {
        Kind::Server => walk
            .parse(schema, spec)
            .map(|spec| Typed::Server(Box::new(spec))),
        Kind::Grant => walk
            .parse(schema, spec)
            .map(|spec| Typed::Grant(Box::new(spec))),
        Kind::Session => walk
            .parse(schema, spec)
            .map(|spec| Typed::Session(Box::new(spec))),
        Kind::Policy => walk
            .parse(schema, spec)
            .map(|spec| Typed::Policy(Box::new(spec))),
        Kind::Tool => walk
            .parse(schema, spec)
            .map(|spec| Typed::Tool(Box::new(spec))),
        Kind::Prompt => walk
            .parse(schema, spec)
            .map(|spec| Typed::Prompt(Box::new(spec))),
        Kind::Resource => walk
            .parse(schema, spec)
            .map(|spec| Typed::Resource(Box::new(spec))),
        Kind::Registry => walk
            .parse(schema, spec)
            .map(|spec| Typed::Registry(Box::new(spec))),
    };
    // The neutral spec is made from the schema of the very type that reads it; a test reads all of them.
    (
        typed.unwrap_or_else(|| Typed::Server(Box::default())),
        walk.violations,
    )
}

/// Reads an object that the schema has nothing against, without a copy of it.
fn read_right(kind: Kind, object: &Value) -> Option<Typed> {
    let known = |key: &String| TOP_LEVEL.contains(&key.as_str());
    let of_metadata = |key: &String| METADATA.contains(&key.as_str());
    let mut metadata = keys(object.get("metadata"));
    let spec = object.get("spec")?;
    let (_, shape) = SHAPES.iter().find(|(known, _)| *known == kind)?;
    if !object.as_object()?.keys().all(known) || !metadata.all(of_metadata) || !shape.fits(spec) {
        return None;
    }
    Some(match kind {
        Kind::Server => Typed::Server(Box::deserialize(spec).ok()?),
        Kind::Grant => Typed::Grant(Box::deserialize(spec).ok()?),
        Kind::Session => Typed::Session(Box::deserialize(spec).ok()?),
        Kind::Policy => Typed::Policy(Box::deserialize(spec).ok()?),
        Kind::Tool => Typed::Tool(Box::deserialize(spec).ok()?),
        Kind::Prompt => Typed::Prompt(Box::deserialize(spec).ok()?),
        Kind::Resource => Typed::Resource(Box::deserialize(spec).ok()?),
        Kind::Registry => Typed::Registry(Box::deserialize(spec).ok()?),
    })
}

/// The keys of a mapping; none of anything else.
fn keys(value: Option<&Value>) -> impl Iterator<Item = &String> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::keys)
}

/// Names of fields that a text of ours has and the schema does not.
pub(crate) fn unknown_fields(kind: Kind, object: &Value) -> Vec<Violation> {
    read(kind, object)
        .1
        .into_iter()
        .filter(|violation| violation.unknown)
        .collect()
}

struct Walk {
    violations: Vec<Violation>,
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

    fn hard(&mut self, path: &str, value: Option<&Value>, message: impl Into<String>) {
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

    fn top_level(&mut self, object: &Value) {
        for key in keys(Some(object)).filter(|key| !TOP_LEVEL.contains(&key.as_str())) {
            self.unknown(&escape(key), key, TOP_LEVEL.into_iter());
        }
        for key in keys(object.get("metadata")).filter(|key| !METADATA.contains(&key.as_str())) {
            let path = format!("metadata.{}", escape(key));
            self.unknown(&path, key, METADATA.into_iter());
        }
    }

    /// Checks a value, and changes it so that it can be read. False: it must go.
    fn value(&mut self, schema: &Value, value: &mut Value, path: &str) -> bool {
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
    fn parse<T: DeserializeOwned>(&mut self, schema: &Value, spec: Value) -> Option<T> {
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
fn neutral(schema: &Value) -> Value {
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

#[cfg(test)]
mod tests;
