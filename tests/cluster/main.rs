//! The cluster layer: the main job with real pods, a real MCP server that nobody here wrote, an ingress controller and
//! enforced `NetworkPolicy` objects.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Environment, Said, eventually};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/demo");

/// A revocation takes well under a second; this bound only tells a broken watch from a slow machine.
const REVOKED_WITHIN: Duration = Duration::from_secs(10);

/// One story: each step needs the one before, as in the README.
#[test]
fn from_setup_to_a_revoked_session() {
    let environment = Environment::from_env();
    setup_answers_until_a_bad_object_is_refused(&environment);
    environment.with_namespace("main", |namespace| {
        let job = Job {
            environment: &environment,
            namespace,
        };
        job.a_bad_server_is_refused();
        job.a_good_server_becomes_ready();
        job.an_ungranted_call_is_denied();
        job.a_granted_call_answers_and_only_granted_tools_are_listed();
        job.the_ingress_leads_to_the_gateway();
        job.nothing_reaches_the_server_past_the_gateway();
        job.a_revoked_session_is_denied_at_once();
        job.a_denied_person_is_denied_with_a_new_session_too();
        job.the_audit_says_who_called_what();
        job.the_servers_are_light();
    });
}

fn setup_answers_until_a_bad_object_is_refused(environment: &Environment) {
    let arguments = [
        "mcp",
        "setup",
        "--default-host",
        "mcp.example.test",
        "--allow-registry",
        "registry.test",
    ];
    environment.kubectl(&arguments).expect_ok();
    let again = environment.kubectl(&["mcp", "setup"]).expect_ok();
    assert!(
        !again.contains(" created") && !again.contains(" configured"),
        "a second setup changed something:\n{again}"
    );
    let check = environment.kubectl(&["mcp", "check", "-o", "json"]);
    assert!(check.ok, "kubectl mcp check finds fault:\n{}", check.text());
}

struct Job<'a> {
    environment: &'a Environment,
    namespace: &'a str,
}

impl Job<'_> {
    fn kubectl(&self, arguments: &[&str]) -> Said {
        self.environment
            .kubectl(&[arguments, &["-n", self.namespace]].concat())
    }

    fn call_echo(&self) -> Said {
        self.kubectl(&[
            "mcp",
            "server",
            "call",
            "everything",
            "echo",
            "message=hello",
        ])
    }

    fn session(&self) -> String {
        self.kubectl(&[
            "mcp",
            "session",
            "create",
            "--server",
            "everything",
            "-o",
            "name",
        ])
        .expect_ok()
        .trim()
        .to_owned()
    }

    fn a_bad_server_is_refused(&self) {
        let bad = format!("{DEMO}/bad.yaml");
        let said = self.kubectl(&["apply", "-f", &bad]).expect_failure();
        let lint = Said::of(self.environment.command("kubectl").args([
            "mcp",
            "lint",
            "-f",
            &bad,
            "--policy",
            &format!("{DEMO}/policy.yaml"),
        ]));
        assert_eq!(lint.code, Some(1), "{}", lint.text());
        for code in ["MCP0102", "MCP0105", "MCP0204", "MCP0304", "MCP0308"] {
            assert!(said.contains(code), "{code} is missing in:\n{said}");
            assert!(
                lint.text().contains(code),
                "{code} is missing in lint:\n{}",
                lint.text()
            );
        }
    }

    fn a_good_server_becomes_ready(&self) {
        // A path of this test's own: the demo may run on the same cluster, and a path belongs to one server.
        let file = format!("{DEMO}/everything.yaml");
        let yaml = std::fs::read_to_string(&file).expect("the demo is there");
        let yaml = format!("{yaml}  ingressPath: {}\n", self.path());
        let arguments = ["apply", "-n", self.namespace, "-f", "-"];
        self.environment.kubectl_with(&arguments, &yaml).expect_ok();
        self.kubectl(&[
            "wait",
            "mcpserver/everything",
            "--for=condition=Ready",
            "--timeout=120s",
        ])
        .expect_ok();
        let server = self.server();
        assert_eq!(
            server["status"]["url"],
            format!("http://mcp.example.test{}", self.path())
        );
        assert_eq!(server["status"]["phase"], "Ready");
        eventually("the operator knows the server's tools", || {
            match self.server()["status"]["discovered"]["tools"].as_i64() {
                Some(count) if count > 3 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    fn path(&self) -> String {
        format!("/{}/mcp", self.namespace)
    }

    fn server(&self) -> Value {
        self.environment
            .get(&["mcpserver", "everything", "-n", self.namespace])
            .expect("the server is there")
    }

    fn an_ungranted_call_is_denied(&self) {
        self.session();
        let said = eventually("the call is denied for want of a grant", || {
            let said = self.call_echo();
            if said.text().contains("no_matching_grant") || said.text().contains("grant create") {
                Ok(said)
            } else {
                Err(said.text())
            }
        });
        assert_eq!(said.code, Some(1), "{}", said.text());
        assert!(
            said.text().contains("kubectl mcp grant create"),
            "the way out is not named:\n{}",
            said.text()
        );
    }

    fn a_granted_call_answers_and_only_granted_tools_are_listed(&self) {
        let who = self
            .kubectl(&[
                "auth",
                "whoami",
                "-o",
                "jsonpath={.status.userInfo.username}",
            ])
            .expect_ok();
        self.kubectl(&[
            "mcp",
            "grant",
            "create",
            "echo",
            "--server",
            "everything",
            "--subject",
            &format!("human:{who}"),
            "--tool",
            "echo",
        ])
        .expect_ok();
        eventually("the granted call answers", || {
            let said = self.call_echo();
            if said.ok && said.out.contains("hello") {
                Ok(())
            } else {
                Err(said.text())
            }
        });
        let tools = self
            .kubectl(&["mcp", "server", "tools", "everything", "-o", "name"])
            .expect_ok();
        assert_eq!(
            tools.lines().collect::<Vec<_>>(),
            ["echo"],
            "exactly the granted tools are listed"
        );
    }

    fn the_ingress_leads_to_the_gateway(&self) {
        let address = self
            .environment
            .get(&["ingress", "everything", "-n", self.namespace])
            .and_then(|i| {
                Some(
                    i["status"]["loadBalancer"]["ingress"][0]["ip"]
                        .as_str()?
                        .to_owned(),
                )
            })
            .expect("a Ready server's Ingress has an address");
        let head = [
            &format!("POST {} HTTP/1.1", self.path()),
            "Host: mcp.example.test",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
        ]
        .join("\r\n");
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        eventually("the public URL answers 401 to nobody", || {
            let answer = tests::http((&address, 80), &head, body).map_err(|e| e.to_string())?;
            if answer.starts_with("HTTP/1.1 401") {
                Ok(())
            } else {
                Err(answer)
            }
        });
    }

    /// From another pod the gateway's port answers, with whatever status, and the server's own does not.
    fn nothing_reaches_the_server_past_the_gateway(&self) {
        let selector = "kubectl-mcp.dev/server=everything";
        let pods = self
            .environment
            .get(&["pods", "-n", self.namespace, "-l", selector]);
        let ip = pods.expect("pods")["items"][0]["status"]["podIP"]
            .as_str()
            .expect("it has an address")
            .to_owned();
        let image = format!(
            "--image={}",
            std::env::var("KUBECTL_MCP_TEST_PROBE").expect("xtask sets it")
        );
        let run = [
            "run",
            "stranger",
            "-n",
            self.namespace,
            &image,
            "--restart=Never",
            "--",
            "wait",
        ];
        self.environment.kubectl(&run).expect_ok();
        self.kubectl(&[
            "wait",
            "pod/stranger",
            "--for=condition=Ready",
            "--timeout=60s",
        ])
        .expect_ok();
        let asked = |port: u16| {
            let url = format!("http://{ip}:{port}/");
            let get = [
                "exec",
                "stranger",
                "-n",
                self.namespace,
                "--",
                "/probe",
                "get",
                &url,
                "3",
            ];
            self.environment.kubectl(&get)
        };
        eventually("the gateway's port answers", || {
            let said = asked(8091);
            if said.ok || said.text().contains("answered") {
                Ok(())
            } else {
                Err(said.text())
            }
        });
        for (port, whose) in [(8088, "the server's own port"), (9091, "the admin port")] {
            let said = asked(port);
            let open = said.ok || said.text().contains("answered");
            assert!(!open, "{whose} is open to a stranger: {}", said.text());
        }
    }

    fn a_revoked_session_is_denied_at_once(&self) {
        let start = Instant::now();
        self.kubectl(&["mcp", "session", "revoke", "--server", "everything"])
            .expect_ok();
        let revoked = Instant::now();
        eventually("the revoked session is denied", || {
            if self.call_echo().ok {
                Err("still answers".to_owned())
            } else {
                Ok(())
            }
        });
        assert!(
            start.elapsed() < REVOKED_WITHIN,
            "it took {:?} after the command",
            revoked.elapsed()
        );
    }

    fn a_denied_person_is_denied_with_a_new_session_too(&self) {
        let who = self
            .kubectl(&[
                "auth",
                "whoami",
                "-o",
                "jsonpath={.status.userInfo.username}",
            ])
            .expect_ok();
        self.session();
        eventually("a new session works again", || {
            let said = self.call_echo();
            if said.ok { Ok(()) } else { Err(said.text()) }
        });
        self.kubectl(&[
            "mcp",
            "grant",
            "deny",
            "--server",
            "everything",
            "--subject",
            &format!("human:{who}"),
            "--for",
            "24h",
            "--reason",
            "test",
        ])
        .expect_ok();
        eventually("the person is denied", || {
            if self.call_echo().ok {
                Err("still answers".to_owned())
            } else {
                Ok(())
            }
        });
        self.session();
        eventually(
            "a new session is denied by the grant, not for want of a session",
            || {
                let said = self.call_echo();
                if !said.ok && said.text().contains("denied") {
                    Ok(())
                } else {
                    Err(said.text())
                }
            },
        );
    }

    fn the_audit_says_who_called_what(&self) {
        let lines = self
            .kubectl(&["mcp", "server", "logs", "everything", "--audit"])
            .expect_ok();
        let events: Vec<Value> = lines
            .lines()
            .filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok())
            .collect();
        let calls: Vec<&Value> = events
            .iter()
            .filter(|e| e["method"] == "tools/call" && e["name"] == "echo")
            .collect();
        for decision in ["allow", "deny"] {
            assert!(
                calls.iter().any(|e| e["decision"] == decision),
                "no {decision} for echo in:\n{lines}"
            );
        }
        assert!(!lines.contains("mcps_"), "a token is in the audit");
        assert!(!lines.contains("hello"), "an argument is in the audit");
    }

    /// Idle memory, with generous bounds: the bars are in the README.
    #[allow(
        clippy::print_stdout,
        clippy::unused_self,
        reason = "a figure for who reads; one more step of the story"
    )]
    fn the_servers_are_light(&self) {
        for (program, limit_mib) in [
            ("mcp-gateway", 24),
            ("mcp-webhook", 60),
            ("mcp-operator", 80),
        ] {
            for (anon, rss) in memory(program) {
                println!(
                    "{program}: RssAnon {:.1} MiB, RSS {:.1} MiB",
                    mib(anon),
                    mib(rss)
                );
                assert!(
                    mib(anon) < f64::from(limit_mib),
                    "{program} holds {:.1} MiB",
                    mib(anon)
                );
            }
        }
    }
}

fn mib(kib: u32) -> f64 {
    f64::from(kib) / 1024.0
}

/// `RssAnon` and `VmRSS` in KiB of every process of a name on this machine: the pods of a local cluster are here.
fn memory(program: &str) -> Vec<(u32, u32)> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
            let kib = |key: &str| {
                status
                    .lines()
                    .find_map(|l| l.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
            };
            (name.trim() == program).then_some((kib("RssAnon:")?, kib("VmRSS:")?))
        })
        .collect()
}
