//! What the generated CRD schema says of an object, before the API server says it.
//!
//! `/mutate` and `lint` see an object before the API server has checked its shape, and all findings are to come at
//! once. So this walks the schema itself, and hands back a spec that the typed rules can read: what does not fit is
//! taken away or replaced by something neutral, and noted.

mod hints;
mod patterns;
mod shape;
mod walk;

use std::sync::LazyLock;

use api::{
    MCPAccessGrantSpec, MCPAgentSessionSpec, MCPPolicySpec, MCPPromptSpec, MCPRegistrySpec,
    MCPResourceSpec, MCPServerSpec, MCPToolSpec,
};
use serde::Deserialize as _;
use serde_json::Value;

use crate::kind::Kind;
use shape::Shape;
pub(crate) use walk::Violation;
use walk::{METADATA, TOP_LEVEL, Walk, keys, neutral};

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
    let mut walk = Walk::default();
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
        Kind::Server => walk.parse(schema, spec).map(Typed::Server),
        Kind::Grant => walk.parse(schema, spec).map(Typed::Grant),
        Kind::Session => walk.parse(schema, spec).map(Typed::Session),
        Kind::Policy => walk.parse(schema, spec).map(Typed::Policy),
        Kind::Tool => walk.parse(schema, spec).map(Typed::Tool),
        Kind::Prompt => walk.parse(schema, spec).map(Typed::Prompt),
        Kind::Resource => walk.parse(schema, spec).map(Typed::Resource),
        Kind::Registry => walk.parse(schema, spec).map(Typed::Registry),
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

/// Names of fields that a text of ours has and the schema does not.
pub(crate) fn unknown_fields(kind: Kind, object: &Value) -> Vec<Violation> {
    read(kind, object)
        .1
        .into_iter()
        .filter(|violation| violation.unknown)
        .collect()
}

#[cfg(test)]
mod tests;
