//! The schemas, read once into a form that says quickly whether a value fits.
//!
//! Nearly every object does, and then nothing has to be copied, named or noted. Where one does not,
//! [`read`](super::read) walks it again and says what is wrong. A property test holds the two together: what fits here
//! is left alone there.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;

use super::patterns;

/// What a value must look like.
pub(super) enum Shape {
    /// Anything.
    Any,
    /// `x-kubernetes-int-or-string`.
    IntOrString,
    Object(Box<Object>),
    Array(Box<Array>),
    Text(Box<Text>),
    Integer {
        is_int32: bool,
        minimum: Option<f64>,
        maximum: Option<f64>,
    },
    Number,
    Boolean,
}

pub(super) struct Object {
    properties: HashMap<String, Property>,
    additional: Option<Shape>,
    keeps_unknown: bool,
    required: Vec<String>,
}

struct Property {
    shape: Shape,
    nullable: bool,
}

pub(super) struct Array {
    items: Option<Shape>,
    fewest: Option<u64>,
    most: Option<u64>,
    /// Each entry has another value of this key.
    key: Option<String>,
}

pub(super) struct Text {
    words: Vec<String>,
    is_time: bool,
    shortest: Option<u64>,
    longest: Option<u64>,
    pattern: Option<String>,
}

impl Shape {
    /// The shape that a schema of `OpenAPI` 3 describes.
    pub(super) fn new(schema: &Value) -> Self {
        if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            return Self::IntOrString;
        }
        let number = |key: &str| schema.get(key).and_then(Value::as_f64);
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => Self::Object(Box::new(Object::new(schema))),
            Some("array") => Self::Array(Box::new(Array {
                items: schema.get("items").map(Self::new),
                fewest: count(schema, "minItems"),
                most: count(schema, "maxItems"),
                key: match texts(schema, "x-kubernetes-list-map-keys").as_slice() {
                    [key] => Some(key.clone()),
                    _ => None,
                },
            })),
            Some("string") => Self::Text(Box::new(Text {
                words: texts(schema, "enum"),
                is_time: schema.get("format").and_then(Value::as_str) == Some("date-time"),
                shortest: count(schema, "minLength"),
                longest: count(schema, "maxLength"),
                pattern: text(schema, "pattern"),
            })),
            Some("integer") => Self::Integer {
                is_int32: schema.get("format").and_then(Value::as_str) == Some("int32"),
                minimum: number("minimum"),
                maximum: number("maximum"),
            },
            Some("number") => Self::Number,
            Some("boolean") => Self::Boolean,
            _ => Self::Any,
        }
    }

    /// Whether the schema has nothing against the value, and would change nothing in it.
    pub(super) fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::IntOrString => value.is_string() || value.is_i64() || value.is_u64(),
            Self::Object(object) => object.fits(value),
            Self::Array(array) => array.fits(value),
            Self::Text(text) => value.as_str().is_some_and(|value| text.fits(value)),
            Self::Integer {
                is_int32,
                minimum,
                maximum,
            } => value.as_i64().is_some_and(|number| {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "the bounds of our schemas are small"
                )]
                let exact = number as f64;
                (!is_int32 || i32::try_from(number).is_ok())
                    && minimum.is_none_or(|least| exact >= least)
                    && maximum.is_none_or(|most| exact <= most)
            }),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
        }
    }
}

impl Object {
    fn new(schema: &Value) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object);
        let property = |schema: &Value| Property {
            shape: Shape::new(schema),
            nullable: schema.get("nullable") == Some(&Value::Bool(true)),
        };
        Self {
            properties: properties
                .into_iter()
                .flatten()
                .map(|(key, schema)| (key.clone(), property(schema)))
                .collect(),
            additional: schema
                .get("additionalProperties")
                .filter(|schema| schema.is_object())
                .map(Shape::new),
            keeps_unknown: schema.get("x-kubernetes-preserve-unknown-fields")
                == Some(&Value::Bool(true)),
            required: texts(schema, "required"),
        }
    }

    fn fits(&self, value: &Value) -> bool {
        let Value::Object(map) = value else {
            return false;
        };
        let fields =
            map.iter().all(
                |(key, value)| match (self.properties.get(key), &self.additional) {
                    (Some(property), _) if value.is_null() => property.nullable,
                    (Some(property), _) => property.shape.fits(value),
                    (None, Some(shape)) => !value.is_null() && shape.fits(value),
                    (None, None) => self.keeps_unknown,
                },
            );
        fields && self.required.iter().all(|key| map.contains_key(key))
    }
}

impl Array {
    fn fits(&self, value: &Value) -> bool {
        let Value::Array(items) = value else {
            return false;
        };
        let length = items.len() as u64;
        self.fewest.is_none_or(|fewest| length >= fewest)
            && self.key.as_ref().is_none_or(|key| differ(items, key))
            && self.most.is_none_or(|most| length <= most)
            && self
                .items
                .as_ref()
                .is_none_or(|shape| items.iter().all(|item| !item.is_null() && shape.fits(item)))
    }
}

impl Text {
    fn fits(&self, text: &str) -> bool {
        if !self.words.is_empty() && !self.words.iter().any(|word| word == text) {
            return false;
        }
        if self.is_time && text.parse::<Timestamp>().is_err() {
            return false;
        }
        let length = || text.chars().count() as u64;
        self.longest
            .is_none_or(|most| text.len() as u64 <= most || length() <= most)
            && self.shortest.is_none_or(|fewest| length() >= fewest)
            && self
                .pattern
                .as_ref()
                .is_none_or(|pattern| patterns::violated(pattern, text).is_none())
    }
}

/// Whether no two entries have the same text under a key.
fn differ(items: &[Value], key: &str) -> bool {
    let mut seen = HashSet::with_capacity(items.len());
    let mut values = items.iter().filter_map(|item| item.get(key)?.as_str());
    values.all(|value| seen.insert(value))
}

fn count(schema: &Value, key: &str) -> Option<u64> {
    schema.get(key)?.as_u64()
}

fn text(schema: &Value, key: &str) -> Option<String> {
    schema.get(key)?.as_str().map(str::to_owned)
}

fn texts(schema: &Value, key: &str) -> Vec<String> {
    let list = schema.get(key).and_then(Value::as_array);
    let words = list.into_iter().flatten().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}
