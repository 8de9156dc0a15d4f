//! What `kubectl apply` makes of an object that is there already: for custom resources a three-way JSON merge patch,
//! in which lists are replaced whole.

use api::names::LAST_APPLIED;
use serde_json::{Map, Value, json};

/// The stored object after `given` was applied to it. What an earlier manifest set and this one does not goes; what
/// others set stays.
pub(crate) fn applied(stored: &Value, given: &Value) -> Value {
    let mut merged = stored.clone();
    json_merge(&mut merged, &patch(stored, given));
    merged
}

/// The JSON merge patch that `kubectl apply` sends.
pub(crate) fn patch(stored: &Value, given: &Value) -> Value {
    let mut given = given.clone();
    if let Some(object) = given.as_object_mut() {
        // The API server takes a status through its own subresource only.
        object.remove("status");
    }
    // kubectl leaves its copy of the manifest among them, so what it sends always has annotations.
    let annotated = stored.pointer("/metadata/annotations").is_some();
    if annotated && let Some(metadata) = given.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert(Value::Null);
        if annotations.is_null() {
            *annotations = json!({});
        }
    }
    let last: Value = stored
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(LAST_APPLIED)?.as_str())
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    difference(stored, &last, &given)
}

fn difference(stored: &Value, last: &Value, given: &Value) -> Value {
    let (Some(before), Some(wanted)) = (stored.as_object(), given.as_object()) else {
        return given.clone();
    };
    let mut patch = Map::new();
    for key in last.as_object().into_iter().flat_map(Map::keys) {
        if !wanted.contains_key(key) && before.contains_key(key) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    for (key, value) in wanted {
        match before.get(key) {
            Some(there) if there == value => {}
            Some(there) if there.is_object() && value.is_object() => {
                let inner = difference(there, last.get(key).unwrap_or(&Value::Null), value);
                if inner != json!({}) {
                    patch.insert(key.clone(), inner);
                }
            }
            None if value.is_null() => {}
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// RFC 7386.
fn json_merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            json_merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_last_manifest_set_goes_and_what_others_set_stays() {
        let last =
            json!({"metadata": {"name": "w"}, "spec": {"image": "a", "port": 1}}).to_string();
        let stored = json!({
            "metadata": {"name": "w", "uid": "u", "annotations": {LAST_APPLIED: last, "mine": "1"}},
            "spec": {"image": "a", "port": 1, "ingressHost": "h", "tools": [{"name": "x"}]}, "status": {"phase": "Ready"}
        });
        let given = json!({"metadata": {"name": "w"}, "spec": {"image": "b", "tools": [{"name": "y"}]}, "status": {}});
        let expected_patch =
            json!({"spec": {"port": null, "image": "b", "tools": [{"name": "y"}]}});
        assert_eq!(patch(&stored, &given), expected_patch);
        let applied = applied(&stored, &given);
        assert_eq!(
            applied["spec"],
            json!({"image": "b", "ingressHost": "h", "tools": [{"name": "y"}]})
        );
        assert_eq!(
            (&applied["metadata"]["uid"], &applied["status"]["phase"]),
            (&json!("u"), &json!("Ready"))
        );
    }

    #[test]
    fn annotations_of_others_stay_where_the_manifest_has_none() {
        let stored = |last: Value| {
            json!({
                "metadata": {"name": "w", "annotations": {LAST_APPLIED: last.to_string(), "mine": "1", "old": "2"}},
                "spec": {"image": "a", "auth": {"mode": "oauth", "added": true}}
            })
        };
        let given = json!({"metadata": {"name": "w"}, "spec": {"image": "a"}});
        let last = json!({"metadata": {"name": "w", "annotations": {}}, "spec": {"image": "a"}});
        assert_eq!(patch(&stored(last), &given), json!({}));
        let last = json!({"metadata": {"name": "w", "annotations": {"old": "2"}}});
        assert_eq!(
            patch(&stored(last), &given),
            json!({"metadata": {"annotations": {"old": null}}})
        );
        // Any other map that the manifest dropped goes whole: so kubectl does.
        let last = json!({"metadata": {"name": "w"}, "spec": {"auth": {"mode": "oauth"}}});
        assert_eq!(
            patch(&stored(last), &given),
            json!({"spec": {"auth": null}})
        );
    }

    #[test]
    fn what_is_as_it_was_is_no_patch() {
        let stored = json!({"metadata": {"name": "w", "uid": "u"}, "spec": {"a": {"b": [1]}}});
        let given = json!({"metadata": {"name": "w"}, "spec": {"a": {"b": [1]}, "c": null}});
        assert_eq!(patch(&stored, &given), json!({}));
    }
}
