//! JSON Schema 2020-12, as far as its structure goes: whether every keyword has a value of its form, nothing is fetched
//! from elsewhere, and nothing is deeper than a validator should go. What a schema means is left to the validator.

mod reference;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::near;
use reference::{circles, target};

/// The largest schema, in bytes of its JSON.
pub const MOST_BYTES: usize = 65_536;
/// How deep schemas may be within one another.
pub const MOST_DEPTH: usize = 32;
/// The most faults that are told of one schema.
const MOST_FAULTS: usize = 20;
/// The longest regular expression, in bytes.
const MOST_PATTERN: usize = 1024;
/// The dialect, and how some tools write it.
const DIALECTS: [&str; 2] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2020-12/schema#",
];
const TYPES: [&str; 7] = [
    "null", "boolean", "object", "array", "number", "string", "integer",
];
/// What other languages call the types.
const ALIASES: [(&str, &str); 14] = [
    ("int", "integer"),
    ("long", "integer"),
    ("float", "number"),
    ("double", "number"),
    ("decimal", "number"),
    ("str", "string"),
    ("text", "string"),
    ("date", "string"),
    ("bool", "boolean"),
    ("list", "array"),
    ("map", "object"),
    ("dict", "object"),
    ("none", "null"),
    ("nil", "null"),
];

/// One thing that is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, from the schema on: `.properties.city.type`. Empty for the schema as a whole.
    pub path: String,
    /// What was given, where that is short.
    pub given: Option<String>,
    /// What it must be.
    pub requirement: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// The form that the value of a keyword has.
#[derive(Clone, Copy)]
enum Form {
    Schema,
    Schemas,
    SchemaMap,
    Type,
    Names,
    NamesMap,
    Array,
    Count,
    Number,
    Positive,
    Boolean,
    Text,
    Pattern,
    Reference,
}

/// The form of a keyword; none for what is free or unknown, which a schema may have.
fn form(keyword: &str) -> Option<Form> {
    Some(match keyword {
        "additionalProperties"
        | "items"
        | "contains"
        | "propertyNames"
        | "not"
        | "if"
        | "then"
        | "else"
        | "unevaluatedItems"
        | "unevaluatedProperties"
        | "contentSchema" => Form::Schema,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Form::Schemas,
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
            Form::SchemaMap
        }
        "type" => Form::Type,
        "required" => Form::Names,
        "dependentRequired" => Form::NamesMap,
        "enum" | "examples" => Form::Array,
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
        | "minContains" | "maxContains" => Form::Count,
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => Form::Number,
        "multipleOf" => Form::Positive,
        "uniqueItems" | "readOnly" | "writeOnly" | "deprecated" => Form::Boolean,
        "title" | "description" | "format" | "$comment" | "$id" | "$anchor" | "$dynamicAnchor"
        | "contentEncoding" | "contentMediaType" | "$schema" => Form::Text,
        "pattern" => Form::Pattern,
        "$ref" | "$dynamicRef" => Form::Reference,
        _ => return None,
    })
}

/// What is wrong with the schema of a tool's arguments, at most twenty things.
pub fn faults(schema: &Map<String, Value>) -> Vec<Fault> {
    let mut walk = Walk {
        faults: Vec::new(),
        references: Vec::new(),
        anchors: BTreeSet::new(),
        rebased: false,
    };
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "object" => {}
        Some(other) => walk.push(
            ".type",
            Some(other),
            "must be object: the arguments of a tool are an object",
            Some("type: object".to_owned()),
        ),
        None => walk.push(
            "",
            None,
            "must have the type object: the arguments of a tool are an object",
            Some("type: object".to_owned()),
        ),
    }
    if let Some(Value::String(dialect)) = schema.get("$schema")
        && !DIALECTS.contains(&dialect.as_str())
    {
        walk.push(
            ".$schema",
            schema.get("$schema"),
            "must be the dialect 2020-12, which is also what its absence means",
            Some(format!("$schema: {}", DIALECTS[0])),
        );
    }
    walk.object(schema, "", 1);
    walk.resolve(schema);
    walk.faults.truncate(MOST_FAULTS);
    walk.faults
}

struct Walk<'a> {
    faults: Vec<Fault>,
    /// Where a schema refers to another, and to which.
    references: Vec<(String, &'a str)>,
    anchors: BTreeSet<&'a str>,
    /// A schema inside has an address of its own, from which its references count.
    rebased: bool,
}

impl<'a> Walk<'a> {
    fn push(
        &mut self,
        path: &str,
        given: Option<&Value>,
        requirement: impl Into<String>,
        hint: Option<String>,
    ) {
        let given = given.and_then(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) | Value::Null => Some(value.to_string()),
            Value::Array(_) | Value::Object(_) => None,
        });
        self.faults.push(Fault {
            path: path.to_owned(),
            given,
            requirement: requirement.into(),
            hint,
        });
    }

    fn full(&self) -> bool {
        self.faults.len() >= MOST_FAULTS
    }

    fn schema(&mut self, value: &'a Value, path: &str, depth: usize) {
        match value {
            Value::Object(schema) if depth > MOST_DEPTH => {
                if !schema.is_empty() {
                    self.push(
                        path,
                        None,
                        format!("must not be deeper than {MOST_DEPTH} schemas within one another"),
                        Some("name the inner one in $defs, and refer to it by $ref".to_owned()),
                    );
                }
            }
            Value::Object(schema) => self.object(schema, path, depth),
            Value::Bool(_) => {}
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                let array = value.is_array() && path.rsplit('.').next() == Some("items");
                let hint = array.then(|| "prefixItems takes a list of schemas".to_owned());
                self.push(
                    path,
                    Some(value),
                    "must be a schema: a mapping, true or false",
                    hint,
                );
            }
        }
    }

    fn object(&mut self, schema: &'a Map<String, Value>, path: &str, depth: usize) {
        if !path.is_empty() && schema.contains_key("$id") {
            self.rebased = true;
        }
        for (keyword, value) in schema {
            if self.full() {
                return;
            }
            let Some(form) = form(keyword) else { continue };
            // The type of the whole was judged already, and more strictly.
            if !(path.is_empty() && keyword == "type") {
                self.keyword(form, keyword, value, &format!("{path}.{keyword}"), depth);
            }
        }
    }

    fn keyword(&mut self, form: Form, keyword: &str, value: &'a Value, path: &str, depth: usize) {
        match form {
            Form::Schema => self.schema(value, path, depth + 1),
            Form::Schemas => match value.as_array().filter(|list| !list.is_empty()) {
                Some(list) => {
                    for (index, schema) in list.iter().enumerate() {
                        self.schema(schema, &format!("{path}[{index}]"), depth + 1);
                    }
                }
                None => self.push(
                    path,
                    Some(value),
                    "must be a list of one or more schemas",
                    None,
                ),
            },
            Form::SchemaMap => match value.as_object() {
                Some(map) => {
                    for (key, schema) in map {
                        self.schema(schema, &child(path, key), depth + 1);
                    }
                }
                None => self.push(
                    path,
                    Some(value),
                    "must be a mapping of names to schemas",
                    None,
                ),
            },
            Form::Type => self.types(value, path),
            Form::Names => self.names(value, path),
            Form::NamesMap => match value.as_object() {
                Some(map) => {
                    for (key, names) in map {
                        self.names(names, &child(path, key));
                    }
                }
                None => self.push(
                    path,
                    Some(value),
                    "must be a mapping of names to lists of names",
                    None,
                ),
            },
            Form::Array => self.check(value.is_array(), value, path, "must be a list"),
            Form::Count => {
                self.check(
                    is_count(value),
                    value,
                    path,
                    "must be a whole number, 0 or more",
                );
            }
            Form::Number => self.check(value.is_number(), value, path, "must be a number"),
            Form::Positive => {
                let positive = value.as_f64().is_some_and(|number| number > 0.0);
                self.check(positive, value, path, "must be a number above 0");
            }
            Form::Boolean => self.check(value.is_boolean(), value, path, "must be true or false"),
            Form::Text => {
                self.check(value.is_string(), value, path, "must be a text");
                if matches!(keyword, "$anchor" | "$dynamicAnchor") {
                    self.anchors.extend(value.as_str());
                }
            }
            Form::Pattern => {
                let fits = value
                    .as_str()
                    .is_some_and(|text| text.len() <= MOST_PATTERN);
                let message = "must be a regular expression of at most 1024 characters";
                self.check(fits, value, path, message);
            }
            Form::Reference => self.reference(value, path),
        }
    }

    fn check(&mut self, fits: bool, value: &Value, path: &str, message: &str) {
        if !fits {
            self.push(path, Some(value), message, None);
        }
    }

    fn types(&mut self, value: &Value, path: &str) {
        let list = match value {
            Value::String(_) => std::slice::from_ref(value),
            Value::Array(list) if !list.is_empty() => list.as_slice(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => {
                self.push(path, Some(value), "must be a type or a list of types", None);
                return;
            }
        };
        let mut seen = BTreeSet::new();
        for kind in list {
            let text = kind.as_str().unwrap_or_default();
            if !TYPES.contains(&text) {
                let message = format!("must be one of '{}'", TYPES.join("', '"));
                self.push(path, Some(kind), message, meant_type(text));
            } else if !seen.insert(text) {
                self.push(path, Some(kind), "must not be there twice", None);
            }
        }
    }

    fn names(&mut self, value: &Value, path: &str) {
        let Some(list) = value.as_array() else {
            let message = "must be a list of names of properties";
            let hint = value
                .is_boolean()
                .then(|| "required is a list beside properties: required: [NAME]".to_owned());
            self.push(path, Some(value), message, hint);
            return;
        };
        let mut seen = BTreeSet::new();
        for (index, name) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match name.as_str() {
                None => self.push(&path, Some(name), "must be the name of a property", None),
                Some(text) if !seen.insert(text) => {
                    self.push(&path, Some(name), "must not be there twice", None);
                }
                Some(_) => {}
            }
        }
    }

    fn reference(&mut self, value: &'a Value, path: &str) {
        match value.as_str() {
            Some(text) if text.starts_with('#') => self.references.push((path.to_owned(), text)),
            Some(_) => self.push(
                path,
                Some(value),
                "must stay within this schema: nothing is fetched from elsewhere",
                Some("copy the other schema into $defs: $ref: '#/$defs/NAME'".to_owned()),
            ),
            None => self.push(
                path,
                Some(value),
                "must be a text such as '#/$defs/NAME'",
                None,
            ),
        }
    }

    /// Looks up what schemas refer to.
    fn resolve(&mut self, root: &'a Map<String, Value>) {
        if self.rebased {
            return;
        }
        let mut ends = BTreeMap::new();
        for (path, text) in std::mem::take(&mut self.references) {
            if self.full() {
                return;
            }
            let fragment = &text[1..];
            let given = Value::from(text);
            if !fragment.is_empty() && !fragment.starts_with('/') {
                if !self.anchors.contains(fragment) {
                    self.push(
                        &path,
                        Some(&given),
                        "must name an $anchor of this schema",
                        None,
                    );
                }
                continue;
            }
            match target(root, fragment) {
                None => {
                    let known = root.get("$defs").and_then(Value::as_object);
                    let known = known
                        .into_iter()
                        .flat_map(|map| map.keys().map(String::as_str));
                    let wanted = fragment.rsplit('/').next().unwrap_or_default();
                    let hint =
                        near::meant(wanted, known).map(|name| format!("$ref: '#/$defs/{name}'"));
                    self.push(
                        &path,
                        Some(&given),
                        "must point to a schema that is there",
                        hint,
                    );
                }
                Some(_) if circles(root, fragment, &mut ends) => {
                    let message = "must not lead back to itself without anything in between";
                    self.push(&path, Some(&given), message, None);
                }
                Some(_) => {}
            }
        }
    }
}

fn is_count(value: &Value) -> bool {
    value.as_u64().is_some()
        || value
            .as_f64()
            .is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
}

fn meant_type(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == lower);
    alias
        .map(|(_, kind)| *kind)
        .or_else(|| near::meant(text, TYPES))
        .map(|kind| format!("type: {kind}"))
}

/// The path of a member, by a dot where its name is plain.
fn child(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-$".contains(&b));
    if plain {
        format!("{path}.{key}")
    } else {
        format!("{path}[{}]", crate::finding::escape(key))
    }
}

#[cfg(test)]
mod tests;
