//! Nobody's call is lost: a rolling restart under load, the drain after SIGTERM, requests under way at its end, too many
//! requests at a time, and a provided certificate that is renewed. All by real processes.
#![allow(clippy::print_stdout, reason = "the test run shows the figures")]

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Answer, Balancer, Environment, Server, eventually, http};

use crate::fleet::{Load, Mounted, Registered, Replica, SYSTEM, asked_in, balanced, summary};
use crate::platform::Platform;

/// Namespaces in which the webhooks of these tests are asked.
const LABEL: &str = "test.kubectl-mcp.dev/availability";

fn provided(environment: &Environment, mounted: &Mounted, arguments: &[&str]) -> Replica {
    let directory = format!("--cert-dir={}", mounted.path().display());
    let arguments = [&[directory.as_str()], arguments].concat();
    Replica::start(environment, &arguments, &environment.kubeconfig)
}

#[test]
fn a_rolling_restart_under_200_requests_per_second_fails_no_call() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    let mounted = Mounted::new([1, 30]);
    let start = || provided(environment, &mounted, &["--drain=4s"]);
    let mut old = vec![start(), start()];
    let balancer = balanced(&[&old[0], &old[1]]);
    let bundle = Some(mounted.authority.as_str());
    let _registered = Registered::new(platform, "test-rolling", balancer.port, LABEL, bundle);
    environment.with_namespace("rolling", |namespace| {
        asked_in(environment, namespace, LABEL, &[&old[0], &old[1]]);
        let load = Load::start(environment, namespace, 200);
        load.run_for(600);
        let mut new = Vec::new();
        for mut leaving in old.drain(..) {
            let fresh = start();
            balancer.add(fresh.port, Some(fresh.admin));
            new.push(fresh);
            leaving.process.terminate();
            let status = eventually("the old replica ends", || {
                leaving
                    .process
                    .ended()
                    .ok_or_else(|| leaving.process.logs())
            });
            assert!(status.success(), "{status}: {}", leaving.process.logs());
        }
        load.run_for(600);
        let tally = load.end();
        println!("{}", summary("rolling restart of two replicas", &tally));
        tally.expect_clean(1200);
        // The old ones are gone, so these answered; the API server may need one connection only.
        assert!(new.iter().any(|replica| replica.decisions() > 0));
    });
}

#[test]
fn after_sigterm_the_webhook_is_not_ready_serves_on_for_15_seconds_and_ends() {
    let platform = Platform::bare();
    let mounted = Mounted::new([1, 30]);
    let mut replica = provided(&platform.environment, &mounted, &[]);
    let server = Server::trusting(replica.port, mounted.authority.as_bytes());
    let mut kept = server.connect().expect("it listens");
    let before = kept
        .post("/validate", &review(&a_server()))
        .expect("it answers");
    assert_eq!(
        (before.status, before.closes),
        (200, false),
        "{}",
        before.body
    );

    replica.process.terminate();
    let told = Instant::now();
    eventually("the webhook is not ready", || {
        let answer = readyz(replica.admin);
        if answer.contains("draining") {
            Ok(())
        } else {
            Err(answer)
        }
    });
    let answer = kept
        .post("/validate", &review(&a_server()))
        .expect("the connection still holds");
    assert_eq!(
        (answer.status, answer.closes),
        (200, true),
        "{}",
        answer.body
    );
    let mut last = told;
    while let Ok(answer) = server
        .connect()
        .and_then(|mut new| new.post("/validate", &review(&a_server())))
    {
        assert_eq!(
            (answer.status, answer.closes),
            (200, true),
            "{}",
            answer.body
        );
        last = Instant::now();
        assert!(last < told + Duration::from_secs(30), "it never stops");
        thread::park_timeout(Duration::from_millis(100));
    }
    let lasted = last - told;
    println!(
        "served new connections for {} ms after SIGTERM",
        lasted.as_millis()
    );
    assert!(lasted >= Duration::from_millis(14_500), "{lasted:?}");
    let status = eventually("the process ends", || {
        replica
            .process
            .ended()
            .ok_or_else(|| replica.process.logs())
    });
    assert!(status.success(), "{status}: {}", replica.process.logs());
    assert!(
        told.elapsed() < Duration::from_secs(30),
        "the pod would be killed"
    );
}

#[test]
fn a_request_under_way_at_the_end_of_the_drain_gets_its_answer() {
    let held = Held::start(&["--concurrency=1", "--drain=1s", "--sar-timeout=4s"]);
    held.balancer.freeze(true);
    let waiting = held.ask_in_background();
    held.wait_until_busy();
    held.replica.process.terminate();
    let answer = waiting.join().expect("no panic");
    let (answer, took) = answer.expect("the connection is not cut");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(
        took > Duration::from_secs(2),
        "it was no longer under way: {took:?}"
    );
}

#[test]
fn a_request_too_many_is_turned_away_at_once() {
    let held = Held::start(&["--concurrency=1", "--sar-timeout=20s"]);
    held.balancer.freeze(true);
    let waiting = held.ask_in_background();
    held.wait_until_busy();
    for _ in 0..5 {
        let begun = Instant::now();
        let answer = held.probe();
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
    }
    held.balancer.freeze(false);
    let (answer, _) = waiting.join().expect("no panic").expect("it is answered");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(held.probe().status, 200);
}

#[test]
fn a_provided_certificate_is_replaced_without_a_restart_and_its_end_is_announced() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    platform.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}));
    let mut mounted = Mounted::new([90, 10]);
    let mut replica = provided(environment, &mounted, &["--drain=1s"]);
    let old = Server::trusting(replica.port, mounted.authority.as_bytes());
    let mut kept = old.connect().expect("the first certificate is served");
    let name = "mcp_webhook_certificate_not_after_seconds{certificate=\"leaf\"}";
    let ends = eventually("the metric is there", || {
        replica.metric(name).ok_or("it is not".to_owned())
    });
    let pod = format!("webhook-{}", replica.port);
    eventually("an event says that it ends soon", || {
        let events = environment
            .get(&["events", "-n", SYSTEM])
            .ok_or("no answer")?;
        let about = |event: &&Value| event["involvedObject"]["name"] == pod.as_str();
        let event = events["items"]
            .as_array()
            .and_then(|items| items.iter().find(about).cloned());
        match event {
            Some(event)
                if event["reason"] == "CertificateExpiring" && event["type"] == "Warning" =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    });

    mounted.renew([0, 90]);
    let new = Server::trusting(replica.port, mounted.authority.as_bytes());
    eventually("the second certificate is served", || {
        new.connect().map(drop).map_err(|error| error.to_string())
    });
    assert!(
        old.connect().is_err(),
        "nobody is shown the first one any more"
    );
    let answer = kept
        .post("/validate", &review(&a_server()))
        .expect("open connections go on");
    assert_eq!(answer.status, 200);
    assert!(replica.process.runs());
    eventually("the metric follows", || {
        let now = replica.metric(name).ok_or("no metric")?;
        if now > ends + 86_400.0 * 70.0 {
            Ok(())
        } else {
            Err(now.to_string())
        }
    });
}

/// A webhook whose way to the API server can be frozen, so that a question about the requester takes as long as a test
/// wants.
struct Held {
    replica: Replica,
    balancer: Balancer,
    server: Server,
    _mounted: Mounted,
    _folder: tempfile::TempDir,
}

impl Held {
    fn start(arguments: &[&str]) -> Self {
        let environment = &Platform::bare().environment;
        let text = environment
            .kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"])
            .expect_ok();
        let mut config: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        let url = config["clusters"][0]["cluster"]["server"]
            .as_str()
            .expect("it names the server");
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        let balancer = Balancer::start();
        balancer.add(port.expect("the URL ends with a port"), None);
        config["clusters"][0]["cluster"]["server"] =
            json!(format!("https://127.0.0.1:{}", balancer.port));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, config.to_string()).expect("a file");

        let mounted = Mounted::new([1, 30]);
        let directory = format!("--cert-dir={}", mounted.path().display());
        let arguments = [&[directory.as_str()], arguments].concat();
        let replica = Replica::start(environment, &arguments, &kubeconfig);
        let server = Server::trusting(replica.port, mounted.authority.as_bytes());
        Self {
            replica,
            balancer,
            server,
            _mounted: mounted,
            _folder: folder,
        }
    }

    /// Asks for a session in somebody else's name: the webhook must ask the API server whether that is allowed. Asks
    /// again while a probe has the only slot.
    fn ask_in_background(&self) -> thread::JoinHandle<std::io::Result<(Answer, Duration)>> {
        let server = self.server.clone();
        thread::spawn(move || {
            loop {
                let begun = Instant::now();
                let answer = server.connect()?.post("/validate", &review(&a_session()))?;
                if answer.status != 503 {
                    return Ok((answer, begun.elapsed()));
                }
            }
        })
    }

    /// Waits until the question has the only slot.
    fn wait_until_busy(&self) {
        eventually("the question waits for the API server", || {
            match self.probe() {
                Answer { status: 503, .. } => Ok(()),
                answer => Err(answer.body),
            }
        });
    }

    fn probe(&self) -> Answer {
        let kept = self.server.connect();
        let answer = kept.and_then(|mut kept| kept.post("/validate", &review(&a_server())));
        answer.expect("it answers")
    }
}

fn readyz(admin: u16) -> String {
    let head = "GET /readyz HTTP/1.1\r\nHost: localhost";
    http(("127.0.0.1", admin), head, "").unwrap_or_else(|error| error.to_string())
}

fn a_server() -> Value {
    let mut server = crate::fleet::good_server();
    server["metadata"]["namespace"] = json!("default");
    server
}

fn a_session() -> Value {
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession",
        "metadata": {"name": "one", "namespace": "default"},
        "spec": {"serverRef": {"name": "everything"}, "subject": {"humanID": "alice"}, "tokenHash": "a".repeat(64),
                 "expiresAt": ends.to_string()},
    })
}

/// What the API server posts when somebody creates the object.
fn review(object: &Value) -> String {
    let kind = object["kind"].as_str().expect("it has a kind");
    let resource = json!({"group": "kubectl-mcp.dev", "version": "v1alpha1", "resource": format!("{}s", kind.to_lowercase())});
    let kind = json!({"group": "kubectl-mcp.dev", "version": "v1alpha1", "kind": kind});
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "11111111-2222-3333-4444-555555555555", "kind": kind, "resource": resource, "requestKind": kind,
            "requestResource": resource, "name": object["metadata"]["name"], "namespace": "default",
            "operation": "CREATE", "userInfo": {"username": "mallory", "groups": ["system:authenticated"]},
            "object": object, "oldObject": null, "dryRun": false, "options": null,
        },
    })
    .to_string()
}
