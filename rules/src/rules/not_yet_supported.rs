//! MCP0320 not-yet-supported: a field of the schema, or a whole kind, whose behaviour this version does not have yet.

use api::AuthMode;
use serde_json::Value;

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0320", "not-yet-supported", &Kind::ALL, Class::Structural)
        .summary("a field of the schema, or a whole kind, whose behaviour this version does not have yet"),
    check,
};

/// Fields without behaviour, whatever they say.
const SERVER_FIELDS: [&str; 7] = [
    "toolSelector", "gatewayRef", "podTemplate", "permissionProfile", "rollout.canary", "autoscaling",
    "networkPolicy.egressTo",
];
/// Fields that may only say these words.
const SERVER_WORDS: [(&str, &[&str]); 1] = [
    ("rollout.strategy", &["RollingUpdate", "Recreate"]),
];
/// Fields of other kinds that this version does not act upon.
const SESSION_FIELDS: [&str; 1] = ["upstreamTokenSecretRef"];
const POLICY_FIELDS: [&str; 4] =
    ["registry.credentialsSecretRef", "registry.mirror", "images.catalogOnly", "images.catalogs"];

fn check(context: &Context<'_>, report: &mut Report) {
    let fields: &[&str] = match context.kind {
        Kind::Server => &SERVER_FIELDS,
        Kind::Grant => &[],
        Kind::Session => &SESSION_FIELDS,
        Kind::Policy => &POLICY_FIELDS,
        Kind::Tool | Kind::Prompt | Kind::Resource | Kind::Registry => return unserved(context.kind, report),
    };
    for field in fields {
        if context.raw(field).is_some_and(|value| !says_nothing(value)) {
            refuse(&format!("spec.{field}"), report);
        }
    }
    if let Some((spec, effective)) = context.server() {
        words(context, report);
        for (index, tool) in spec.tools.iter().enumerate() {
            if !tool.scopes.is_empty() && effective.auth.mode != AuthMode::OAuth {
                report
                    .at(format!("spec.tools[{index}].scopes"))
                    .must("must not be set: only a token of auth.mode oauth has scopes, so nothing would come of it")
                    .hint("take it away, or set auth.mode to oauth");
            }
        }
    }
}

/// A kind that is stored and judged, and that nothing acts upon.
fn unserved(kind: Kind, report: &mut Report) {
    report
        .at("kind")
        .given(kind)
        .must("is a kind that this version does not serve yet: nothing would come of the object")
        .hint("take it away; 'kubectl mcp lint' says what else is wrong with it");
}

fn words(context: &Context<'_>, report: &mut Report) {
    for (field, supported) in SERVER_WORDS {
        let Some(word) = context.raw(field).and_then(Value::as_str) else { continue };
        if !supported.contains(&word) {
            let name = field.rsplit('.').next().unwrap_or(field);
            report
                .at(format!("spec.{field}"))
                .given(word)
                .must(format!("must be {}: this version does not support another", supported.join(" or ")))
                .hint(format!("{name}: {}", supported[0]));
        }
    }
}

fn refuse(field: &str, report: &mut Report) {
    report.at(field).must("must not be set: this version does not support it yet").hint("take it away");
}

/// What means the same as being absent.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => false,
    }
}
