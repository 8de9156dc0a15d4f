//! MCP0301 one-source: not exactly one of `image`, `toolSelector` and `remote`, or `remote` with what runs a server here.

use serde_json::Value;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0301", "one-source", SERVER, Class::Structural)
        .summary("not exactly one of `image`, `toolSelector` and `remote`, or `remote` with what runs a server here"),
    check,
};

/// What says how a server runs, and says nothing where none does. Fields that policies fill in are not among them.
const WORKLOAD: [&str; 14] = [
    "imageTag", "registryOverride", "useProvisionedRegistry", "command", "args", "env", "envFrom", "volumes", "volumeMounts",
    "serverToken", "port", "stdio", "podTemplate", "permissionProfile",
];

fn check(context: &Context<'_>, report: &mut Report) {
    let given: Vec<&str> =
        ["image", "toolSelector", "remote"].into_iter().filter(|field| context.raw(field).is_some()).collect();
    match given.as_slice() {
        [_] => {}
        [] => {
            report
                .at("spec.image")
                .must("must be given: a server has exactly one of image, toolSelector and remote")
                .hint("image: registry.example.com/team/server:1.2.3");
        }
        several => {
            report
                .at("spec")
                .judging(&several.join(","))
                .must(format!("must have exactly one of image, toolSelector and remote, and has {}", several.join(" and ")));
        }
    }
    if context.raw("remote").is_none() {
        return;
    }
    let url = context.raw("remote.url").is_some();
    if url == context.raw("remote.service").is_some() {
        report.at("spec.remote").must("must have exactly one of url and service").hint("take the other away");
    }
    if given == ["remote"] {
        elsewhere(context, url, report);
    }
}

/// The pod of a server elsewhere holds the gateway and nothing else.
fn elsewhere(context: &Context<'_>, url: bool, report: &mut Report) {
    let path = url.then_some("path");
    for field in WORKLOAD.into_iter().chain(path) {
        let says_something = |value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(items) => !items.is_empty(),
            Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => true,
        };
        if context.raw(field).is_some_and(says_something) {
            let why = if field == "path" {
                "must not be set with remote.url, which has the path in it"
            } else {
                "must not be set with remote: no server runs in the pod"
            };
            report.at(format!("spec.{field}")).must(why).hint("take it away");
        }
    }
    if !context.name.is_empty() && context.raw("remote.service.name").and_then(Value::as_str) == Some(context.name) {
        report
            .at("spec.remote.service.name")
            .given(context.name)
            .must("must not be the server's own Service: the gateway would call itself")
            .hint("name the Service of the server that runs elsewhere in the namespace");
    }
    if context.raw("gateway.enabled") == Some(&Value::Bool(false)) {
        report
            .at("spec.gateway.enabled")
            .given(false)
            .must("must be true with remote: without a gateway there is no pod")
            .hint("take gateway.enabled away");
    }
    if context.raw("transport").and_then(Value::as_str) == Some("stdio") {
        report
            .at("spec.transport")
            .given("stdio")
            .must("must be streamable-http or sse with remote: nobody is there to start a process")
            .hint("transport: streamable-http");
    }
}
