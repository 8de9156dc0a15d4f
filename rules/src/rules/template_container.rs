//! MCP0311 template-container: `podTemplate` is no pod template, or a container of it has no image, no name or one of ours.

use std::collections::BTreeSet;

use api::names::{GATEWAY_CONTAINER, SERVER_CONTAINER, VOLUME_PREFIX};
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use serde_json::{Map, Value, json};

use crate::finding::{escape, fingerprint};
use crate::parse::name::is_dns_1123;
use crate::template::{MOST_CONTAINERS, MOST_VOLUMES};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0311", "template-container", SERVER, Class::Structural)
        .summary(
            "`podTemplate` is no pod template, has too many containers, or one without image, without name, with a name of ours \
             or twice",
        ),
    check,
};

const PATH: &str = "spec.podTemplate";
const FORM: &str = "must be as in a pod template of Kubernetes";

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(template) = context.raw("podTemplate") else { return };
    // Where the field is no mapping at all, the schema says so.
    let Some(parts) = template.as_object() else { return };
    if !decodes::<PodTemplateSpec>(template) {
        let judged = fingerprint(&template.to_string());
        // What was given may be a secret, and is not quoted.
        for field in undecodable(parts) {
            report.at(field).judging(&judged).must(FORM).hint("kubectl explain pod.spec describes its fields");
        }
    }
    too_many(template, report);
    let mut seen = BTreeSet::from([SERVER_CONTAINER]);
    let mut servers = 0;
    for list in ["containers", "initContainers"] {
        let containers = template.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        for (index, container) in containers.into_iter().flatten().take(MOST_CONTAINERS).enumerate() {
            let path = format!("{PATH}.spec.{list}[{index}]");
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            if name == SERVER_CONTAINER && list == "containers" {
                servers += 1;
                if servers > 1 {
                    twice(&path, name, report);
                }
                continue;
            }
            named(&path, name, report);
            if !seen.insert(name) && !name.is_empty() {
                twice(&path, name, report);
            }
            if container.get("image").and_then(Value::as_str).is_none_or(str::is_empty) {
                report
                    .at(format!("{path}.image"))
                    .judging(name)
                    .must("must be given: only the container 'server' has its image from the spec of the MCPServer")
                    .hint(format!("image: registry.example.com/team/helper:1.2.3, or name: {SERVER_CONTAINER}"));
            }
        }
    }
}

/// Other rules look at so many and no more.
fn too_many(template: &Value, report: &mut Report) {
    for (list, most) in [
        ("containers", MOST_CONTAINERS),
        ("initContainers", MOST_CONTAINERS),
        ("ephemeralContainers", MOST_CONTAINERS),
        ("volumes", MOST_VOLUMES),
    ] {
        let count = template.pointer(&format!("/spec/{list}")).and_then(Value::as_array).map_or(0, Vec::len);
        if count > most {
            report.at(format!("{PATH}.spec.{list}")).given(count).must(format!("must have at most {most} entries"));
        }
    }
}

fn named(path: &str, name: &str, report: &mut Report) {
    let field = format!("{path}.name");
    if name == GATEWAY_CONTAINER || name.starts_with(VOLUME_PREFIX) {
        report
            .at(field)
            .given(name)
            .must(format!("must not be '{GATEWAY_CONTAINER}' and not begin with {VOLUME_PREFIX}: these are ours"))
            .hint("choose another name");
    } else if !is_dns_1123(name) {
        report.at(field).given(name).must("must be 1 to 63 lower-case letters, digits and '-', with '-' at no end");
    }
}

fn twice(path: &str, name: &str, report: &mut Report) {
    report.at(format!("{path}.name")).given(name).must("must not be there twice").hint("rename one of the two");
}

fn decodes<T: serde::de::DeserializeOwned>(value: &Value) -> bool {
    T::deserialize(value).is_ok()
}

/// The paths of the parts that are not of the right form: the smallest that can be told.
fn undecodable(parts: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in parts {
        let Some(fields) = value.as_object().filter(|_| key == "metadata" || key == "spec") else {
            if !decodes::<PodTemplateSpec>(&json!({key: value})) {
                found.push(format!("{PATH}.{}", escape(key)));
            }
            continue;
        };
        for (field, value) in fields {
            let path = format!("{PATH}.{key}.{}", escape(field));
            if decodes::<PodTemplateSpec>(&json!({key: {field: value}})) {
                continue;
            }
            match value.as_array().filter(|_| field == "containers" || field == "initContainers") {
                Some(containers) => {
                    for (index, container) in containers.iter().enumerate() {
                        found.extend(in_container(&format!("{path}[{index}]"), container));
                    }
                }
                None => found.push(path),
            }
        }
    }
    if found.is_empty() {
        found.push(PATH.to_owned());
    }
    found
}

fn in_container(path: &str, container: &Value) -> Vec<String> {
    if decodes::<Container>(container) {
        return Vec::new();
    }
    let wrong: Vec<String> = container
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(field, value)| !decodes::<Container>(&json!({field.as_str(): value})))
        .map(|(field, _)| format!("{path}.{}", escape(field)))
        .collect();
    if wrong.is_empty() { vec![path.to_owned()] } else { wrong }
}
