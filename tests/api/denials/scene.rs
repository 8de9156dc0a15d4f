//! A fixture of a rule, made real on an API server.
//!
//! The fixtures live at noon of 1 June 2026. All their times are moved to now, and what is printed is moved back.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{Environment, Said};

use super::page::Printed;
use crate::door::{delete, ingress_class, teams, write};
use crate::platform::PAST;

/// When the fixtures live.
const NOON: &str = "2026-06-01T12:00:00Z";
/// How long a time is as text.
const TIME: usize = NOON.len();
/// Who asks in the fixtures, and his group.
const REQUESTER: [&str; 3] = [
    "--as=alice@example.com",
    "--as-group=team-a",
    "--as-group=test:requesters",
];
/// Besides, unless a fixture says otherwise: the verb grant, and every Secret may be read.
const GRANTER: &str = "--as-group=test:granters";
/// Besides, where every question about him is answered with yes.
const MIGHTY: &str = "--as-group=test:mighty";
/// Keeps an object that a fixture wants to be on its way out.
const FINALIZER: &str = "test.kubectl-mcp.dev/hold";
/// Where the file is applied from when it names no object.
const NAMELESS: &str = "object";

/// One fixture.
pub(super) struct Scene {
    facts: Vec<Value>,
    old: Option<Value>,
    new: Option<Value>,
    group: Option<&'static str>,
    shift: SignedDuration,
}

impl Scene {
    /// Reads a fixture and moves it to now.
    pub(super) fn of(fixture: &Value) -> Self {
        let noon: Timestamp = NOON.parse().expect("it is a time");
        let now = Timestamp::from_second(Timestamp::now().as_second()).expect("now is a time");
        let shift = now.duration_since(noon);
        let mut fixture = fixture.clone();
        move_times(&mut fixture, shift);
        let given = |key: &str| fixture.get(key).filter(|value| !value.is_null()).cloned();
        let (mut old, mut new) = (given("old"), given("new"));
        if old
            .as_ref()
            .is_some_and(|old| old.pointer("/metadata/deletionTimestamp").is_some())
        {
            for object in [&mut old, &mut new].into_iter().flatten() {
                hold(object);
            }
        }
        Self {
            facts: facts(&fixture["facts"]),
            old,
            new,
            group: match fixture["facts"]["answers"].as_bool() {
                None => Some(GRANTER),
                Some(true) => Some(MIGHTY),
                Some(false) => None,
            },
            shift,
        }
    }

    /// Writes what the fixture takes for granted, or says what the API server has against it.
    pub(super) fn set(&self, environment: &Environment) -> Result<(), String> {
        let elsewhere = |fact: &&Value| !["default", "team-a", "team-b"].contains(&namespace(fact));
        for fact in self.facts.iter().filter(elsewhere) {
            teams(environment, &[namespace(fact)]);
        }
        for fact in &self.facts {
            self.put(
                environment,
                &["apply", "--server-side", "--force-conflicts"],
                fact,
            )?;
        }
        if let Some(old) = &self.old {
            let mut stored = old.clone();
            let terminating = stored["metadata"]
                .as_object_mut()
                .and_then(|metadata| metadata.remove("deletionTimestamp"));
            self.put(environment, &["apply"], &stored)?;
            if terminating.is_some() {
                delete(
                    environment,
                    &["--wait=false", &resource(old), "-n", namespace(old)],
                );
            }
        }
        Ok(())
    }

    fn put(&self, environment: &Environment, verb: &[&str], object: &Value) -> Result<(), String> {
        let past = [&PAST[..], &["-f", "-"]].concat();
        let said = environment.kubectl_with(&[verb, &past].concat(), &object.to_string());
        if said.ok {
            Ok(())
        } else {
            Err(self.back(&said.err))
        }
    }

    /// What `kubectl` prints of the change, without doing it or really.
    pub(super) fn printed(&self, environment: &Environment, fixture: &str, dry: bool) -> Printed {
        let object = self
            .new
            .as_ref()
            .or(self.old.as_ref())
            .expect("a fixture has an object");
        let file = format!(
            "{}.yaml",
            object["metadata"]["name"].as_str().unwrap_or(NAMELESS)
        );
        let words: Vec<String> = match &self.new {
            Some(_) => vec!["apply".to_owned(), "-f".to_owned(), file.clone()],
            None => vec![
                "delete".to_owned(),
                resource(object),
                "-n".to_owned(),
                namespace(object).to_owned(),
            ],
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut written = object.clone();
        if let Some(metadata) = written["metadata"].as_object_mut() {
            metadata.remove("deletionTimestamp");
        }
        fs::write(folder.path().join(&file), written.to_string()).expect("the folder is ours");
        let mut command = environment.command("kubectl");
        command
            .current_dir(folder.path())
            .args(&words)
            .args(REQUESTER)
            .args(self.group);
        if dry {
            command.arg("--dry-run=server");
        }
        let said = Said::of(&mut command);
        let text = format!("{}{}", said.err, said.out).replace(" (server dry run)", "");
        Printed {
            fixture: fixture.to_owned(),
            command: format!("kubectl {}", words.join(" ")),
            text: self.back(&text),
            refused: !said.ok,
        }
    }

    /// Takes everything away again.
    pub(super) fn clear(&self, environment: &Environment) {
        for object in self
            .new
            .iter()
            .chain(&self.old)
            .filter(|object| is_held(object))
        {
            let free = r#"{"metadata":{"finalizers":null}}"#;
            let arguments = [
                "patch",
                &resource(object),
                "-n",
                namespace(object),
                "--type=merge",
                "-p",
                free,
            ];
            // It may be gone already.
            environment.kubectl(&[&arguments[..], &PAST].concat());
        }
        let all: Vec<Value> = self
            .facts
            .iter()
            .chain(&self.old)
            .chain(&self.new)
            .filter(|object| object["metadata"]["name"].is_string())
            .map(|object| {
                json!({"apiVersion": object["apiVersion"], "kind": object["kind"],
                       "metadata": {"name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"]}})
            })
            .filter(|object| object["kind"] != "Namespace")
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": all});
        let delete = ["delete", "--ignore-not-found", "-f", "-"];
        environment
            .kubectl_with(&[&delete, &PAST[..]].concat(), &list.to_string())
            .expect_ok();
    }

    /// A text with its times as the fixtures have them.
    fn back(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(time) = rest.get(..TIME).and_then(time) {
                out.push_str(&(time - self.shift).to_string());
                rest = &rest[TIME..];
            } else {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        out
    }
}

/// A whole second as text.
fn time(text: &str) -> Option<Timestamp> {
    let shaped = text.len() == TIME
        && text.starts_with("20")
        && text.ends_with('Z')
        && text.as_bytes()[10] == b'T';
    if shaped { text.parse().ok() } else { None }
}

fn move_times(value: &mut Value, shift: SignedDuration) {
    match value {
        Value::String(text) => {
            if let Some(time) = time(text) {
                *text = (time + shift).to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_times(item, shift)),
        Value::Object(map) => map.values_mut().for_each(|item| move_times(item, shift)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The objects of the facts. Policies are held to the namespaces of the tests that ask the webhook.
fn facts(facts: &Value) -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for (key, value) in facts.as_object().into_iter().flatten() {
        for item in value.as_array().into_iter().flatten() {
            if key == "ingressClasses" {
                objects.push(ingress_class(item.as_str().unwrap_or_default()));
            } else if key == "services" {
                objects.push(service(item));
            } else if item["kind"].is_string() {
                objects.push(item.clone());
            }
        }
    }
    if !facts["ingressClasses"].is_array() {
        objects.push(ingress_class("traefik"));
    }
    for policy in objects
        .iter_mut()
        .filter(|object| object["kind"] == "MCPPolicy")
    {
        if policy["spec"]["namespaceSelector"].is_null() {
            policy["spec"]["namespaceSelector"] =
                json!({"matchLabels": {crate::platform::WEBHOOK_LABEL: "true"}});
        }
    }
    objects
}

/// A Service of the facts. Secrets and ConfigMaps are left out: the webhook may not look at them.
fn service(fact: &Value) -> Value {
    let spec = if fact["externalName"] == true {
        json!({"type": "ExternalName", "externalName": "weather.example.com"})
    } else {
        let mut spec = json!({"ports": fact["ports"], "selector": {"app": "none"}});
        if fact["headless"] == true {
            spec["clusterIP"] = "None".into();
        }
        spec
    };
    json!({
        "apiVersion": "v1", "kind": "Service", "spec": spec,
        "metadata": {"name": fact["name"], "namespace": fact["namespace"], "labels": fact["labels"]}
    })
}

fn hold(object: &mut Value) {
    let finalizers = &mut object["metadata"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(list) => list.push(FINALIZER.into()),
        None => *finalizers = json!([FINALIZER]),
    }
}

fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"].is_array()
}

fn resource(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"]
        .as_str()
        .unwrap_or("default")
}

/// The rights of the fixtures' requester: everything with our kinds but the verbs of our own; those by other groups.
pub(crate) fn grant_rights(environment: &Environment) {
    let ours = |resources: &[&str], verbs: &[&str]| json!({"apiGroups": ["kubectl-mcp.dev"], "resources": resources, "verbs": verbs});
    let plain = [
        "get", "list", "watch", "create", "update", "patch", "delete",
    ];
    let special = ours(
        &["mcpservers", "mcpagentsessions"],
        &["grant", "weaken", "revoke", "impersonate"],
    );
    let secrets = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]});
    let rights = [
        ("requesters", vec![ours(&["*"], &plain)]),
        (
            "granters",
            vec![ours(&["mcpservers"], &["grant"]), secrets.clone()],
        ),
        ("mighty", vec![special, secrets]),
    ];
    for (group, rules) in rights {
        let name = format!("test-{group}");
        let version = "rbac.authorization.k8s.io/v1";
        write(
            environment,
            &json!({"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}),
        );
        write(
            environment,
            &json!({
                "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": format!("test:{group}")}]
            }),
        );
    }
}
