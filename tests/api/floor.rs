//! The floor of policies on a real API server without any webhook: what the operator makes of a policy, and what the API
//! server then refuses by itself.

mod checks;
mod life;
mod parity;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{Environment, eventually};

use crate::identity::Operator;
use crate::platform::{Platform, Turn};

/// One story, because two operators would share one lease.
#[test]
fn what_cel_can_say_of_a_policy_holds_without_the_webhook() {
    let _turn = Turn::wait();
    let platform = Platform::bare();
    let operator = Operator::start(platform);
    let environment = &platform.environment;
    checks::every_field_that_the_floor_knows_is_held(environment);
    checks::an_update_passes_that_leaves_alone_what_a_check_reads(environment);
    checks::annotations_are_held_where_no_policy_lists_them(environment);
    checks::scaling_keeps_to_the_limit(environment);
    checks::two_policies_must_both_be_met(environment);
    life::each_action_has_its_objects_and_its_effect(environment);
    life::what_somebody_changed_is_put_right(environment);
    life::nothing_is_written_when_nothing_changed(environment, operator.admin);
    life::the_floor_goes_with_its_policy(environment);
    parity::no_allowed_image_is_refused_and_the_gaps_are_known(environment);
    parity::no_allowed_host_or_path_is_refused_and_the_gaps_are_known(environment);
}

/// A namespace and a policy for it alone, both of one name, taken away at the end.
struct Team<'a> {
    environment: &'a Environment,
    name: String,
}

impl<'a> Team<'a> {
    /// Makes both, and waits until the floor is in place.
    fn new(environment: &'a Environment, name: &str, spec: &Value) -> Self {
        let team = Self::unguarded(environment, name, spec);
        team.await_floor();
        team
    }

    /// Makes both.
    fn unguarded(environment: &'a Environment, name: &str, spec: &Value) -> Self {
        let name = format!("floor-{name}-{}", std::process::id());
        environment
            .kubectl(&["create", "namespace", &name])
            .expect_ok();
        let team = Self { environment, name };
        team.set(spec);
        team
    }

    /// The policy with another spec.
    fn set(&self, spec: &Value) {
        let policy = self.policy(spec);
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.environment
            .kubectl_with(&arguments, &policy.to_string())
            .expect_ok();
    }

    fn policy(&self, spec: &Value) -> Value {
        let mut spec = spec.clone();
        spec["namespaceSelector"] =
            json!({"matchLabels": {"kubernetes.io/metadata.name": self.name}});
        json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": self.name}, "spec": spec})
    }

    fn floor_ready(&self) -> Value {
        let policy = self
            .environment
            .get(&["mcppolicy", &self.name])
            .unwrap_or_default();
        let current = policy["metadata"]["generation"].clone();
        let conditions = policy["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = conditions
            .into_iter()
            .find(|c| c["type"] == "FloorReady" && c["observedGeneration"] == current);
        found.unwrap_or_default()
    }

    /// Waits until the operator says so.
    fn await_condition(&self) -> String {
        eventually(&format!("the floor of {} is in place", self.name), || {
            let found = self.floor_ready();
            if found["status"] == "True" {
                Ok(found["reason"].as_str().unwrap_or_default().to_owned())
            } else {
                Err(found.to_string())
            }
        })
    }

    /// Waits until the API server holds it, too: it learns of policies by a watch.
    fn await_floor(&self) {
        self.await_condition();
        let probe = server("probe", &json!({"image": "not an image"}));
        eventually(
            &format!("the API server holds the floor of {}", self.name),
            || {
                let refused = self.put(std::slice::from_ref(&probe));
                match refused.get("probe") {
                    Some(text) if text.contains("MCP0") => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        );
    }

    /// Puts objects to the API server in one go, without storing them: what it said to each that it refused, by name.
    fn put(&self, objects: &[Value]) -> BTreeMap<String, String> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let arguments = ["create", "-n", &self.name, "--dry-run=server", "-f", "-"];
        let said = self.environment.kubectl_with(&arguments, &list.to_string());
        let created: Vec<&str> = said
            .out
            .lines()
            .filter_map(|line| line.split('/').nth(1)?.split(' ').next())
            .collect();
        let mut refused = BTreeMap::new();
        for object in objects {
            let name = object["metadata"]["name"].as_str().expect("it has a name");
            if created.contains(&name) {
                continue;
            }
            let quoted = format!("\"{name}\"");
            let lines: Vec<&str> = said
                .err
                .lines()
                .filter(|line| line.contains(&quoted))
                .collect();
            assert!(
                !lines.is_empty(),
                "nothing was said of {name}:\n{}",
                said.err
            );
            refused.insert(name.to_owned(), lines.join("\n"));
        }
        refused
    }

    /// The name of the objects of an action.
    fn object(&self, action: &str) -> String {
        format!("kubectl-mcp-floor-{}-{action}", self.name)
    }

    /// Runs `kubectl` in the namespace.
    fn kubectl(&self, arguments: &[&str]) -> tests::Said {
        self.environment
            .kubectl(&[arguments, &["-n", &self.name]].concat())
    }

    /// Runs `kubectl` in the namespace with an object on its standard input.
    fn send(&self, verb: &str, object: &Value) -> tests::Said {
        self.environment
            .kubectl_with(&[verb, "-n", &self.name, "-f", "-"], &object.to_string())
    }
}

impl Drop for Team<'_> {
    fn drop(&mut self) {
        self.environment
            .kubectl(&["delete", "mcppolicy", &self.name, "--ignore-not-found"]);
        self.environment
            .kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

fn server(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": name}, "spec": spec})
}
