//! Objects as people write them.

use serde_json::{Value, json};

fn object(kind: &str, name: &str, base: Value, more: &Value) -> Value {
    let mut spec = base;
    for (key, value) in more.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// A server that the scene's policy allows.
pub(crate) fn server(name: &str, more: &Value) -> Value {
    let base = json!({"image": format!("registry.test/mcp/{name}:1"), "ingressHost": "mcp.example.test",
                      "tools": [{"name": "forecast", "sideEffect": "read"}]});
    object("MCPServer", name, base, more)
}

/// A grant to a person.
pub(crate) fn grant(name: &str, server: &str, human: &str, more: &Value) -> Value {
    let base = json!({"serverRef": {"name": server}, "subject": {"humanID": human}, "allowedSideEffects": ["read"]});
    object("MCPAccessGrant", name, base, more)
}

/// A session for the server `weather`.
pub(crate) fn session(name: &str, human: &str, more: &Value) -> Value {
    let base = json!({"serverRef": {"name": "weather"}, "subject": {"humanID": human},
                      "tokenHash": named_hash(name), "expiresAt": in_hours(1)});
    object("MCPAgentSession", name, base, more)
}

/// A hash that belongs to a name.
pub(crate) fn named_hash(name: &str) -> String {
    let number = name
        .bytes()
        .fold(1_u128, |number, byte| number << 8 | u128::from(byte));
    format!("{number:064x}")
}

/// A time that many hours from now.
pub(crate) fn in_hours(hours: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours)).to_string()
}
