//! What was probably meant by a value that the schema does not take: YAML reads `Off` as false and `8080` as a number.

use api::duration;
use serde_json::Value;

use crate::parse::meant;

/// How YAML 1.1, which kubectl reads, spells false and true without quotes.
const FALSE: [&str; 4] = ["off", "no", "n", "false"];
const TRUE: [&str; 4] = ["on", "yes", "y", "true"];

/// The hint for a value of the wrong type. What is not `quotable` may be a secret: the hint does not repeat it.
pub(super) fn of_type(schema: &Value, value: &Value, quotable: bool) -> Option<String> {
    match (schema.get("type")?.as_str()?, value) {
        ("string", Value::Bool(given)) => Some(format!("quote it: \"{}\"", word(schema, *given))),
        ("string", Value::Number(number)) if quotable && !number.is_f64() => {
            Some(format!("quote it: \"{number}\""))
        }
        // YAML has taken the last zero of 1.10 away already.
        ("string", Value::Number(_)) => Some("put it in quotes".to_owned()),
        ("integer", Value::String(text)) if quotable => {
            let number: i64 = text.trim().parse().ok()?;
            Some(format!("without quotes: {number}"))
        }
        ("boolean", Value::String(text)) => {
            let lower = text.trim().to_ascii_lowercase();
            let meant = if TRUE.contains(&lower.as_str()) {
                true
            } else if FALSE.contains(&lower.as_str()) {
                false
            } else {
                return None;
            };
            Some(format!("without quotes: {meant}"))
        }
        _ => None,
    }
}

/// The hint for a text of the wrong form.
pub(super) fn of_pattern(pattern: &str, text: &str) -> Option<String> {
    let meant = (pattern == duration::PATTERN).then(|| meant::duration(text))??;
    Some(format!("did you mean '{meant}'?"))
}

/// The word of the schema that YAML read as true or false; else the word of YAML.
fn word(schema: &Value, given: bool) -> String {
    let spellings = if given { TRUE } else { FALSE };
    let words = schema.get("enum").and_then(Value::as_array);
    let meant = words
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(|word| spellings.contains(&word.to_ascii_lowercase().as_str()));
    meant.map_or_else(|| given.to_string(), str::to_owned)
}
