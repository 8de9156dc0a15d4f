//! A namespace with the whole platform around it, and the people in it.

use serde_json::{Value, json};
use tests::{Environment, eventually};

use super::objects::{grant, server};
use crate::identity::{Operator, Person};
use crate::platform::{Platform, Webhook};

const STATIC: [&str; 2] = [
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

/// Everything in place. Dropping it takes it away.
pub(crate) struct Scene {
    environment: &'static Environment,
    namespace: String,
    statics: Vec<String>,
    _operator: Operator,
    _webhook: Webhook,
}

impl Scene {
    /// Brings everything up. The static policies hold in this namespace only: other tests run beside this one.
    pub(crate) fn open() -> Self {
        let platform = Platform::bare();
        let environment = &platform.environment;
        let webhook = platform.start_webhook();
        let operator = Operator::start(platform);
        let namespace = format!("test-attacks-{}", std::process::id());
        environment
            .kubectl(&["create", "namespace", &namespace])
            .expect_ok();
        Platform::ask_in(environment, &namespace);
        let mut statics = Vec::new();
        for kind in STATIC {
            for mut object in platform.installed(kind) {
                if kind == STATIC[1] {
                    object["spec"]["matchResources"]["namespaceSelector"] =
                        json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
                }
                platform.apply(&object);
                statics.push(format!(
                    "{kind}/{}",
                    object["metadata"]["name"].as_str().expect("it has a name")
                ));
            }
        }
        platform
            .installed("ClusterRole")
            .iter()
            .for_each(|role| platform.apply(role));
        let scene = Self {
            environment,
            namespace,
            statics,
            _operator: operator,
            _webhook: webhook,
        };
        scene.set_registries(&["registry.test"]);
        scene.people();
        scene.await_statics();
        scene
            .person("adam")
            .send("create", &server("weather", &json!({})))
            .expect_ok();
        scene.knows_server("weather");
        scene
    }

    /// `adam` runs the servers, `gina` grants, `carl` calls, `eddy` is an editor of the namespace by the role of Kubernetes.
    fn people(&self) {
        for (name, roles) in [
            ("adam", &["kubectl-mcp-admin"][..]),
            ("gina", &["kubectl-mcp-granter"]),
            ("carl", &["kubectl-mcp-caller"]),
            ("eddy", &["edit", "kubectl-mcp-edit"]),
        ] {
            self.person(name).with_roles(roles);
        }
    }

    /// Waits until the API server holds the static policies.
    fn await_statics(&self) {
        let taken = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "probe", "labels": {"app.kubernetes.io/managed-by": "kubectl-mcp-operator",
                                                     "kubectl-mcp.dev/server": "probe"}}
        });
        Self::refused(
            &self.person("eddy"),
            &["create", "-f", "-"],
            Some(&taken),
            "MCP0909",
        );
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// One of the people.
    pub(crate) fn person(&self, name: &'static str) -> Person<'_> {
        Person::new(self.environment, &self.namespace, name)
    }

    /// An attack: it must be refused with this code. It is tried without being stored until everybody who judges it has
    /// seen what it is about, and then in earnest.
    pub(crate) fn refused(
        who: &Person<'_>,
        arguments: &[&str],
        object: Option<&Value>,
        code: &str,
    ) {
        let run = |arguments: &[&str]| match object {
            Some(object) => who.send_with(arguments, object),
            None => who.kubectl(arguments),
        };
        let dry = [arguments, &["--dry-run=server"]].concat();
        eventually(&format!("{arguments:?} is refused with {code}"), || {
            let said = run(&dry);
            if !said.ok && said.text().contains(code) {
                Ok(())
            } else {
                Err(said.text())
            }
        });
        let said = run(arguments).expect_failure();
        assert!(
            said.contains(code),
            "{arguments:?}: {code} is missing in:\n{said}"
        );
    }

    /// What looks like an attack and is none: it passes as soon as everybody who judges it has seen what it is about.
    pub(crate) fn passes(who: &Person<'_>, object: &Value) {
        eventually("it passes", || {
            let said = who.send_with(&["create", "-f", "-", "--dry-run=server"], object);
            if said.ok { Ok(()) } else { Err(said.text()) }
        });
        who.send("create", object).expect_ok();
    }

    pub(crate) fn get(&self, object: &str) -> Value {
        self.environment
            .get(&[object, "-n", &self.namespace])
            .unwrap_or_default()
    }

    pub(crate) fn exists(&self, object: &str) {
        eventually(&format!("{object} is there"), || {
            if self.get(object).is_null() {
                Err("not there".to_owned())
            } else {
                Ok(())
            }
        });
    }

    pub(crate) fn gone(&self, object: &str) {
        eventually(&format!("{object} is gone"), || {
            let found = self.get(object);
            if found.is_null() {
                Ok(())
            } else {
                Err(found.to_string())
            }
        });
    }

    /// Waits until the webhook knows of a server: a grant on one that it does not know is warned about.
    pub(crate) fn knows_server(&self, name: &str) {
        self.grant_is_warned(name, false);
    }

    /// Waits until the webhook knows that a server is gone.
    pub(crate) fn forgets_server(&self, name: &str) {
        self.grant_is_warned(name, true);
    }

    fn grant_is_warned(&self, server: &str, warned: bool) {
        let probe = grant("probe", server, "nobody", &json!({}));
        eventually(
            &format!("the webhook knows whether {server} is there"),
            || {
                let said = self
                    .person("gina")
                    .send_with(&["create", "-f", "-", "--dry-run=server"], &probe);
                assert!(said.ok, "{}", said.text());
                if said.err.contains("MCP0601") == warned {
                    Ok(())
                } else {
                    Err(said.text())
                }
            },
        );
    }

    /// The namespace's policy: these registries, and one team.
    pub(crate) fn set_registries(&self, registries: &[&str]) {
        let policy = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": self.namespace},
            "spec": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
                     "images": {"allowedRegistries": registries},
                     "access": {"teams": [{"name": "blue", "groups": ["blue-people"]}]}}
        });
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.environment
            .kubectl_with(&arguments, &policy.to_string())
            .expect_ok();
        let probe = |registry: &str| {
            server(
                "probe",
                &json!({"image": format!("{registry}/mcp/probe:1")}),
            )
        };
        eventually("the policy is known", || {
            let arguments = [
                "create",
                "-n",
                &self.namespace,
                "--dry-run=server",
                "-f",
                "-",
            ];
            let put = |object: &Value| {
                self.environment
                    .kubectl_with(&arguments, &object.to_string())
            };
            let (allowed, refused) = (put(&probe(registries[0])), put(&probe("unlisted.test")));
            if allowed.ok && refused.text().contains("MCP0102") {
                Ok(())
            } else {
                Err(allowed.text() + &refused.text())
            }
        });
    }

    pub(crate) fn make_secret(&self, name: &str) {
        let arguments = [
            "create",
            "secret",
            "generic",
            name,
            "-n",
            &self.namespace,
            "--from-literal=password=x",
        ];
        self.environment.kubectl(&arguments).expect_ok();
    }

    /// Lets somebody read one Secret.
    pub(crate) fn let_read(&self, user: &str, secret: &str) {
        let role = format!("read-{secret}");
        let name = format!("--resource-name={secret}");
        let arguments = [
            "create",
            "role",
            &role,
            "-n",
            &self.namespace,
            "--verb=get",
            "--resource=secrets",
            &name,
        ];
        self.environment.kubectl(&arguments).expect_ok();
        let (role_flag, user) = (format!("--role={role}"), format!("--user={user}"));
        let arguments = [
            "create",
            "rolebinding",
            &role,
            "-n",
            &self.namespace,
            &role_flag,
            &user,
        ];
        self.environment.kubectl(&arguments).expect_ok();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.statics.reverse();
        let arguments: Vec<&str> = ["delete", "--ignore-not-found"]
            .into_iter()
            .chain(self.statics.iter().map(String::as_str))
            .collect();
        self.environment.kubectl(&arguments);
        self.environment
            .kubectl(&["delete", "mcppolicy", &self.namespace, "--ignore-not-found"]);
        self.environment
            .kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}
