//! A policy's way through the cluster: tried out, changed, held by the webhook without a restart, counted by the operator,
//! explained. Every door says the same codes for the same YAML.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use tests::{Environment, Said, eventually};

use crate::platform::{PAST, Platform};

/// The label by which the policies under test find their namespace, and no other test's.
const TEAM: &str = "test.kubectl-mcp.dev/team";

/// One story, because there can be only one webhook and one leading operator.
#[test]
fn a_change_of_a_policy_is_tried_out_held_counted_and_explained() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    let mut webhook = platform.start_webhook();
    let (_operator, admin) = platform.start_operator();
    environment.with_namespace("policies", |namespace| {
        let story = Story {
            environment,
            namespace,
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        story.prepare();
        story.the_operator_counts(&json!({"matchedNamespaces": 1, "violations": 0}));
        let tried = story.trying_a_change_names_exactly_who_would_break();
        story.the_webhook_holds_the_change_without_a_restart(&tried);
        assert!(webhook.runs(), "the webhook was restarted");
        story.the_operator_says_the_same(&tried);
        story.nothing_is_written_but_a_changed_count(admin);
        story.every_enforcement_does_what_it_says();
        story.an_explanation_names_where_each_line_comes_from();
        story.end();
    });
}

/// A server whose image comes from `folder` of the one registry.
fn server(name: &str, folder: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": name},
        "spec": {"image": format!("registry.test/{folder}/server:1.0.0"), "ingressHost": "policies.example.test",
                 "tools": [{"name": "echo", "sideEffect": "read"}]}
    })
}

/// Codes of rules in a text.
fn codes(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("MCP0").map(|(at, _)| &text[at..]);
    let codes = starts.filter_map(|rest| rest.get(..7));
    codes
        .filter(|code| code[3..].bytes().all(|b| b.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

/// What `policy test` found: code by name of the object.
type Tried = BTreeSet<(String, String)>;

struct Story<'a> {
    environment: &'a Environment,
    namespace: &'a str,
    folder: tempfile::TempDir,
}

impl Story<'_> {
    /// The policy under test, with this in its spec.
    fn policy(&self, spec: &Value) -> Value {
        let mut spec = spec.clone();
        spec["namespaceSelector"] = json!({"matchLabels": {TEAM: self.namespace}});
        json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
               "metadata": {"name": self.namespace}, "spec": spec})
    }

    fn strict(&self) -> Value {
        let registries = json!(["registry.test/acme"]);
        self.policy(
            &json!({"images": {"allowedRegistries": registries}, "access": {"maxTrust": "low"}}),
        )
    }

    fn file(&self, name: &str, object: &Value) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, object.to_string()).expect("the folder is writable");
        path.to_string_lossy().into_owned()
    }

    fn plugin(&self, arguments: &[&str]) -> Said {
        Said::of(
            self.environment
                .command("kubectl-mcp-policy")
                .args(arguments),
        )
    }

    fn apply(&self, object: &Value) {
        let arguments = ["apply", "-n", self.namespace, "-f", "-"];
        self.environment
            .kubectl_with(&arguments, &object.to_string())
            .expect_ok();
    }

    /// As somebody whom the webhook does not see: what was there before.
    fn was_there(&self, object: &Value) {
        let arguments = [&["create", "-n", self.namespace, "-f", "-"], &PAST[..]].concat();
        self.environment
            .kubectl_with(&arguments, &object.to_string())
            .expect_ok();
    }

    /// Asks the webhook what it would say to a new server.
    fn dry_run(&self, object: &Value) -> Said {
        let arguments = [
            "create",
            "-n",
            self.namespace,
            "--dry-run=server",
            "-f",
            "-",
        ];
        self.environment
            .kubectl_with(&arguments, &object.to_string())
    }

    fn prepare(&self) {
        Platform::ask_in(self.environment, self.namespace);
        let team = format!("{TEAM}={}", self.namespace);
        let arguments = ["label", "namespace", self.namespace, &team];
        self.environment.kubectl(&arguments).expect_ok();
        self.was_there(&server("good", "acme"));
        self.was_there(&server("evil", "evil"));
        self.was_there(&json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant", "metadata": {"name": "trusted"},
            "spec": {"serverRef": {"name": "good"}, "subject": {"humanID": "alice"}, "maxTrust": "high",
                     "allowedSideEffects": ["read"], "toolRules": [{"name": "echo"}]}
        }));
        self.apply(&self.policy(&json!({"images": {"allowedRegistries": ["registry.test"]}})));
    }

    fn status(&self) -> Value {
        let policy = self
            .environment
            .get(&["mcppolicy", self.namespace])
            .expect("it is there");
        let mut status = policy["status"].clone();
        if status["observedGeneration"] != policy["metadata"]["generation"] {
            status = json!({"of": "another generation"});
        }
        status
    }

    fn the_operator_counts(&self, expected: &Value) {
        eventually(&format!("the status says {expected}"), || {
            let status = self.status();
            let said = json!({"matchedNamespaces": status["matchedNamespaces"], "violations": status["violations"]});
            if said == *expected {
                Ok(())
            } else {
                Err(status.to_string())
            }
        });
        let conditions = self.status()["conditions"].clone();
        let accepted = conditions.as_array().and_then(|conditions| {
            conditions
                .iter()
                .find(|condition| condition["type"] == "Accepted")
        });
        assert_eq!(accepted.expect("it has one")["status"], "True");
    }

    fn trying_a_change_names_exactly_who_would_break(&self) -> Tried {
        let file = self.file("strict.json", &self.strict());
        let said = self.plugin(&["policy", "test", "-f", &file, "-o", "json"]);
        assert_eq!(said.code, Some(1), "{}", said.text());
        let found: Value = serde_json::from_str(&said.out).expect("it is JSON");
        let tried: Tried = found["findings"]
            .as_array()
            .expect("it has findings")
            .iter()
            .map(|finding| {
                assert_eq!(finding["namespace"], self.namespace);
                let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
                (text("name"), text("code"))
            })
            .collect();
        let expected = [("evil", "MCP0102"), ("trusted", "MCP0606")];
        let expected = expected.map(|(name, code)| (name.to_owned(), code.to_owned()));
        assert_eq!(tried, expected.into());
        let table = self.plugin(&["policy", "test", "-f", &file]).out;
        let header: Vec<_> = table
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        assert_eq!(
            header,
            ["NAMESPACE", "KIND", "NAME", "CODE", "FIELD", "MESSAGE"]
        );

        let same = self.policy(&json!({"images": {"allowedRegistries": ["registry.test"]}}));
        let file = self.file("same.json", &same);
        let said = self.plugin(&["policy", "test", "-f", &file, "-A"]);
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(0), ""),
            "{}",
            said.err
        );
        let said = self.plugin(&["policy", "test", "-f", "no-such-file.yaml"]);
        assert_eq!(said.code, Some(3), "{}", said.text());
        tried
    }

    #[allow(
        clippy::print_stdout,
        reason = "how long it took is a figure for people"
    )]
    fn the_webhook_holds_the_change_without_a_restart(&self, tried: &Tried) {
        let newcomer = server("newcomer", "evil");
        assert!(self.dry_run(&newcomer).ok, "refused before the change");
        let file = self.file("newcomer.json", &newcomer);
        let policy = self.file("strict.json", &self.strict());
        self.apply(&self.strict());
        let changed = Instant::now();
        let said = eventually("the webhook holds the changed policy", || {
            let said = self.dry_run(&newcomer);
            // The floor refuses it as well, but only where the webhook let it through.
            let by_floor = said.text().contains("ValidatingAdmissionPolicy");
            if said.ok || by_floor {
                Err(said.text())
            } else {
                Ok(said)
            }
        });
        let took = changed.elapsed();
        println!(
            "a changed policy was held after at most {} ms",
            took.as_millis()
        );
        let expected: BTreeSet<_> = tried
            .iter()
            .filter(|(name, _)| name == "evil")
            .map(|(_, code)| code.clone())
            .collect();
        let refused = said.expect_failure();
        let refused = refused.lines().filter(|line| !line.starts_with("Warning:"));
        assert_eq!(codes(&refused.collect::<Vec<_>>().join("\n")), expected);

        // The policy selects by a label, which offline only a document of the namespace can show.
        let labelled = self.file(
            "namespace.json",
            &json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": self.namespace, "labels": {TEAM: self.namespace}}
            }),
        );
        let linted = self.plugin(&[
            "lint",
            "-f",
            &file,
            "-f",
            &labelled,
            "--policy",
            &policy,
            "-n",
            self.namespace,
            "-o",
            "json",
        ]);
        let found: Value = serde_json::from_str(&linted.out).expect("it is JSON");
        let errors = found["findings"]
            .as_array()
            .expect("it has findings")
            .iter();
        let errors = errors.filter(|finding| finding["severity"] == "error");
        let linted: BTreeSet<_> = errors
            .map(|finding| finding["code"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(linted, expected, "lint says otherwise than the webhook");
        assert!(
            self.dry_run(&server("another", "acme")).ok,
            "a good one is refused"
        );
    }

    fn the_operator_says_the_same(&self, tried: &Tried) {
        let message = eventually("the server that breaks the policy is not accepted", || {
            let server = self
                .environment
                .get(&["mcpserver", "evil", "-n", self.namespace])
                .expect("it is there");
            let conditions = server["status"]["conditions"].as_array().cloned();
            let accepted = conditions
                .into_iter()
                .flatten()
                .find(|condition| condition["type"] == "Accepted");
            match accepted {
                Some(condition) if condition["status"] == "False" => {
                    Ok(condition["message"].as_str().unwrap_or_default().to_owned())
                }
                other => Err(format!("{other:?}")),
            }
        });
        for (name, code) in tried.iter().filter(|(name, _)| name == "evil") {
            assert_eq!(codes(&message), [code.clone()].into(), "{name}: {message}");
        }
        self.the_operator_counts(&json!({"matchedNamespaces": 1, "violations": tried.len()}));
    }

    fn nothing_is_written_but_a_changed_count(&self, admin: u16) {
        let writes = || {
            let metrics = Platform::metrics(admin);
            let line = metrics.lines().find(|line| {
                line.starts_with("mcp_operator_writes_total") && line.contains("MCPPolicy/status")
            });
            let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok());
            count.unwrap_or_default()
        };
        let before = writes();
        let arguments = [
            "annotate",
            "mcpserver",
            "evil",
            "-n",
            self.namespace,
            "example.com/touched=1",
        ];
        self.environment.kubectl(&arguments).expect_ok();
        let arguments = ["delete", "mcpaccessgrant", "trusted", "-n", self.namespace];
        self.environment.kubectl(&arguments).expect_ok();
        self.the_operator_counts(&json!({"matchedNamespaces": 1, "violations": 1}));
        assert_eq!(
            writes(),
            before + 1,
            "more than the changed count was written"
        );
    }

    fn every_enforcement_does_what_it_says(&self) {
        let newcomer = server("newcomer", "evil");
        for (enforcement, admitted, warned, violations) in [
            ("Warn", true, true, 1),
            ("Audit", true, false, 1),
            ("Off", true, false, 0),
            ("Enforce", false, false, 1),
        ] {
            let mut policy = self.strict();
            policy["spec"]["enforcement"] = enforcement.into();
            self.apply(&policy);
            eventually(&format!("the webhook holds {enforcement}"), || {
                let said = self.dry_run(&newcomer);
                let warns = said
                    .err
                    .lines()
                    .any(|line| line.starts_with("Warning:") && line.contains("MCP0102"));
                if (said.ok, warns) == (admitted, warned) {
                    Ok(())
                } else {
                    Err(said.text())
                }
            });
            self.the_operator_counts(&json!({"matchedNamespaces": 1, "violations": violations}));
        }
        // One rule apart from the others.
        let mut policy = self.strict();
        policy["spec"]["overrides"] = json!([{"rule": "MCP0102", "enforcement": "Warn"}]);
        self.apply(&policy);
        eventually("the webhook holds the override", || {
            let said = self.dry_run(&newcomer);
            if said.ok { Ok(()) } else { Err(said.text()) }
        });
    }

    fn an_explanation_names_where_each_line_comes_from(&self) {
        let said = self.plugin(&["policy", "explain", self.namespace, "-o", "json"]);
        let explained: Value = serde_json::from_str(&said.expect_ok()).expect("it is JSON");
        let find = |list: &str, key: &str, value: &str| {
            let list = explained[list].as_array().expect("it is a list");
            let found = list.iter().find(|entry| entry[key] == value).cloned();
            assert!(found.is_some(), "{value} is not explained: {explained}");
            found.unwrap_or_default()
        };
        assert_eq!(find("policies", "name", self.namespace)["selects"], true);
        let registries = find("fields", "field", "images.allowedRegistries");
        assert_eq!(registries["value"], json!(["registry.test/acme"]));
        assert_eq!(registries["from"][0]["policy"], self.namespace);
        let rule = find("rules", "code", "MCP0102");
        assert_eq!(rule["enforcement"], "Warn");
        assert_eq!(rule["from"][0]["by"], "override");

        let text = self
            .plugin(&["policy", "explain", self.namespace])
            .expect_ok();
        assert!(
            text.contains("images.allowedRegistries") && text.contains("registry.test/acme"),
            "{text}"
        );
        let unborn = format!("{}-unborn", self.namespace);
        let labels = format!("{TEAM}={}", self.namespace);
        let with = self.plugin(&["policy", "explain", &unborn, "--labels", &labels]);
        assert!(with.expect_ok().contains("registry.test/acme"));
        let without = self.plugin(&["policy", "explain", &unborn]);
        assert!(without.err.contains("does not exist"), "{}", without.err);
        assert!(without.expect_ok().contains("is not there"));

        let listed = self.plugin(&["policy", "get", self.namespace]).expect_ok();
        let row: Vec<_> = listed
            .lines()
            .nth(1)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        assert_eq!(row[..3], [self.namespace, "Enforce", "1"], "{listed}");
    }

    fn end(&self) {
        self.environment
            .kubectl(&["delete", "mcppolicy", self.namespace])
            .expect_ok();
    }
}
