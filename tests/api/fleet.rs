//! Several webhooks behind one address, as in a cluster, and a steady load through the API server that counts the calls
//! which reached none of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Answer, Balancer, Environment, Kept, Process, Server, eventually, free_port};

use crate::platform::{Platform, ready};

/// Namespace of the platform.
pub(crate) const SYSTEM: &str = "kubectl-mcp-system";

/// One webhook.
pub(crate) struct Replica {
    pub(crate) process: Process,
    pub(crate) port: u16,
    pub(crate) admin: u16,
}

impl Replica {
    /// Starts a webhook with these arguments besides its addresses, and waits until it is ready.
    pub(crate) fn start(environment: &Environment, arguments: &[&str], kubeconfig: &Path) -> Self {
        let (port, admin) = (free_port(), free_port());
        let mut command = environment.command("mcp-webhook");
        command
            .env("KUBECONFIG", kubeconfig)
            .args([
                format!("--listen=127.0.0.1:{port}"),
                format!("--admin=127.0.0.1:{admin}"),
                format!("--namespace={SYSTEM}"),
                format!("--identity=webhook-{port}"),
            ])
            .args(arguments);
        let process = Process::start("mcp-webhook", command);
        let replica = Self {
            process,
            port,
            admin,
        };
        eventually("the webhook becomes ready", || ready(admin));
        replica
    }

    /// The value of a metric, labels and all.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let text = Platform::metrics(self.admin);
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    }

    /// How many decisions it took, by the metrics.
    pub(crate) fn decisions(&self) -> u64 {
        let text = Platform::metrics(self.admin);
        let counts = text
            .lines()
            .filter(|line| line.starts_with("mcp_webhook_decision_seconds_count"));
        counts
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }
}

/// The two webhook configurations of `setup`, under a name of our own and pointed at an address of loopback, for
/// namespaces with one label. Dropping it deletes them.
pub(crate) struct Registered<'a> {
    environment: &'a Environment,
    name: String,
}

impl<'a> Registered<'a> {
    /// Both webhooks fail closed, so that a call which neither answers is seen.
    pub(crate) fn new(
        platform: &'a Platform,
        name: &str,
        port: u16,
        label: &str,
        bundle: Option<&str>,
    ) -> Self {
        for kind in [
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
        ] {
            for mut object in platform.installed(kind) {
                object["metadata"] = json!({"name": name});
                for hook in object["webhooks"].as_array_mut().expect("it has webhooks") {
                    let path = hook["clientConfig"]["service"]["path"].as_str();
                    let url = format!("https://127.0.0.1:{port}{}", path.expect("it has a path"));
                    hook["clientConfig"] = match bundle {
                        Some(pem) => json!({"url": url, "caBundle": base64(pem.as_bytes())}),
                        None => json!({"url": url}),
                    };
                    hook["namespaceSelector"] = json!({"matchLabels": {label: "true"}});
                    hook["failurePolicy"] = json!("Fail");
                    for rule in hook["rules"].as_array_mut().expect("it has rules") {
                        rule["scope"] = json!("Namespaced");
                    }
                }
                platform.apply(&object);
            }
        }
        Self {
            environment: &platform.environment,
            name: name.to_owned(),
        }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        for kind in [
            "mutatingwebhookconfiguration",
            "validatingwebhookconfiguration",
        ] {
            self.environment
                .kubectl(&["delete", kind, &self.name, "--ignore-not-found"]);
        }
    }
}

/// A provided certificate in a folder that is laid out and renewed as the kubelet does with a mounted Secret: files are
/// links through `..data`, which is swapped.
pub(crate) struct Mounted {
    folder: tempfile::TempDir,
    generation: u32,
    /// The authority of the present certificate, PEM.
    pub(crate) authority: String,
}

impl Mounted {
    /// A certificate for 127.0.0.1 with `days` before now and after now.
    pub(crate) fn new(days: [i64; 2]) -> Self {
        let mut mounted = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            generation: 0,
            authority: String::new(),
        };
        mounted.renew(days);
        for name in ["tls.crt", "tls.key"] {
            link(Path::new("..data").join(name), &mounted.path().join(name));
        }
        mounted
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Another certificate by another authority.
    pub(crate) fn renew(&mut self, days: [i64; 2]) {
        self.generation += 1;
        let ca_key = rcgen::KeyPair::generate().expect("a key");
        let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let name = format!("provided CA {}", self.generation);
        ca.distinguished_name.push(rcgen::DnType::CommonName, name);
        self.authority = ca.self_signed(&ca_key).expect("a CA").pem();

        let key = rcgen::KeyPair::generate().expect("a key");
        let mut leaf =
            rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        let now = jiff::Timestamp::now().as_second();
        let day = |days: i64| {
            let seconds = u64::try_from(now + days * 86_400).expect("after 1970");
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
        };
        (leaf.not_before, leaf.not_after) = (day(-days[0]), day(days[1]));
        let issuer = rcgen::Issuer::from_params(&ca, &ca_key);
        let leaf = leaf.signed_by(&key, &issuer).expect("a leaf");

        let data = PathBuf::from(format!("..{}", self.generation));
        let folder = self.path().join(&data);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("tls.crt"), leaf.pem()).expect("a file");
        std::fs::write(folder.join("tls.key"), key.serialize_pem()).expect("a file");
        let fresh = self.path().join("..data_tmp");
        link(data, &fresh);
        std::fs::rename(fresh, self.path().join("..data")).expect("links are swapped");
    }
}

fn link(to: PathBuf, at: &Path) {
    std::os::unix::fs::symlink(to, at).expect("a link");
}

/// A load through the API server: dry-run creates of a good server, at a steady rate.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Tally>>,
    started: Instant,
    failures: Arc<Mutex<Vec<String>>>,
    answered: Arc<AtomicUsize>,
}

/// What a load came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Calls that were answered by a webhook.
    pub(crate) answered: usize,
    /// Calls that were not.
    pub(crate) failures: Vec<String>,
    /// The longest time that one call took.
    pub(crate) slowest: Duration,
    /// Calls per second.
    pub(crate) rate: usize,
}

/// Connections of a load.
const WORKERS: u32 = 8;

impl Load {
    /// Begins to send `rate` creates per second into a namespace, until it is told to end.
    pub(crate) fn start(environment: &Environment, namespace: &str, rate: u32) -> Self {
        let server = Server::of_kubeconfig(&environment.kubeconfig);
        let stop = Arc::new(AtomicBool::new(false));
        let failures = Arc::new(Mutex::new(Vec::new()));
        let answered = Arc::new(AtomicUsize::new(0));
        let pace = Duration::from_secs(1) * WORKERS / rate;
        let workers = (0..WORKERS).map(|_| {
            let (server, namespace) = (server.clone(), namespace.to_owned());
            let (stop, failures) = (Arc::clone(&stop), Arc::clone(&failures));
            let answered = Arc::clone(&answered);
            thread::spawn(move || work(&server, &namespace, pace, &stop, &failures, &answered))
        });
        Self {
            workers: workers.collect(),
            started: Instant::now(),
            stop,
            failures,
            answered,
        }
    }

    /// Waits until that many further calls were answered, or one failed. Counted and not timed, because a busy machine
    /// does not reach the rate.
    pub(crate) fn run_for(&self, calls: usize) {
        let end = self.answered.load(Ordering::SeqCst) + calls;
        eventually("the load makes its calls", || {
            let answered = self.answered.load(Ordering::SeqCst);
            if answered >= end || !self.complaints().is_empty() {
                Ok(())
            } else {
                Err(format!("{answered} of {end}"))
            }
        });
    }

    fn complaints(&self) -> Vec<String> {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends it and adds up.
    pub(crate) fn end(self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        let mut sum = Tally::default();
        let failures = Arc::clone(&self.failures);
        for worker in self.workers {
            let tally = worker.join().expect("a worker does not panic");
            sum.slowest = sum.slowest.max(tally.slowest);
        }
        sum.answered = self.answered.load(Ordering::SeqCst);
        sum.failures = std::mem::take(&mut failures.lock().unwrap_or_else(PoisonError::into_inner));
        let seconds = usize::try_from(self.started.elapsed().as_secs()).unwrap_or(usize::MAX);
        sum.rate = sum.answered / seconds.max(1);
        sum
    }
}

impl Tally {
    /// Nothing failed, and there was a load.
    pub(crate) fn expect_clean(&self, at_least: usize) {
        let first: Vec<_> = self.failures.iter().take(3).collect();
        let failed = self.failures.len();
        assert!(
            failed == 0,
            "{failed} calls failed, {} did not: {first:#?}",
            self.answered
        );
        assert!(self.answered >= at_least, "only {} calls", self.answered);
    }
}

fn work(
    server: &Server,
    namespace: &str,
    pace: Duration,
    stop: &AtomicBool,
    failures: &Mutex<Vec<String>>,
    answered: &AtomicUsize,
) -> Tally {
    let mut tally = Tally::default();
    let mut connection = None;
    let mut next = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        let begun = Instant::now();
        match call(server, namespace, &mut connection) {
            Ok(()) => {
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Err(why) => failures
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(why),
        }
        tally.slowest = tally.slowest.max(begun.elapsed());
        next += pace;
        // A load that fell behind does not catch up by a burst.
        next = next.max(Instant::now());
        thread::park_timeout(next.saturating_duration_since(Instant::now()));
    }
    tally
}

/// Counts the names of servers.
static NAMES: AtomicU32 = AtomicU32::new(0);

/// One dry-run create. That the rules refuse the server is an answer too: policies of other tests come and go.
fn call(server: &Server, namespace: &str, connection: &mut Option<Kept>) -> Result<(), String> {
    if connection.is_none() {
        let fresh = server
            .connect()
            .map_err(|error| format!("the API server: {error}"))?;
        *connection = Some(fresh);
    }
    let kept = connection.as_mut().ok_or("there is a connection")?;
    let path =
        format!("/apis/kubectl-mcp.dev/v1alpha1/namespaces/{namespace}/mcpservers?dryRun=All");
    let mut server_object = good_server();
    server_object["metadata"]["name"] =
        json!(format!("load-{}", NAMES.fetch_add(1, Ordering::Relaxed)));
    match kept.post(&path, &server_object.to_string()) {
        Ok(Answer { status: 201, .. }) => Ok(()),
        Ok(Answer {
            status: 422, body, ..
        }) if body.contains("(MCP") => Ok(()),
        Ok(answer) => Err(format!("{}: {}", answer.status, answer.body)),
        Err(error) => {
            *connection = None;
            Err(format!("the API server: {error}"))
        }
    }
}

/// A server that the rules accept.
pub(crate) fn good_server() -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": "one"},
        "spec": {
            "image": "registry.test/mcp/everything:1.0.0", "ingressHost": "mcp.example.test",
            "tools": [{"name": "echo", "sideEffect": "read"}],
        },
    })
}

/// Labels a namespace, and waits until creates in it reach a webhook.
pub(crate) fn asked_in(
    environment: &Environment,
    namespace: &str,
    label: &str,
    replicas: &[&Replica],
) {
    environment
        .kubectl(&["label", "namespace", namespace, &format!("{label}=true")])
        .expect_ok();
    let server = Server::of_kubeconfig(&environment.kubeconfig);
    let decisions = || {
        replicas
            .iter()
            .map(|replica| replica.decisions())
            .sum::<u64>()
    };
    let before = decisions();
    eventually("the API server asks a webhook", || {
        call(&server, namespace, &mut None)?;
        if decisions() >= before + 2 {
            Ok(())
        } else {
            Err("it does not ask".to_owned())
        }
    });
}

/// A kubeconfig of the webhook's own ServiceAccount with the rights that `setup` gives it.
pub(crate) fn service_account(platform: &Platform, folder: &Path) -> PathBuf {
    let environment = &platform.environment;
    platform.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}));
    for kind in [
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
    ] {
        for object in platform.installed(kind) {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if ["mcp-webhook", "kubectl-mcp-webhook"].contains(&name) {
                platform.apply(&object);
            }
        }
    }
    let token = environment
        .kubectl(&["create", "token", "mcp-webhook", "-n", SYSTEM])
        .expect_ok();
    let text = environment
        .kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"])
        .expect_ok();
    let mut config: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
    config["users"][0]["user"] = json!({"token": token.trim()});
    let file = folder.join("webhook.kubeconfig");
    std::fs::write(&file, config.to_string()).expect("a file");
    file
}

/// Puts replicas behind a balancer.
pub(crate) fn balanced(replicas: &[&Replica]) -> Balancer {
    let balancer = Balancer::start();
    for replica in replicas {
        balancer.add(replica.port, Some(replica.admin));
    }
    balancer
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// One line for the log of the test run.
pub(crate) fn summary(what: &str, tally: &Tally) -> String {
    let mut line = String::new();
    let _ = write!(
        line,
        "{what}: {} calls, {} per second, slowest {} ms, {} failed",
        tally.answered,
        tally.rate,
        tally.slowest.as_millis(),
        tally.failures.len()
    );
    line
}
