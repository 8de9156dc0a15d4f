//! The parts of the platform that the API layer installs: the CRDs once, and the webhook and the operator as processes.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Value, json};
use tests::{Environment, Process, eventually, free_port};

/// An API server with the CRDs.
pub(crate) struct Platform {
    pub(crate) environment: Environment,
}

/// The namespaces in which the webhook under test is asked. The other tests of this layer run without it.
pub(crate) const WEBHOOK_LABEL: &str = "test.kubectl-mcp.dev/webhook";
/// The user whose writes the webhook under test never sees: what is there before a test begins is his.
pub(crate) const FIXTURES: &str = "test:fixtures";
/// Arguments with which kubectl writes past the webhook, whatever the namespace.
pub(crate) const PAST: [&str; 4] = ["--as", FIXTURES, "--as-group", "system:masters"];

/// A test that alone has the webhook configurations, and the policies without a namespace selector.
///
/// Both are cluster-wide, and the tests of this layer run at the same time. The turn ends when this is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Turn {
    /// Waits for the turn. Never ask for a second one in the same test.
    pub(crate) fn wait() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed in its turn has left nothing behind that the next does not make anew.
        Self(TURN.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A running webhook with its configurations, and the turn to have one. Dropping it takes all three away.
pub(crate) struct Webhook {
    process: Process,
    environment: Environment,
    /// Where it serves over HTTPS, on loopback.
    pub(crate) port: u16,
    /// Where it shows health and metrics.
    pub(crate) admin: u16,
    _turn: Turn,
}

impl Deref for Webhook {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Webhook {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
        self.environment
            .kubectl(&["delete", kinds, "-l", MANAGED, "--ignore-not-found"]);
    }
}

/// A running operator, and the turn to have one.
pub(crate) struct Operator {
    process: Process,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Operator {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Operator {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// What every object that `setup` installs is labelled with.
const MANAGED: &str = "app.kubernetes.io/part-of=kubectl-mcp";

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

    /// Starts the webhook on loopback and points both configurations of `setup` at it, for labelled namespaces only
    /// and not for [`FIXTURES`]. Waits until no other test has one.
    pub(crate) fn start_webhook(&self) -> Webhook {
        let turn = Turn::wait();
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
        // As its Deployment has it.
        command.env("MALLOC_ARENA_MAX", "1");
        let process = Process::start("mcp-webhook", command);
        let webhook = Webhook {
            process,
            environment: self.environment.clone(),
            port,
            admin,
            _turn: turn,
        };
        eventually("the webhook becomes ready", || ready(admin));
        self.await_trust();
        webhook
    }

    /// Waits until the API server trusts the webhook: the authority is published, and the API server has read it. A
    /// policy comes to the webhook whatever the namespaces are labelled with.
    fn await_trust(&self) {
        let policy = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": "probe"},
            "spec": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kubectl-mcp-system"}}}
        });
        eventually("the API server asks the webhook", || {
            let arguments = ["create", "--dry-run=server", "-f", "-"];
            let said = self
                .environment
                .kubectl_with(&arguments, &policy.to_string());
            if said.ok { Ok(()) } else { Err(said.text()) }
        });
    }

    /// From now on the webhook under test is asked in this namespace.
    pub(crate) fn ask_in(environment: &Environment, namespace: &str) {
        let label = format!("{WEBHOOK_LABEL}=true");
        environment
            .kubectl(&["label", "namespace", namespace, &label])
            .expect_ok();
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
            let seen = json!({"name": "not-a-fixture", "expression": format!("request.userInfo.username != '{FIXTURES}'")});
            match webhook["matchConditions"].as_array_mut() {
                Some(conditions) => conditions.push(seen),
                None => webhook["matchConditions"] = json!([seen]),
            }
        }
    }

    /// Starts the operator. Its admin port comes with it. Waits until no other test has one, because two would share one
    /// lease, and each would write into the other's test; a test that needs the webhook too starts that first.
    pub(crate) fn start_operator(&self) -> (Operator, u16) {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
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
        let operator = Operator {
            process,
            _turn: turn,
        };
        eventually("the operator becomes ready", || ready(admin));
        (operator, admin)
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
