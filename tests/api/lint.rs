//! `kubectl mcp lint --server` and `diff --server`: what the files of a run mean in a real cluster, for whoever asks.

use serde_json::{Value, json};
use tests::{Environment, Said, eventually};

use crate::platform::{Platform, Turn};

/// Base64 of `hidden-in-the-cluster`.
const SECRET: &str = "aGlkZGVuLWluLXRoZS1jbHVzdGVy";

/// A namespace with a policy of its own, and files to lint.
struct Story<'a> {
    environment: &'a Environment,
    namespace: &'a str,
    files: tempfile::TempDir,
}

impl Story<'_> {
    fn file(&self, name: &str, objects: &[Value]) -> String {
        let path = self.files.path().join(name);
        let documents: Vec<_> = objects.iter().map(Value::to_string).collect();
        std::fs::write(&path, documents.join("\n---\n")).expect("the folder is ours");
        path.display().to_string()
    }

    fn run(&self, verb: &str, arguments: &[&str]) -> Said {
        let mut command = self.environment.command("kubectl-mcp-policy");
        command
            .arg(verb)
            .args(["--server", "-n", self.namespace])
            .args(arguments);
        Said::of(&mut command)
    }

    /// The findings, each as severity, code and field.
    fn findings(&self, arguments: &[&str]) -> Vec<(String, String, String)> {
        let said = self.run("lint", &[arguments, &["-o", "json"]].concat());
        let parsed: Value = serde_json::from_str(&said.out).expect("lint prints JSON");
        let text =
            |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        let list = parsed["findings"].as_array().expect("it is the contract");
        list.iter()
            .map(|finding| {
                (
                    text(finding, "severity"),
                    text(finding, "code"),
                    text(finding, "field"),
                )
            })
            .collect()
    }

    /// The severities of a rule's findings, `""` for none.
    fn severities(&self, code: &str, arguments: &[&str]) -> String {
        let mut found: Vec<_> = self
            .findings(arguments)
            .into_iter()
            .filter(|(_, of, _)| of == code)
            .map(|(severity, ..)| severity)
            .collect();
        found.dedup();
        found.join(" ")
    }

    fn server(&self, name: &str, spec: &Value) -> Value {
        let mut object = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": name},
            "spec": {"image": "registry.test/mcp/weather:1.0.0", "tools": [{"name": "forecast"}],
                     "ingressHost": format!("{}.example.test", self.namespace)}
        });
        for (key, value) in spec.as_object().expect("it is a map") {
            object["spec"][key] = value.clone();
        }
        object
    }

    fn grant(server: &str) -> Value {
        json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant", "metadata": {"name": "g"},
               "spec": {"serverRef": {"name": server}, "subject": {"humanID": "alice"}}})
    }

    fn create(&self, objects: &[Value]) {
        for object in objects {
            self.environment
                .kubectl_with(
                    &["create", "-n", self.namespace, "-f", "-"],
                    &object.to_string(),
                )
                .expect_ok();
        }
    }

    /// A policy that selects this namespace alone.
    fn policy(&self) -> Value {
        json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": self.namespace},
            "spec": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
                     "images": {"allowedRegistries": ["registry.test"]},
                     "defaults": {"labels": {"tier": "mcp"}}}
        })
    }
}

fn with_story(name: &str, test: impl FnOnce(&Story<'_>)) {
    let environment = &Platform::bare().environment;
    environment.with_namespace(name, |namespace| {
        let story = Story {
            environment,
            namespace,
            files: tempfile::tempdir().expect("a temporary folder"),
        };
        story.create(&[story.policy()]);
        test(&story);
        environment
            .kubectl(&["delete", "mcppolicy", namespace])
            .expect_ok();
    });
}

#[test]
fn a_file_is_judged_by_what_is_in_the_cluster() {
    let _turn = Turn::wait();
    with_story("lint", |story| {
        let evil = story.file(
            "evil.json",
            &[story.server("weather", &json!({"image": "evil.test/weather:1.0.0"}))],
        );
        assert_eq!(
            story.severities("MCP0102", &[&evil]),
            "error",
            "the cluster's policy"
        );
        assert_eq!(story.run("lint", &[&evil]).code, Some(1));

        other_servers_count(story);
        secrets_count_by_name_and_key(story);
        an_old_mistake_is_a_warning(story);
        whoever_may_not_read_is_told_so(story);
    });
}

fn other_servers_count(story: &Story<'_>) {
    story.create(&[story.server("taken", &json!({"ingressPath": "/taken"}))]);
    let elsewhere = story.server("new", &json!({"ingressPath": "/taken/too"}));
    let mut elsewhere = elsewhere;
    elsewhere["metadata"]["namespace"] = "default".into();
    let file = story.file("route.json", &[elsewhere]);
    assert_eq!(
        story.severities("MCP0205", &[&file]),
        "error",
        "a route of another namespace"
    );
    let free = story.file(
        "free.json",
        &[story.server("free", &json!({"ingressPath": "/free"}))],
    );
    assert_eq!(
        story.severities("MCP0205", &[&free]),
        "",
        "all servers are known"
    );

    let known = story.file("known.json", &[Story::grant("taken")]);
    assert_eq!(story.severities("MCP0601", &[&known]), "");
    let unknown = story.file("unknown.json", &[Story::grant("nobody")]);
    assert_eq!(story.severities("MCP0601", &[&unknown]), "warning");
    let together = story.file(
        "together.json",
        &[Story::grant("free"), story.server("free", &json!({}))],
    );
    assert_eq!(
        story.severities("MCP0601", &[&together]),
        "",
        "it comes with the grant"
    );
}

fn from_secret(name: &str, key: &str) -> Value {
    json!({"env": [{"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}]})
}

fn secrets_count_by_name_and_key(story: &Story<'_>) {
    story.create(&[json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "weather"}, "data": {"token": SECRET}})]);
    for (name, key, expected) in [
        ("weather", "token", ""),
        ("weather", "other", "warning"),
        ("missing", "token", "warning"),
    ] {
        let file = story.file(
            "secret.json",
            &[story.server("weather", &from_secret(name, key))],
        );
        assert_eq!(
            story.severities("MCP0309", &[&file]),
            expected,
            "{name} {key}"
        );
        for format in ["text", "json", "sarif", "github"] {
            let said = story.run("lint", &[&file, "-v", "-o", format]).text();
            assert!(
                !said.contains(SECRET) && !said.contains("hidden-in-the-cluster"),
                "{format}"
            );
        }
    }
}

/// The object is there: the file is a change of it, and what was wrong before is only a warning, as in the webhook.
fn an_old_mistake_is_a_warning(story: &Story<'_>) {
    let image =
        |tag: &str| json!({"image": format!("evil.test/weather:{tag}"), "ingressPath": "/old"});
    story.create(&[story.server("old", &image("1.0.0"))]);
    let same = story.file("same.json", &[story.server("old", &image("1.0.0"))]);
    assert_eq!(story.severities("MCP0102", &[&same]), "warning");
    let worse = story.file("worse.json", &[story.server("old", &image("2.0.0"))]);
    assert_eq!(story.severities("MCP0102", &[&worse]), "error");
}

fn whoever_may_not_read_is_told_so(story: &Story<'_>) {
    let read = ["get", "list"];
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": ["kubectl-mcp.dev"], "resources": ["*"], "verbs": read},
                  {"apiGroups": [""], "resources": ["configmaps"], "verbs": read}]
    });
    story.create(&[role]);
    let bind = [
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        "--user=reader",
        "-n",
        story.namespace,
    ];
    story.environment.kubectl(&bind).expect_ok();
    let file = story.file(
        "reader.json",
        &[story.server("weather", &from_secret("weather", "token"))],
    );
    let unknown = story.file("unknown.json", &[Story::grant("nobody")]);
    // Of the servers of his own namespace he may know.
    eventually("the role is in force", || {
        match story
            .severities("MCP0601", &["--as", "reader", &unknown])
            .as_str()
        {
            "warning" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    let said = story.run("lint", &[&file, "-v", "--as", "reader"]);
    let lines: Vec<_> = said
        .err
        .lines()
        .filter(|line| line.contains("not looked at, because you may not read it (forbidden): "))
        .collect();
    let [line] = lines.as_slice() else {
        panic!("one line says it all:\n{}", said.text())
    };
    for words in ["secrets of namespace", "mcppolicies"] {
        assert!(line.contains(words), "{words}:\n{line}");
    }
    for words in ["configmaps", "mcpaccessgrants", "mcptools"] {
        assert!(!line.contains(words), "{words}:\n{line}");
    }
    assert!(said.out.contains(": unchecked: "), "{}", said.text());
    let reader = ["--as", "reader", file.as_str()];
    assert_eq!(
        story.severities("MCP0309", &reader),
        "unchecked",
        "nobody said that it is missing"
    );
    assert_eq!(story.severities("MCP0102", &reader), "unchecked");
    assert_eq!(
        story.severities("MCP0321", &reader),
        "error",
        "he may not get the Secret that he names"
    );
    assert_eq!(story.severities("MCP0321", &[&file]), "");
    let said = story.run("lint", &[&file, "--context", "nowhere"]);
    assert_eq!(said.code, Some(3), "{}", said.text());
}

#[test]
fn the_findings_and_the_stored_object_are_those_of_the_webhook() {
    let webhook = Platform::bare().start_webhook();
    with_story("diff", |story| {
        Platform::ask_in(story.environment, story.namespace);
        let bad = json!({"image": "evil.test/weather:1.0.0", "imageTag": "1", "port": 8091,
                         "env": [{"name": "API_TOKEN", "value": "Zk3v9QpX7LmN2rTs"}]});
        let bad = story.file("bad.json", &[story.server("bad", &bad)]);
        same_codes(story, &bad);
        what_would_be_stored(story);
        let said = story.run("diff", &[&bad]);
        assert_eq!(said.code, Some(3), "{}", said.text());
        assert!(
            said.err.contains("MCP0102") && !said.text().contains("Zk3v9QpX7LmN2rTs"),
            "{}",
            said.text()
        );
    });
    drop(webhook);
}

fn same_codes(story: &Story<'_>, bad: &str) {
    let refused = eventually("the webhook sees the policy", || {
        let said = story
            .environment
            .kubectl(&["create", "-n", story.namespace, "-f", bad])
            .text();
        if said.contains("MCP0102") {
            Ok(said)
        } else {
            Err(said)
        }
    });
    let mut expected: Vec<String> = codes(&refused);
    let mut found: Vec<String> = story
        .findings(&[bad])
        .into_iter()
        .filter(|(severity, ..)| severity == "error")
        .map(|(_, code, _)| code)
        .collect();
    for list in [&mut expected, &mut found] {
        list.sort();
        list.dedup();
    }
    assert_eq!(found, expected, "{refused}");
}

/// The codes at the end of the causes of a refusal.
fn codes(refusal: &str) -> Vec<String> {
    let causes = refusal
        .match_indices("(MCP")
        .map(|(at, _)| refusal[at + 1..at + 8].to_owned());
    causes.collect()
}

fn what_would_be_stored(story: &Story<'_>) {
    let good = story.file("good.json", &[story.server("good", &json!({}))]);
    let new = story.run("diff", &[&good]);
    assert_eq!(new.code, Some(1), "{}", new.text());
    assert!(
        new.out.starts_with("--- /dev/null\n+++ stored MCPServer "),
        "{}",
        new.text()
    );
    for line in [
        "+    tier: mcp",
        "+    kubectl-mcp.dev/requested-by: ",
        "+  image: registry.test/mcp/weather:1.0.0",
    ] {
        assert!(new.out.contains(line), "{line}\n{}", new.out);
    }
    assert!(
        story
            .environment
            .get(&["mcpserver", "good", "-n", story.namespace])
            .is_none(),
        "a dry run keeps nothing"
    );
    let apply = |extra: &[&str]| {
        let arguments = [&["apply", "-n", story.namespace, "-f", &good], extra].concat();
        story.environment.kubectl(&arguments).expect_ok();
    };
    apply(&[]);
    let same = story.run("diff", &[&good]);
    assert_eq!(
        (same.code, same.out.as_str()),
        (Some(0), ""),
        "{}",
        same.text()
    );
    let good = story.file(
        "good.json",
        &[story.server(
            "good",
            &json!({"replicas": 2, "sessionAffinity": "ClientIP", "tools": []}),
        )],
    );
    let changed = story.run("diff", &[&good]);
    assert_eq!(changed.code, Some(1), "{}", changed.text());
    assert!(
        changed.out.contains("+  replicas: 2") && changed.out.contains("-  - name: forecast"),
        "{}",
        changed.out
    );
    assert!(
        !changed.out.contains("tier"),
        "what does not change far away is not shown:\n{}",
        changed.out
    );
}
