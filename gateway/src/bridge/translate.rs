//! What one era's messages are in the other's. Pure.
//!
//! A modern caller in front of a legacy server is the usual case; a legacy client in front of a server that is modern
//! only gets what both eras have. Neither way is a client asked for anything in the middle of a call.

use serde_json::{Value, json};

use super::Draft;
use super::answering::Outcomes;
use super::routing::SUBSCRIPTION;
use super::wire::{self, Object, Outcome};
use crate::protocol::{LEGACY, META_CAPABILITIES, META_VERSION, MODERN, NEWEST_LEGACY, code};

/// What the specification keeps for itself in `_meta`.
const RESERVED: &str = "io.modelcontextprotocol/";
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// A resource that is not there, in the legacy era.
const RESOURCE_NOT_FOUND: &str = "-32002";
/// Methods whose results say how long they may be kept, in the modern era.
const KEPT: [&str; 5] = [
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
];

/// Parameters of a modern request, for a legacy server: some refuse reserved keys.
pub(super) fn params_to_legacy(params: Option<&str>) -> Option<String> {
    let mut params = Object::read(params?)?;
    if let Some(meta) = params.get("_meta").map(str::to_owned) {
        let mut meta = Object::of(Some(&meta));
        meta.retain(|key| !key.starts_with(RESERVED));
        let meta = meta.text();
        if meta == "{}" {
            params.retain(|key| key != "_meta");
        } else {
            params.set("_meta", meta);
        }
    }
    Some(params.text())
}

/// The outcome of a legacy server, for a modern caller.
pub(super) fn outcome_to_modern(method: &str, outcome: Outcome<'_>) -> Outcomes {
    match outcome {
        Outcome::Result(result) => Ok(complete(result, KEPT.contains(&method))),
        Outcome::Error(error) => {
            let mut object = Object::of(Some(error));
            if object.get("code") == Some(RESOURCE_NOT_FOUND) {
                object.set("code", code::INVALID_PARAMS.to_string());
                return Err(object.text());
            }
            Err(error.to_owned())
        }
    }
}

/// A result with what every modern one has. Whether it may be kept is the server's to say, and a legacy one cannot.
fn complete(result: &str, kept: bool) -> String {
    let Some(mut object) = Object::read(result) else {
        return result.to_owned();
    };
    if object.get("resultType").is_none() {
        object.set("resultType", r#""complete""#);
    }
    if kept {
        for (key, value) in [("ttlMs", "0"), ("cacheScope", r#""private""#)] {
            if object.get(key).is_none() {
                object.set(key, value);
            }
        }
    }
    object.text()
}

/// The result of `server/discover`, from a legacy server's result of `initialize`.
pub(super) fn discover(hello: &str) -> String {
    let hello = Object::of(Some(hello));
    let spoken = hello.string("protocolVersion").unwrap_or_default();
    let served = LEGACY.iter().filter(|version| **version <= spoken.as_str());
    let versions: Vec<&&str> = MODERN.iter().chain(served).collect();
    let mut capabilities = Object::of(hello.get("capabilities"));
    // Tasks are another thing in the modern era, and a level for log messages cannot be given with each request.
    capabilities.retain(|key| key != "tasks" && key != "logging");
    let mut result = Object::default();
    result.set("supportedVersions", json!(versions).to_string());
    result.set("capabilities", capabilities.text());
    if let Some(instructions) = hello.get("instructions") {
        result.set("instructions", instructions);
    }
    result.set("ttlMs", "0");
    result.set("cacheScope", r#""private""#);
    result.set("resultType", r#""complete""#);
    if let Some(info) = hello.get("serverInfo") {
        let mut meta = Object::default();
        meta.set(SERVER_INFO, info);
        result.set("_meta", meta.text());
    }
    result.text()
}

/// The last message of a subscription that the server ends.
pub(super) fn listened(id: &str) -> String {
    format!(r#"{{"resultType":"complete","_meta":{{"{SUBSCRIPTION}":{id}}}}}"#)
}

/// The result of `initialize`, from a legacy server's own: of an older version if the client asked for one.
pub(super) fn initialized(hello: &str, draft: &Draft) -> String {
    let mut object = Object::of(Some(hello));
    let spoken = object.string("protocolVersion").unwrap_or_default();
    if LEGACY.contains(&draft.version.as_str()) && draft.version < spoken {
        object.set("protocolVersion", wire::quoted(&draft.version));
    }
    object.text()
}

/// The result of `initialize`, from a modern server's result of `server/discover`. What needs a subscription or a log
/// level is not offered.
pub(super) fn initialized_by_modern(discovered: &str, draft: &Draft) -> String {
    let discovered: Value = serde_json::from_str(discovered).unwrap_or_default();
    let version = LEGACY
        .iter()
        .find(|version| **version == draft.version)
        .unwrap_or(&NEWEST_LEGACY);
    let mut capabilities = serde_json::Map::new();
    for name in ["tools", "prompts", "resources", "completions"] {
        if discovered["capabilities"].get(name).is_some() {
            capabilities.insert(name.to_owned(), json!({}));
        }
    }
    let info = discovered["_meta"].get(SERVER_INFO);
    let mut result = json!({
        "protocolVersion": version,
        "capabilities": capabilities,
        "serverInfo": info.cloned().unwrap_or_else(|| json!({ "name": "unknown", "version": "0" })),
    });
    if let Some(instructions) = discovered.get("instructions") {
        result["instructions"] = instructions.clone();
    }
    result.to_string()
}

/// Parameters of a legacy request, for a modern server: with the envelope.
pub(super) fn params_to_modern(params: Option<&str>, initialize: &str) -> String {
    let initialize = Object::of(Some(initialize));
    let info = initialize
        .get("clientInfo")
        .unwrap_or(r#"{"name":"unknown","version":"0"}"#);
    let params = wire::with_meta(params, META_VERSION, &wire::quoted(MODERN[0]));
    let params = wire::with_meta(Some(&params), META_CAPABILITIES, "{}");
    wire::with_meta(Some(&params), "io.modelcontextprotocol/clientInfo", info)
}

/// The outcome of a modern server, for a legacy client.
pub(super) fn outcome_to_legacy(outcome: Outcome<'_>) -> Outcomes {
    match outcome {
        Outcome::Error(error) => Err(error.to_owned()),
        Outcome::Result(result) => {
            let mut object = Object::of(Some(result));
            if object
                .string("resultType")
                .is_some_and(|kind| kind != "complete")
            {
                let message = "the server asks for input, which a client of this protocol version cannot be asked for";
                return Err(wire::error(code::INTERNAL_ERROR, message));
            }
            object.retain(|key| !["resultType", "ttlMs", "cacheScope"].contains(&key));
            Ok(object.text())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_keys_do_not_cross_the_eras() {
        let params = r#"{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":1,"traceparent":"x"},"arguments":{"n":1.0}}"#;
        assert_eq!(
            params_to_legacy(Some(params)).as_deref(),
            Some(
                r#"{"name":"a","_meta":{"progressToken":1,"traceparent":"x"},"arguments":{"n":1.0}}"#
            )
        );
        let only = r#"{"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}}"#;
        assert_eq!(params_to_legacy(Some(only)).as_deref(), Some("{}"));
        assert_eq!(params_to_legacy(None), None);
    }

    #[test]
    fn a_result_gets_what_modern_ones_have_and_keeps_the_rest() {
        let list = outcome_to_modern("tools/list", Outcome::Result(r#"{"tools":[1.0]}"#));
        assert_eq!(
            list.as_deref(),
            Ok(r#"{"tools":[1.0],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#)
        );
        let call = outcome_to_modern("tools/call", Outcome::Result("{}"));
        assert_eq!(call.as_deref(), Ok(r#"{"resultType":"complete"}"#));
    }

    #[test]
    fn a_resource_that_is_not_there_has_the_code_of_the_era() {
        let error = r#"{"code":-32002,"message":"no","data":{"uri":"x"}}"#;
        assert_eq!(
            outcome_to_modern("resources/read", Outcome::Error(error)),
            Err(r#"{"code":-32602,"message":"no","data":{"uri":"x"}}"#.to_owned())
        );
    }

    #[test]
    fn discover_says_what_is_really_served() {
        let hello = r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"logging":{},"tasks":{}},"serverInfo":{"name":"n","version":"1"},"instructions":"i"}"#;
        let found: Value = serde_json::from_str(&discover(hello)).unwrap();
        assert_eq!(
            found,
            json!({
                "supportedVersions": ["2026-07-28", "2024-11-05", "2025-03-26", "2025-06-18"],
                "capabilities": { "tools": { "listChanged": true } }, "instructions": "i",
                "ttlMs": 0, "cacheScope": "private", "resultType": "complete",
                "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "n", "version": "1" } },
            })
        );
    }

    #[test]
    fn a_legacy_client_gets_what_both_eras_have() {
        let draft = Draft {
            params: String::new(),
            version: "2025-06-18".to_owned(),
            capabilities: "{}".to_owned(),
        };
        let discovered = r#"{"capabilities":{"tools":{"listChanged":true},"logging":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n","version":"1"}}}"#;
        let result: Value =
            serde_json::from_str(&initialized_by_modern(discovered, &draft)).unwrap();
        assert_eq!(
            result,
            json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} }, "serverInfo": { "name": "n", "version": "1" } })
        );
        assert!(outcome_to_legacy(Outcome::Result(r#"{"resultType":"input_required"}"#)).is_err());
        assert_eq!(
            outcome_to_legacy(Outcome::Result(r#"{"resultType":"complete","content":[]}"#))
                .as_deref(),
            Ok(r#"{"content":[]}"#)
        );
    }
}
