//! Who acts in a test: the operator with the account and the role that `setup` gives it, and people with nothing but the
//! roles that `setup` installs.

use std::fs;

use serde_json::{Value, json};
use tests::{Environment, Process, Said, eventually, free_port};

use crate::platform::{Platform, ready};

const SYSTEM: &str = "kubectl-mcp-system";
const OPERATOR: &str = "mcp-operator";

/// The operator under its own account. Dropping it ends it, and waits, so that its lease is free.
pub(crate) struct Operator {
    process: Process,
    /// Where it shows health and metrics.
    pub(crate) admin: u16,
    _folder: tempfile::TempDir,
}

impl Operator {
    /// Starts the operator as `setup` installs it, so that a right that its role lacks shows.
    pub(crate) fn start(platform: &Platform) -> Self {
        let environment = &platform.environment;
        platform
            .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}));
        for kind in [
            "ServiceAccount",
            "ClusterRole",
            "ClusterRoleBinding",
            "Role",
            "RoleBinding",
        ] {
            let objects = platform.installed(kind);
            objects
                .iter()
                .filter(|object| is_the_operators(object))
                .for_each(|object| platform.apply(object));
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kubeconfig = folder.path().join("kubeconfig");
        fs::write(&kubeconfig, own_kubeconfig(environment)).expect("the folder is ours");
        let admin = free_port();
        let mut command = environment.command(OPERATOR);
        command.env("KUBECONFIG", &kubeconfig).args([
            format!("--admin=127.0.0.1:{admin}"),
            format!("--namespace={SYSTEM}"),
            "--gateway-image=localhost/kubectl-mcp/mcp-gateway:test".to_owned(),
            "--ingress-readiness=permissive".to_owned(),
        ]);
        let process = Process::start(OPERATOR, command);
        eventually("the operator becomes ready", || ready(admin));
        Self {
            process,
            admin,
            _folder: folder,
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.process.terminate();
        let deadline = std::time::Instant::now() + tests::DEADLINE;
        while self.process.runs() && std::time::Instant::now() < deadline {
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
    }
}

fn is_the_operators(object: &Value) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    [OPERATOR, "kubectl-mcp-operator"].contains(&name)
}

/// The administrator's kubeconfig with a token of the operator's account in place of his credentials.
fn own_kubeconfig(environment: &Environment) -> String {
    let token = environment
        .kubectl(&["create", "token", OPERATOR, "-n", SYSTEM, "--duration=2h"])
        .expect_ok();
    let text = environment
        .kubectl(&[
            "config",
            "view",
            "--raw",
            "--flatten",
            "--minify",
            "-o",
            "json",
        ])
        .expect_ok();
    let mut config: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
    config["users"][0]["user"] = json!({"token": token.trim()});
    config.to_string()
}

/// A person in one namespace.
pub(crate) struct Person<'a> {
    environment: &'a Environment,
    namespace: String,
    name: &'static str,
    groups: &'static [&'static str],
}

impl<'a> Person<'a> {
    /// Somebody who may do nothing yet.
    pub(crate) fn new(environment: &'a Environment, namespace: &str, name: &'static str) -> Self {
        Self {
            environment,
            namespace: namespace.to_owned(),
            name,
            groups: &[],
        }
    }

    /// The same person in groups.
    pub(crate) fn in_groups(self, groups: &'static [&'static str]) -> Self {
        Self { groups, ..self }
    }

    /// Binds cluster roles in the namespace.
    pub(crate) fn with_roles(self, roles: &[&str]) -> Self {
        for role in roles {
            let binding = format!("{}-{role}", self.name);
            let arguments = ["create", "rolebinding", &binding, "-n", &self.namespace];
            let subject = [
                format!("--clusterrole={role}"),
                format!("--user={}", self.name),
            ];
            let arguments: Vec<&str> = arguments
                .into_iter()
                .chain(subject.iter().map(String::as_str))
                .collect();
            self.environment.kubectl(&arguments).expect_ok();
        }
        self
    }

    /// Runs `kubectl` as this person.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Said {
        self.environment.kubectl(&self.complete(arguments))
    }

    /// Runs `kubectl` as this person with an object on its standard input.
    pub(crate) fn send(&self, verb: &str, object: &Value) -> Said {
        self.send_with(&[verb, "-f", "-"], object)
    }

    /// Runs `kubectl` as this person with these arguments and an object on its standard input.
    pub(crate) fn send_with(&self, arguments: &[&str], object: &Value) -> Said {
        self.environment
            .kubectl_with(&self.complete(arguments), &object.to_string())
    }

    /// Changes an object by a JSON merge patch.
    pub(crate) fn patch(&self, object: &str, patch: &Value) -> Said {
        self.kubectl(&["patch", object, "--type=merge", "-p", &patch.to_string()])
    }

    fn complete<'b>(&'b self, arguments: &[&'b str]) -> Vec<&'b str> {
        let mut all = arguments.to_vec();
        all.extend(["-n", &self.namespace, "--as", self.name]);
        for group in self.groups {
            all.extend(["--as-group", group]);
        }
        all
    }
}
