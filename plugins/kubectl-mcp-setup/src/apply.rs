//! Applying one object: server-side apply with one field manager, and what it changed.

use api::names;
use common::api_error::During as _;
use common::error::{Error, Result};
use common::output::{DryRun, name_of};
use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::kinds;

/// What applying an object did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It was not there.
    Created,
    /// It was there, and something of it changed: the paths, with what was and what is.
    Configured(Vec<Change>),
    /// It was there just so.
    Unchanged,
    /// A dry run could not judge it, because what it lies in does not exist yet.
    NotJudged(&'static str),
}

impl Outcome {
    /// The word that kubectl prints.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::NotJudged(_) => "not judged",
            Self::Configured(_) => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// Such as `spec.replicas`.
    pub(crate) path: String,
    /// Null when it was absent.
    pub(crate) before: Value,
    /// Null when it is gone.
    pub(crate) after: Value,
}

/// The object as it is in the cluster.
pub(crate) async fn live(client: &Client, object: &Value) -> Result<Option<DynamicObject>> {
    kinds::api(client, object)
        .get_opt(kinds::name(object))
        .await
        .during(format!("cannot get {}", name_of(object)))
}

/// Applies one object of ours. An object of that name that somebody else made is left alone.
pub(crate) async fn apply(client: &Client, object: &Value, dry_run: DryRun) -> Result<Outcome> {
    let before = match live(client, object).await {
        Ok(before) => before,
        // The kind itself is not served yet.
        Err(error) if dry_run == DryRun::Server && error.is_not_found() => {
            return Ok(Outcome::NotJudged("its kind is not served yet"));
        }
        Err(error) => return Err(error),
    };
    if before
        .as_ref()
        .is_some_and(|before| !kinds::is_ours(before))
    {
        return Err(foreign(object));
    }
    let params = PatchParams {
        dry_run: dry_run == DryRun::Server,
        // The object is ours by its label, so its fields are.
        force: true,
        ..PatchParams::apply(names::PLUGIN)
    };
    let name = kinds::name(object);
    let applied = kinds::api(client, object)
        .patch(name, &params, &Patch::Apply(object))
        .await;
    let after = match applied.during(format!("cannot apply {}", name_of(object))) {
        Ok(after) => after,
        Err(error) if dry_run == DryRun::Server && error.is_not_found() => {
            return Ok(Outcome::NotJudged("its namespace does not exist yet"));
        }
        Err(error) => return Err(error),
    };
    let Some(before) = before else {
        return Ok(Outcome::Created);
    };
    let changes = changes(&essence(&before), &essence(&after));
    Ok(if changes.is_empty() {
        Outcome::Unchanged
    } else {
        Outcome::Configured(changes)
    })
}

/// An object that setup would have to overwrite, and must not.
pub(crate) fn foreign(object: &Value) -> Error {
    let mut message = name_of(object);
    if let Some(namespace) = kinds::namespace(object) {
        message = format!("{message} in namespace {namespace}");
    }
    Error::failed(format!(
        "{message} exists and does not carry the label {}={}",
        names::PART_OF,
        names::PROJECT
    ))
    .with_hint(take_over(object))
}

/// The command by which somebody gives us an object that setup did not make.
pub(crate) fn take_over(object: &Value) -> String {
    let place = kinds::namespace(object)
        .map(|namespace| format!(" -n {namespace}"))
        .unwrap_or_default();
    let label = format!("{}={}", names::PART_OF, names::PROJECT);
    format!(
        "delete it, or hand it over: kubectl label{place} {} {label}",
        name_of(object)
    )
}

/// What somebody chose about an object: neither status nor what the API server keeps for itself.
fn essence(object: &DynamicObject) -> Value {
    let mut value = object.data.clone();
    if let Some(map) = value.as_object_mut() {
        map.remove("status");
    }
    value["metadata"] = json!({ "labels": object.metadata.labels });
    value
}

/// The fields in which two values differ, each with its path. Lists of another length count as one field.
pub(crate) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    collect("", before, after, &mut found);
    found
}

fn collect(path: &str, before: &Value, after: &Value, found: &mut Vec<Change>) {
    match (before, after) {
        (Value::Object(b), Value::Object(a)) => {
            let mut keys: Vec<&String> = b
                .keys()
                .chain(a.keys().filter(|key| !b.contains_key(*key)))
                .collect();
            keys.sort();
            for key in keys {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                collect(
                    &path,
                    b.get(key).unwrap_or(&Value::Null),
                    a.get(key).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(b), Value::Array(a)) if b.len() == a.len() => {
            for (index, (b, a)) in b.iter().zip(a).enumerate() {
                collect(&format!("{path}[{index}]"), b, a, found);
            }
        }
        (b, a) if b == a => {}
        (b, a) => found.push(Change {
            path: path.to_owned(),
            before: b.clone(),
            after: a.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_named_by_its_path() {
        let before = json!({"spec": {"replicas": 1, "args": ["a"], "same": [1, {"x": 1}]}});
        let after = json!({"spec": {"replicas": 2, "args": ["a", "b"], "same": [1, {"x": 2}], "new": true}});
        let found: Vec<String> = changes(&before, &after)
            .into_iter()
            .map(|c| format!("{}: {} -> {}", c.path, c.before, c.after))
            .collect();
        assert_eq!(
            found,
            [
                r#"spec.args: ["a"] -> ["a","b"]"#,
                "spec.new: null -> true",
                "spec.replicas: 1 -> 2",
                "spec.same[1].x: 1 -> 2"
            ]
        );
    }

    #[test]
    fn status_and_server_fields_are_no_change() {
        let object = |text: &str| serde_json::from_str::<DynamicObject>(text).unwrap();
        let before = object(
            r#"{"apiVersion":"v1","kind":"X","metadata":{"name":"x","resourceVersion":"1"},"spec":{"a":1},"status":{"b":1}}"#,
        );
        let after = object(
            r#"{"apiVersion":"v1","kind":"X","metadata":{"name":"x","resourceVersion":"2"},"spec":{"a":1},"status":{"b":2}}"#,
        );
        assert_eq!(changes(&essence(&before), &essence(&after)), []);
    }
}
