//! The walk against the schemas that the CRDs really have.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn the_neutral_spec_of_every_kind_can_be_read() {
    for kind in Kind::ALL {
        let spec = neutral(schema_of(kind));
        let read = match kind {
            Kind::Server => serde_json::from_value::<MCPServerSpec>(spec).is_ok(),
            Kind::Grant => serde_json::from_value::<MCPAccessGrantSpec>(spec).is_ok(),
            Kind::Session => serde_json::from_value::<MCPAgentSessionSpec>(spec).is_ok(),
            Kind::Policy => serde_json::from_value::<MCPPolicySpec>(spec).is_ok(),
            Kind::Tool => serde_json::from_value::<MCPToolSpec>(spec).is_ok(),
            Kind::Prompt => serde_json::from_value::<MCPPromptSpec>(spec).is_ok(),
            Kind::Resource => serde_json::from_value::<MCPResourceSpec>(spec).is_ok(),
            Kind::Registry => serde_json::from_value::<MCPRegistrySpec>(spec).is_ok(),
        };
        assert!(read, "{kind}");
    }
}

#[test]
fn every_pattern_of_the_schemas_has_a_reader() {
    fn visit(value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(pattern) = map.get("pattern").and_then(Value::as_str) {
                    assert!(
                        patterns::read(pattern, "").is_some(),
                        "no reader for {pattern}"
                    );
                }
                map.values().for_each(visit);
            }
            Value::Array(items) => items.iter().for_each(visit),
            _ => {}
        }
    }
    SCHEMAS.iter().for_each(|(_, schema)| visit(schema));
}

#[test]
fn an_entry_of_a_list_that_does_not_fit_keeps_its_place() {
    let object = json!({"spec": {"image": "x", "tools": [5, {"name": "b", "sideEffect": "eat"}, {"name": "c"}]}});
    let (typed, violations) = read(Kind::Server, &object);
    let Typed::Server(spec) = typed else {
        panic!("not a server")
    };
    assert_eq!(
        spec.tools
            .iter()
            .map(|tool| tool.name.as_str())
            .collect::<Vec<_>>(),
        ["", "b", "c"]
    );
    let paths: Vec<_> = violations
        .iter()
        .map(|violation| violation.path.as_str())
        .collect();
    assert_eq!(paths, ["spec.tools[0]", "spec.tools[1].sideEffect"]);
}

/// Values that are often right, and sometimes a little wrong, for a schema.
fn nearly(schema: &'static Value) -> BoxedStrategy<Value> {
    let wrong = prop::sample::select(vec![
        json!(null),
        json!(7),
        json!(-1),
        json!(""),
        json!([null]),
        json!({"x": 1}),
        json!(1.5),
    ]);
    let right: BoxedStrategy<Value> = match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let fields: Vec<_> = schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .collect();
            if fields.is_empty() {
                Just(json!({})).boxed()
            } else {
                let field = prop::sample::select(fields).prop_flat_map(|(key, schema)| {
                    nearly(schema).prop_map(|value| (key.clone(), value))
                });
                let base = neutral(schema);
                prop::collection::vec(field, 0..4)
                    .prop_map(move |fields| {
                        let mut map = base.as_object().cloned().unwrap_or_default();
                        map.extend(fields);
                        Value::Object(map)
                    })
                    .boxed()
            }
        }
        Some("array") => match schema.get("items") {
            Some(items) => prop::collection::vec(nearly(items), 0..3)
                .prop_map(Value::Array)
                .boxed(),
            None => Just(json!([])).boxed(),
        },
        Some("string") => {
            let words: Vec<Value> = schema
                .get("enum")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            let words = if words.is_empty() {
                vec![json!("a"), json!("30s"), json!("2030-01-31T12:00:00Z")]
            } else {
                words
            };
            prop::sample::select(words).boxed()
        }
        Some("integer" | "number") => prop::sample::select(vec![
            json!(0),
            json!(1),
            json!(8080),
            json!(70_000),
            json!(5_000_000_000_i64),
        ])
        .boxed(),
        Some("boolean") => any::<bool>().prop_map(Value::Bool).boxed(),
        _ => Just(json!("1")).boxed(),
    };
    prop_oneof![40 => right, 1 => wrong].boxed()
}

proptest! {
    #[test]
    fn what_fits_at_a_glance_is_what_the_walk_leaves_alone(
        (kind, spec) in prop::sample::select(Kind::ALL.to_vec()).prop_flat_map(|kind| (Just(kind), nearly(schema_of(kind))))
    ) {
        let shape = Shape::new(schema_of(kind));
        let mut walk = Walk::default();
        let mut walked = spec.clone();
        let kept = walk.value(schema_of(kind), &mut walked, "spec");
        prop_assert_eq!(shape.fits(&spec), kept && walk.violations.is_empty() && walked == spec);
    }
}
