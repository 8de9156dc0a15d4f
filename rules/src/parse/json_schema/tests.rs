//! What is a schema of a tool's arguments, and what is not.

use serde_json::json;

use super::*;

fn told(schema: &Value) -> Vec<(String, Option<String>)> {
    faults(schema.as_object().unwrap())
        .into_iter()
        .map(|fault| (fault.path, fault.hint))
        .collect()
}

fn paths(schema: &Value) -> Vec<String> {
    told(schema).into_iter().map(|(path, _)| path).collect()
}

#[test]
fn what_people_and_generators_write_is_a_schema() {
    for schema in [
        json!({"type": "object"}),
        json!({"type": "object", "additionalProperties": false, "properties": {"a": true, "b": {}}}),
        json!({"$schema": DIALECTS[0], "$id": "https://a.example/s", "type": "object", "properties": {
            "city": {"type": ["string", "null"], "minLength": 1, "maxLength": 1.0, "pattern": "^[A-Z]"},
            "days": {"type": "integer", "minimum": 1, "exclusiveMaximum": 15, "default": 3, "multipleOf": 0.5},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": true, "prefixItems": [{}]},
            "tree": {"$ref": "#/$defs/tree"}, "self": {"$ref": "#"}, "named": {"$ref": "#here"}
        }, "required": ["city"], "dependentRequired": {"days": ["city"]}, "$defs": {
            "tag": {"enum": ["a", 1, null]},
            "tree": {"type": "object", "properties": {"children": {"items": {"$ref": "#/$defs/tree"}}}},
            "odd/name ~": {"$anchor": "here"}, "yes": true,
            "uses": {"allOf": [{"$ref": "#/$defs/odd~1name%20~0"}, {"$ref": "#/$defs/uses/allOf/0"}, {"$ref": "#/$defs/yes"}]}
        }}),
        json!({"type": "object", "x-order": 1, "properties": {"type": {"type": "string"}, "required": {"type": "boolean"}}}),
    ] {
        assert_eq!(told(&schema), [], "{schema}");
    }
}

#[test]
fn each_fault_is_told_where_it_is() {
    let property = |schema: Value| json!({"type": "object", "properties": {"a": schema}});
    for (schema, expected) in [
        (json!({}), ""),
        (json!({"type": "array"}), ".type"),
        (json!({"type": ["object", "null"]}), ".type"),
        (
            json!({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}),
            ".$schema",
        ),
        (json!({"type": "object", "properties": []}), ".properties"),
        (json!({"type": "object", "required": "a"}), ".required"),
        (
            json!({"type": "object", "required": ["a", "a"]}),
            ".required[1]",
        ),
        (
            json!({"type": "object", "properties": {"a.b": 5}}),
            ".properties[a.b]",
        ),
        (property(json!("string")), ".properties.a"),
        (property(json!({"type": "int"})), ".properties.a.type"),
        (property(json!({"type": []})), ".properties.a.type"),
        (
            property(json!({"required": true})),
            ".properties.a.required",
        ),
        (
            property(json!({"minLength": -1})),
            ".properties.a.minLength",
        ),
        (
            property(json!({"exclusiveMinimum": true})),
            ".properties.a.exclusiveMinimum",
        ),
        (
            property(json!({"multipleOf": 0})),
            ".properties.a.multipleOf",
        ),
        (property(json!({"items": [{}]})), ".properties.a.items"),
        (property(json!({"anyOf": []})), ".properties.a.anyOf"),
        (
            property(json!({"anyOf": [{}, {"enum": 1}]})),
            ".properties.a.anyOf[1].enum",
        ),
        (
            property(json!({"pattern": "x".repeat(2000)})),
            ".properties.a.pattern",
        ),
        (
            property(json!({"$ref": "https://a.example/s"})),
            ".properties.a.$ref",
        ),
        (
            property(json!({"$ref": "other.json#/a"})),
            ".properties.a.$ref",
        ),
        (
            property(json!({"$ref": "#/$defs/none"})),
            ".properties.a.$ref",
        ),
        (property(json!({"$ref": "#none"})), ".properties.a.$ref"),
        (
            property(json!({"$ref": "#/properties/a"})),
            ".properties.a.$ref",
        ),
        (property(json!({"$ref": "#/type"})), ".properties.a.$ref"),
    ] {
        assert_eq!(paths(&schema), [expected], "{schema}");
    }
}

#[test]
fn the_type_that_was_meant_is_told() {
    for (written, meant) in [
        ("int", "integer"),
        ("strng", "string"),
        ("Boolean", "boolean"),
        ("dict", "object"),
    ] {
        let schema = json!({"type": "object", "properties": {"a": {"type": written}}});
        assert_eq!(told(&schema)[0].1, Some(format!("type: {meant}")));
    }
}

#[test]
fn depth_and_the_number_of_faults_are_bounded() {
    let mut deep = json!({"type": "string"});
    for _ in 0..100 {
        deep = json!({"type": "object", "properties": {"a": deep}});
    }
    assert_eq!(paths(&deep).len(), 1);
    let many: Vec<Value> = (0..5000).map(|_| json!({"type": "nothing"})).collect();
    let many = json!({"type": "object", "allOf": many});
    assert_eq!(paths(&many).len(), 20);
}

#[test]
fn a_long_chain_of_references_takes_no_longer_than_its_length() {
    let mut definitions = Map::new();
    for index in 0..3000 {
        let next = format!("#/$defs/d{}", (index + 1) % 3000);
        definitions.insert(format!("d{index}"), json!({"$ref": next}));
    }
    let schema = json!({"type": "object", "$defs": definitions});
    assert_eq!(paths(&schema).len(), 20);
}
