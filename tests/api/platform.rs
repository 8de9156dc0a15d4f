//! The parts of the platform that the API layer installs: the CRDs once, and the webhook and the operator as processes.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tests::{Environment, Process, eventually, free_port};

/// An API server with the CRDs.
pub(crate) struct Platform {
    pub(crate) environment: Environment,
}

/// The namespaces in which the webhook under test is asked. The other tests of this layer run without it.
pub(crate) const WEBHOOK_LABEL: &str = "test.kubectl-mcp.dev/webhook";

impl Platform {
    /// The CRDs and nothing else.
    pub(crate) fn bare() -> &'static Self {
        static PLATFORM: OnceLock<Platform> = OnceLock::new();
        PLATFORM.get_or_init(|| {
            let environment = Environment::from_env();
            let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/crds");
            let folder = crds.to_str().expect("the path is text");
            environment
                .kubectl(&["apply", "--server-side", "-f", folder])
                .expect_ok();
            environment
                .kubectl(&[
                    "wait",
                    "--for=condition=Established",
                    "--timeout=60s",
                    "-f",
                    folder,
                ])
                .expect_ok();
            Self { environment }
        })
    }

    /// What `kubectl mcp setup` would install, of one kind.
    pub(crate) fn installed(&self, kind: &str) -> Vec<Value> {
        let arguments = [
            "setup",
            "--dry-run=client",
            "-o",
            "json",
            "--default-host",
            "mcp.example.test",
        ];
        let text = crate::platform::said(self, &arguments);
        let list: Value = serde_json::from_str(&text).expect("setup prints JSON");
        let items = list["items"].as_array().expect("it is a List").clone();
        items
            .into_iter()
            .filter(|item| item["kind"] == kind)
            .collect()
    }

    /// Applies an object given as JSON.
    pub(crate) fn apply(&self, object: &Value) {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.environment
            .kubectl_with(&arguments, &object.to_string())
            .expect_ok();
    }

    /// Starts the webhook on loopback and points both configurations of `setup` at it, for labelled namespaces only.
    pub(crate) fn start_webhook(&self) -> Process {
        let (port, admin) = (free_port(), free_port());
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubectl-mcp-system"}}));
        for kind in [
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
        ] {
            for mut object in self.installed(kind) {
                Self::point_at(&mut object, port);
                self.apply(&object);
            }
        }
        let mut command = self.environment.command("mcp-webhook");
        command.args([
            format!("--listen=127.0.0.1:{port}"),
            format!("--admin=127.0.0.1:{admin}"),
            format!("--url=https://127.0.0.1:{port}"),
            "--namespace=kubectl-mcp-system".to_owned(),
            "--drain=1s".to_owned(),
        ]);
        let process = Process::start("mcp-webhook", command);
        eventually("the webhook becomes ready", || ready(admin));
        process
    }

    fn point_at(configuration: &mut Value, port: u16) {
        for webhook in configuration["webhooks"]
            .as_array_mut()
            .expect("it has webhooks")
        {
            let path = webhook["clientConfig"]["service"]["path"]
                .as_str()
                .expect("it has a path")
                .to_owned();
            webhook["clientConfig"] = json!({"url": format!("https://127.0.0.1:{port}{path}")});
            webhook["namespaceSelector"] = json!({"matchLabels": {WEBHOOK_LABEL: "true"}});
        }
    }

    /// Starts the operator. Its admin port comes with it.
    pub(crate) fn start_operator(&self) -> (Process, u16) {
        let admin = free_port();
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubectl-mcp-system"}}));
        let mut command = self.environment.command("mcp-operator");
        command.args([
            format!("--admin=127.0.0.1:{admin}"),
            "--namespace=kubectl-mcp-system".to_owned(),
            "--gateway-image=localhost/kubectl-mcp/mcp-gateway:test".to_owned(),
            "--ingress-readiness=permissive".to_owned(),
        ]);
        let process = Process::start("mcp-operator", command);
        eventually("the operator becomes ready", || ready(admin));
        (process, admin)
    }

    /// The metrics of a process.
    pub(crate) fn metrics(port: u16) -> String {
        get(port, "/metrics").unwrap_or_default()
    }
}

fn said(platform: &Platform, arguments: &[&str]) -> String {
    tests::Said::of(
        platform
            .environment
            .command("kubectl-mcp-setup")
            .args(arguments),
    )
    .expect_ok()
}

/// Whether `/readyz` says yes.
pub(crate) fn ready(port: u16) -> Result<(), String> {
    let answer = get(port, "/readyz").map_err(|error| error.to_string())?;
    if answer.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        Err(answer)
    }
}

fn get(port: u16, path: &str) -> std::io::Result<String> {
    tests::http(
        ("127.0.0.1", port),
        &format!("GET {path} HTTP/1.1\r\nHost: localhost"),
        "",
    )
}
