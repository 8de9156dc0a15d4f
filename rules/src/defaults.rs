//! The mutating door: the policies' defaults, and the stamps that say who.
//!
//! Only what does not depend on another field that can change is written into the object; everything derived stays
//! with [`effective`](crate::effective). Works on the JSON as it came, so that no field is lost that this version does
//! not know. Doing it twice changes nothing.

use std::collections::BTreeMap;

use api::{Defaults, MCPAccessGrantSpec, names};
use serde_json::{Map, Value, json};

use crate::check::is_terminating;
use crate::context::annotation;
use crate::facts::{Facts, Operation, Requester};
use crate::kind::{Kind, kind_of};
use crate::policy::PolicySet;
use crate::questions::{is_own_session, namespace};
use crate::weakening::as_granted;

/// A field of the spec and the default that a policy may have for it.
type Field = (&'static str, fn(&Defaults) -> Option<Value>);

const FIELDS: [Field; 5] = [
    ("ingressHost", |defaults| {
        defaults.ingress_host.as_ref().map(|host| json!(host))
    }),
    ("ingressClass", |defaults| {
        defaults.ingress_class.as_ref().map(|class| json!(class))
    }),
    ("ingressTLSSecret", |defaults| {
        defaults
            .ingress_tls_secret
            .as_ref()
            .map(|secret| json!(secret))
    }),
    ("imagePullSecrets", |defaults| {
        (!defaults.image_pull_secrets.is_empty()).then(|| json!(defaults.image_pull_secrets))
    }),
    ("resources", |defaults| {
        serde_json::to_value(defaults.resources.as_ref()?).ok()
    }),
];

/// Fills in what the policies give and what says who. `old` is what the object is to replace, none for a creation.
pub fn default(object: &mut Value, old: Option<&Value>, facts: &Facts) {
    let Some(kind) = kind_of(object) else { return };
    let leave = matches!(facts.operation, Some(Operation::Delete | Operation::Live));
    if leave
        || old.is_some_and(is_terminating)
        || !object.get("metadata").is_none_or(Value::is_object)
    {
        return;
    }
    if kind == Kind::Server {
        let namespace = namespace(object, facts);
        fill(object, old, &facts.selected(&namespace));
    }
    if kind == Kind::Grant {
        remember(object, old, facts);
    }
    if let Some(requester) = facts.requester.get() {
        stamp(object, old, kind, requester, facts);
    }
}

/// What [`default`] changes, as a minimal JSON patch. Empty where it changes nothing.
pub fn default_patch(object: &Value, old: Option<&Value>, facts: &Facts) -> json_patch::Patch {
    let mut defaulted = object.clone();
    default(&mut defaulted, old, facts);
    json_patch::diff(object, &defaulted)
}

/// Fills in the policies' defaults and notes in an annotation which they were.
fn fill(object: &mut Value, old: Option<&Value>, policies: &PolicySet) {
    let before = Origins {
        claimed: origins(object),
        proven: old.map(origins).unwrap_or_default(),
    };
    let mut result = BTreeMap::new();
    for (key, pick) in FIELDS {
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
            break;
        };
        let default = policies
            .default_of(pick)
            .map(|(policy, value)| (policy.to_owned(), value));
        let was = old.and_then(|old| old.pointer(&format!("/spec/{key}")));
        let path = format!("spec.{key}");
        before.settle(spec, key, path, default, was, &mut result);
    }
    fill_labels(object, old, policies, &before, &mut result);
    let note = (!result.is_empty()).then(|| serde_json::to_string(&result).unwrap_or_default());
    annotate(object, names::DEFAULTED, note.as_deref());
}

fn fill_labels(
    object: &mut Value,
    old: Option<&Value>,
    policies: &PolicySet,
    before: &Origins,
    result: &mut BTreeMap<String, String>,
) {
    let mut wanted = BTreeMap::new();
    for (policy, spec) in policies.iter() {
        for (key, value) in spec.defaults.iter().flat_map(|defaults| &defaults.labels) {
            wanted
                .entry(key.as_str())
                .or_insert((policy, value.as_str()));
        }
    }
    if wanted.is_empty() {
        return;
    }
    let Some(labels) = member(object, "labels") else {
        return;
    };
    for (key, (policy, value)) in wanted {
        let was = old.and_then(|old| old.get("metadata")?.get("labels")?.get(key));
        let default = Some((policy.to_owned(), json!(value)));
        before.settle(
            labels,
            key,
            format!("metadata.labels[{key}]"),
            default,
            was,
            result,
        );
    }
}

/// Which fields were filled in before, by which policy.
struct Origins {
    /// As the object says, which may not be true.
    claimed: BTreeMap<String, String>,
    /// As the object that it replaces says.
    proven: BTreeMap<String, String>,
}

impl Origins {
    /// Fills in one field, or finds out whether it still holds a default that was filled in before.
    fn settle(
        &self,
        map: &mut Map<String, Value>,
        key: &str,
        path: String,
        default: Option<(String, Value)>,
        was: Option<&Value>,
        result: &mut BTreeMap<String, String>,
    ) {
        let current = map.get(key).filter(|value| !is_unset(value));
        match (current, default) {
            (None, Some((policy, value))) => {
                map.insert(key.to_owned(), value);
                result.insert(path, policy);
            }
            (Some(current), Some((policy, value))) if *current == value => {
                if self.claimed.contains_key(&path) || self.proven.contains_key(&path) {
                    result.insert(path, policy);
                }
            }
            (Some(current), _) => {
                if let Some(policy) = self.proven.get(&path).filter(|_| was == Some(current)) {
                    result.insert(path, policy.clone());
                }
            }
            (None, None) => {}
        }
    }
}

/// What an author did not set: absent, null, or an empty list.
fn is_unset(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn origins(object: &Value) -> BTreeMap<String, String> {
    annotation(object, names::DEFAULTED)
        .and_then(|note| serde_json::from_str(note).ok())
        .unwrap_or_default()
}

/// Keeps with a grant what its server asks for. What the object itself says of it counts for nothing.
fn remember(object: &mut Value, old: Option<&Value>, facts: &Facts) {
    if facts.servers.get().is_none() {
        return;
    }
    let spec = |object: &Value| -> Option<MCPAccessGrantSpec> {
        serde_json::from_value(object.get("spec")?.clone()).ok()
    };
    let Some(grant) = spec(object) else { return };
    let before = old.and_then(|old| annotation(old, names::SERVER_AS_GRANTED));
    let kept = if old.is_some_and(|old| old.get("spec") == object.get("spec")) {
        before.map(str::to_owned)
    } else {
        let server = facts.server(&namespace(object, facts), &grant.server_ref.name);
        as_granted(&grant, server, before)
    };
    annotate(object, names::SERVER_AS_GRANTED, kept.as_deref());
}

/// Writes the stamps on CREATE over whatever is there. On UPDATE a stamp that the change left out is put back, so that
/// `kubectl replace` works; one that was changed stays, for MCP0910 to refuse.
fn stamp(
    object: &mut Value,
    old: Option<&Value>,
    kind: Kind,
    requester: &Requester,
    facts: &Facts,
) {
    let Some(old) = old else {
        let groups = expected_groups(object, kind, requester, facts);
        annotate(object, names::REQUESTED_BY, Some(&requester.username));
        annotate(object, names::REQUESTED_BY_GROUPS, Some(&groups));
        annotate(
            object,
            names::EDITED_BY,
            (kind == Kind::Server).then_some(requester.username.as_str()),
        );
        return;
    };
    for key in [
        names::REQUESTED_BY,
        names::REQUESTED_BY_GROUPS,
        names::EDITED_BY,
    ] {
        if annotation(object, key).is_none()
            && let Some(value) = annotation(old, key)
        {
            annotate(object, key, Some(value));
        }
    }
    if kind == Kind::Server && object.get("spec") != old.get("spec") {
        annotate(object, names::EDITED_BY, Some(&requester.username));
    }
}

/// The groups that are stamped: none on a session for somebody else, whose groups nobody knows.
pub(crate) fn expected_groups(
    object: &Value,
    kind: Kind,
    requester: &Requester,
    facts: &Facts,
) -> String {
    if kind == Kind::Session && !is_own_session(object, requester, facts) {
        return "[]".to_owned();
    }
    json!(requester.groups).to_string()
}

/// Sets or removes an annotation.
fn annotate(object: &mut Value, key: &str, value: Option<&str>) {
    if annotation(object, key) == value && value.is_some() {
        return;
    }
    if let Some(value) = value {
        if let Some(annotations) = member(object, "annotations") {
            annotations.insert(key.to_owned(), json!(value));
        }
        return;
    }
    let annotations = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"));
    if let Some(Value::Object(annotations)) = annotations {
        annotations.remove(key);
    }
}

/// A map of the metadata, made where it is absent. `None` where something else is in its place.
fn member<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let metadata = object
        .as_object_mut()?
        .entry("metadata")
        .or_insert_with(|| json!({}))
        .as_object_mut()?;
    let slot = metadata.entry(key).or_insert_with(|| json!({}));
    if slot.is_null() {
        *slot = json!({});
    }
    slot.as_object_mut()
}
