//! The arguments of a tool, from `key=value`, `key:=JSON` and `--args JSON`. Pure.

use common::{Error, Result};
use serde_json::{Map, Value};

/// One `key=value` as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pair {
    /// `key=value`: what the tool's schema says, else a string.
    Text(String, String),
    /// `key:=JSON`: exactly that.
    Json(String, Value),
}

/// Reads one pair. For clap's `value_parser`.
pub(crate) fn parse_pair(text: &str) -> Result<Pair, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("'{text}' must be key=value or key:=JSON"))?;
    let (key, json) = key
        .strip_suffix(':')
        .map_or((key, false), |key| (key, true));
    if key.is_empty() {
        return Err(format!("'{text}' must have a key before the ="));
    }
    if !json {
        return Ok(Pair::Text(key.to_owned(), value.to_owned()));
    }
    let value =
        serde_json::from_str(value).map_err(|error| format!("'{value}' must be JSON: {error}"))?;
    Ok(Pair::Json(key.to_owned(), value))
}

/// Reads `--args`. For clap's `value_parser`.
pub(crate) fn parse_object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("must be a JSON object: {error}"))
}

/// Whether the tool's schema is needed to know what was meant: `days=3` may be a string or a number.
pub(crate) fn needs_schema(pairs: &[Pair]) -> bool {
    pairs.iter().any(|pair| match pair {
        Pair::Text(_, text) => serde_json::from_str::<Value>(text).is_ok(),
        Pair::Json(..) => false,
    })
}

/// All arguments together. `schema` is the tool's `inputSchema`, when it is known.
pub(crate) fn build(
    object: Map<String, Value>,
    pairs: &[Pair],
    schema: Option<&Value>,
) -> Result<Map<String, Value>> {
    let mut arguments = object;
    for pair in pairs {
        let (key, value) = match pair {
            Pair::Json(key, value) => (key, value.clone()),
            Pair::Text(key, text) => (
                key,
                typed(
                    text,
                    schema.and_then(|schema| schema.pointer(&pointer(key))),
                ),
            ),
        };
        if arguments.insert(key.clone(), value).is_some() {
            return Err(Error::usage(format!("argument '{key}' must be given once")));
        }
    }
    Ok(arguments)
}

/// A JSON pointer to the schema of a property.
fn pointer(key: &str) -> String {
    format!("/properties/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The text as the property's type, if it is written like one; else as it was typed.
fn typed(text: &str, property: Option<&Value>) -> Value {
    let wants = |name: &str| match property.and_then(|property| property.get("type")) {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    };
    let string = || Value::String(text.to_owned());
    if wants("string") {
        return string();
    }
    match serde_json::from_str(text) {
        Ok(Value::Number(number))
            if wants("number")
                || (wants("integer") && number.as_f64().is_some_and(|n| n.fract() == 0.0)) =>
        {
            Value::Number(number)
        }
        Ok(value @ Value::Bool(_)) if wants("boolean") => value,
        Ok(Value::Null) if wants("null") => Value::Null,
        Ok(value @ Value::Array(_)) if wants("array") => value,
        Ok(value @ Value::Object(_)) if wants("object") => value,
        _ => string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pairs(words: &[&str]) -> Vec<Pair> {
        words.iter().map(|word| parse_pair(word).unwrap()).collect()
    }

    #[test]
    fn values_take_the_type_that_the_schema_says() {
        let schema = json!({"properties": {
            "n": {"type": "number"}, "i": {"type": "integer"}, "b": {"type": "boolean"}, "s": {"type": "string"},
            "l": {"type": ["array", "null"]}, "o": {"type": "object"},
        }});
        let pairs = pairs(&[
            "n=1.5",
            "i=3",
            "b=true",
            "s=3",
            "l=[1]",
            "o={\"x\":1}",
            "other=4",
        ]);
        assert_eq!(
            Value::Object(build(Map::new(), &pairs, Some(&schema)).unwrap()),
            json!({"n": 1.5, "i": 3, "b": true, "s": "3", "l": [1], "o": {"x": 1}, "other": "4"})
        );
    }

    #[test]
    fn what_is_not_of_the_type_stays_as_it_was_typed() {
        let schema = json!({"properties": {"i": {"type": "integer"}, "b": {"type": "boolean"}}});
        let arguments = build(Map::new(), &pairs(&["i=1.5", "b=yes"]), Some(&schema)).unwrap();
        assert_eq!(Value::Object(arguments), json!({"i": "1.5", "b": "yes"}));
    }

    #[test]
    fn json_is_taken_as_it_is_and_only_doubtful_values_need_a_schema() {
        assert!(!needs_schema(&pairs(&[
            "message=hello",
            "n:=3",
            "url=http://x/?a=b"
        ])));
        assert!(needs_schema(&pairs(&["n=3"])));
        let arguments = build(Map::new(), &pairs(&["n:=3", "url=http://x/?a=b"]), None).unwrap();
        assert_eq!(
            Value::Object(arguments),
            json!({"n": 3, "url": "http://x/?a=b"})
        );
    }

    #[test]
    fn an_argument_that_is_given_twice_is_refused() {
        let object = parse_object("{\"a\": 1}").unwrap();
        let error = build(object, &pairs(&["a=2"]), None).unwrap_err();
        assert_eq!(error.to_string(), "argument 'a' must be given once");
    }

    #[test]
    fn what_is_no_pair_says_what_it_must_be() {
        assert!(parse_pair("hello").unwrap_err().contains("key=value"));
        assert!(parse_pair("=x").unwrap_err().contains("a key"));
        assert!(parse_pair("a:=x").unwrap_err().contains("JSON"));
    }
}
