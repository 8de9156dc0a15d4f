//! References of a schema to its own parts: JSON pointers in a fragment. Used by the walk over the schema only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Whether references lead in a circle. `ends` holds what was found out about earlier ones.
pub(super) fn circles<'a>(
    root: &'a Map<String, Value>,
    from: &'a str,
    ends: &mut BTreeMap<&'a str, bool>,
) -> bool {
    let mut way = Vec::new();
    let mut on_way = BTreeSet::new();
    let mut at = from;
    let circle = loop {
        if let Some(known) = ends.get(at) {
            break *known;
        }
        if !on_way.insert(at) {
            break true;
        }
        way.push(at);
        let next = target(root, at)
            .and_then(|schema| schema.get("$ref"))
            .and_then(Value::as_str)
            .and_then(|text| text.strip_prefix('#'))
            .filter(|fragment| fragment.is_empty() || fragment.starts_with('/'));
        match next {
            Some(fragment) => at = fragment,
            None => break false,
        }
    };
    ends.extend(way.into_iter().map(|fragment| (fragment, circle)));
    circle
}

/// The members of the schema that a JSON pointer in a fragment points to (RFC 6901, 6). A schema that is only `true` or
/// `false` has none.
pub(super) fn target<'a>(
    root: &'a Map<String, Value>,
    fragment: &str,
) -> Option<&'a Map<String, Value>> {
    static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    let mut schema = root;
    let mut segments = fragment.strip_prefix('/').unwrap_or_default().split('/');
    if fragment.is_empty() {
        return Some(root);
    }
    while let Some(segment) = segments.next() {
        let key = decode(segment)?.replace("~1", "/").replace("~0", "~");
        let mut value = schema.get(&key)?;
        while let Value::Array(list) = value {
            value = list.get(segments.next()?.parse::<usize>().ok()?)?;
        }
        match value {
            Value::Object(inner) => schema = inner,
            Value::Bool(_) if segments.next().is_none() => return Some(&NOTHING),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                return None;
            }
        }
    }
    Some(schema)
}

/// A text without its `%XX`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
