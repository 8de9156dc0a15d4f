//! The webhook asked directly over HTTPS, as the API server asks it, and waiting until it has seen what was written.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use serde_json::{Value, json};
use tests::{Environment, Https, eventually};

use crate::platform::{PAST, WEBHOOK_LABEL, Webhook};

/// Where the markers are that show how far the webhook has read.
pub(crate) const MARKERS: &str = "team-markers";

/// What the rules said to one object, by whatever door.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Whether the object may be stored.
    pub(crate) accepted: bool,
    /// Codes that refuse it.
    pub(crate) errors: Vec<String>,
    /// Codes that only warn.
    pub(crate) warnings: Vec<String>,
    /// Everything that was said.
    pub(crate) text: String,
}

impl Verdict {
    /// What `kubectl` printed.
    pub(crate) fn printed(said: &tests::Said) -> Self {
        let text = said.text();
        let warnings = text
            .lines()
            .filter_map(|line| line.strip_prefix("Warning: "));
        let warnings = warnings.flat_map(codes).collect();
        let refusal: String = text
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("Warning: "))
            .collect();
        // Admission comes before the look whether the name is taken.
        let taken = text.contains("already exists") && !refusal.contains("(MCP");
        Self {
            accepted: said.ok || taken,
            errors: if said.ok { Vec::new() } else { codes(&refusal) },
            warnings,
            text,
        }
    }

    pub(crate) fn has_error(&self, code: &str) -> bool {
        self.errors.iter().any(|found| found == code)
    }
}

/// The codes of rules in a text, in order.
pub(crate) fn codes(text: &str) -> Vec<String> {
    let starts = text.match_indices("MCP").map(|(at, _)| at);
    starts
        .filter_map(|at| text.get(at..at + 7))
        .filter(|code| code[3..].bytes().all(|b| b.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

/// Asks a running webhook.
pub(crate) struct Door<'a> {
    environment: &'a Environment,
    https: Https,
}

impl<'a> Door<'a> {
    /// Trusts the authority that the webhook published.
    pub(crate) fn of(environment: &'a Environment, webhook: &Webhook) -> Self {
        let bundle = eventually("the webhook publishes its authority", || {
            let configuration = environment
                .get(&["validatingwebhookconfiguration", "mcp-webhook"])
                .ok_or("no configuration")?;
            let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"]
                .as_str()
                .map(str::to_owned);
            bundle
                .filter(|text| !text.is_empty())
                .ok_or_else(|| "no caBundle".to_owned())
        });
        let authorities = base64::engine::general_purpose::STANDARD
            .decode(bundle)
            .expect("caBundle is base64");
        Self {
            environment,
            https: Https::trusting(webhook.port, &authorities),
        }
    }

    /// Creates an object at both endpoints, as the API server would: what is refused by the first never comes to the
    /// second.
    pub(crate) fn create(&self, object: &Value) -> Verdict {
        let (defaulted, patch) = self.ask("/mutate", object);
        if !defaulted.accepted {
            return defaulted;
        }
        let mut object = object.clone();
        json_patch::patch(&mut object, &patch).expect("the patch fits the object");
        self.ask("/validate", &object).0
    }

    fn post(&self, path: &str, object: &Value) -> Verdict {
        self.ask(path, object).0
    }

    /// The verdict, and how the object is to be changed.
    fn ask(&self, path: &str, object: &Value) -> (Verdict, json_patch::Patch) {
        let (kind, metadata) = (&object["kind"], &object["metadata"]);
        let plural = format!("{}s", kind.as_str().expect("it has a kind").to_lowercase());
        let version = json!({"group": "kubectl-mcp.dev", "version": "v1alpha1"});
        let with = |key: &str, value: Value| {
            let mut version = version.clone();
            version[key] = value;
            version
        };
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "11111111-2222-3333-4444-555555555555", "operation": "CREATE", "dryRun": true,
                "kind": with("kind", kind.clone()), "resource": with("resource", plural.into()),
                "name": metadata["name"], "namespace": metadata["namespace"], "object": object,
                "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
            }
        });
        let (status, body) = self
            .https
            .post(path, review.to_string().as_bytes())
            .expect("the webhook answers");
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("the answer is JSON");
        let response = &answer["response"];
        assert_eq!(response["uid"], review["request"]["uid"], "{body}");
        let texts = |list: &Value, key: &str| -> Vec<String> {
            let items = list.as_array().into_iter().flatten();
            let texts = items.map(|item| if key.is_empty() { item } else { &item[key] });
            texts.filter_map(Value::as_str).flat_map(codes).collect()
        };
        let change = response["patch"].as_str().map(|text| {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text)
                .expect("a patch is base64");
            serde_json::from_slice(&bytes).expect("a patch is JSON")
        });
        let verdict = Verdict {
            accepted: response["allowed"] == true,
            errors: texts(&response["status"]["details"]["causes"], "message"),
            warnings: texts(&response["warnings"], ""),
            text: body.chars().take(2000).collect(),
        };
        (verdict, change.unwrap_or_default())
    }

    /// Waits until the webhook has seen every server and every policy that was written or deleted before.
    ///
    /// The API server tells the changes of one kind in their order, so what was written after them is seen after them.
    pub(crate) fn catch_up(&self) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let word = format!("marker-{}-{count}", std::process::id());
        // A limit, because no ValidatingAdmissionPolicy of an operator that runs beside holds the markers to it.
        let limit = 1 + count % 900;
        let policy = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": "markers"},
            "spec": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": MARKERS}},
                     "limits": {"replicas": limit}}
        });
        let server = |namespace: &str, name: &str, replicas: u32| {
            json!({
                "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"image": "markers.test/x:1", "ingressHost": format!("{word}.example.org"),
                         "ingressPath": "/marker", "replicas": replicas, "tools": [{"name": "x"}]}
            })
        };
        write(self.environment, &policy);
        write(self.environment, &server(MARKERS, "marker", 1));
        eventually("the webhook sees the marker's policy", || {
            let within = self.post("/mutate", &server(MARKERS, "marker", limit));
            let beyond = self.post("/mutate", &server(MARKERS, "marker", limit + 1));
            if !within.has_error("MCP0316") && beyond.has_error("MCP0316") {
                Ok(())
            } else {
                Err(beyond.text)
            }
        });
        eventually("the webhook sees the marker", || {
            let verdict = self.post("/mutate", &server("team-elsewhere", "another", 1));
            if verdict.has_error("MCP0205") {
                Ok(())
            } else {
                Err(verdict.text)
            }
        });
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Door<'_> {
    /// Takes the markers away: rules about policies count them, and an operator that a later test starts would hold
    /// the cluster to their policy.
    pub(crate) fn forget(&self) {
        for arguments in [["mcppolicy", "markers"], ["mcpserver", "marker"]] {
            let delete = ["delete", "--ignore-not-found", "-n", MARKERS];
            self.environment
                .kubectl(&[&delete, &PAST[..], &arguments].concat());
        }
    }
}

/// Makes the namespaces of teams, in which the webhook is asked. They are never deleted: tests use them one after
/// another.
pub(crate) fn teams(environment: &Environment, names: &[&str]) {
    for name in names.iter().chain(&[MARKERS, "team-elsewhere"]) {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {WEBHOOK_LABEL: "true"}}
        });
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        environment
            .kubectl_with(&arguments, &namespace.to_string())
            .expect_ok();
    }
}

/// An IngressClass.
pub(crate) fn ingress_class(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name},
        "spec": {"controller": format!("test.kubectl-mcp.dev/{name}")}
    })
}

/// Writes an object past the webhook.
pub(crate) fn write(environment: &Environment, object: &Value) {
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    environment
        .kubectl_with(&[&apply, &PAST[..]].concat(), &object.to_string())
        .expect_ok();
}

/// Deletes, past the webhook, every object of ours in a namespace; or, of the cluster, those with these arguments.
pub(crate) fn delete(environment: &Environment, arguments: &[&str]) {
    environment
        .kubectl(&[&["delete", "--ignore-not-found"], &PAST[..], arguments].concat())
        .expect_ok();
}
