//! The walk against the schemas that the CRDs really have.

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
