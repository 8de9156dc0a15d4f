//! The harness of the whole-system tests: real `kubectl`, the project's own binaries as processes, a namespace for
//! each test, and waiting for a condition instead of sleeping.
//!
//! `cargo xtask test` brings up what a layer needs and says where it is by environment variables; see [`Environment`].

#![allow(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a harness for tests says what is wrong by panicking"
)]

mod balancer;
mod https;
mod kept;
mod process;
pub mod recorded;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use balancer::Balancer;
pub use https::Https;
pub use kept::{Answer, Kept, Server};
pub use process::{Process, free_port};

/// How long a condition may take before a test gives up. Generous: machines are slow and shared.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Where the cluster and the binaries under test are.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Kubeconfig of an administrator: `KUBECTL_MCP_TEST_KUBECONFIG`.
    pub kubeconfig: PathBuf,
    /// Folder with `kubectl`, the plugins and the server binaries: `KUBECTL_MCP_TEST_BIN`.
    pub bin: PathBuf,
}

impl Environment {
    /// Reads the environment.
    ///
    /// # Panics
    /// When the variables are missing: the layer was started by hand.
    pub fn from_env() -> Self {
        let path = |name: &str| {
            std::env::var_os(name).map_or_else(|| {
                panic!("{name} is not set; run the whole layer with: cargo xtask test --layer api|cluster")
            }, PathBuf::from)
        };
        Self {
            kubeconfig: path("KUBECTL_MCP_TEST_KUBECONFIG"),
            bin: path("KUBECTL_MCP_TEST_BIN"),
        }
    }

    /// A command that finds the project's binaries first and the cluster under test only.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.bin.clone()).chain(std::env::split_paths(&path));
        command
            .env(
                "PATH",
                std::env::join_paths(folders).expect("no folder of PATH holds a colon"),
            )
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NO_COLOR", "1")
            .env_remove("POD_NAMESPACE")
            .stdin(Stdio::null());
        command
    }

    /// Runs `kubectl` with these arguments.
    pub fn kubectl(&self, arguments: &[&str]) -> Said {
        Said::of(self.command("kubectl").args(arguments))
    }

    /// Runs `kubectl` with a text on its standard input.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Said {
        Said::with_input(self.command("kubectl").args(arguments), input)
    }

    /// The object as JSON, if it exists.
    pub fn get(&self, arguments: &[&str]) -> Option<Value> {
        let said = self.kubectl(&[&["get", "-o", "json"], arguments].concat());
        said.ok
            .then(|| serde_json::from_str(&said.out).expect("kubectl prints JSON"))
    }

    /// Makes a namespace, runs the test in it, and deletes it whatever happened. What was in it is printed when the
    /// test failed.
    ///
    /// # Panics
    /// When the namespace cannot be made, or the test panics.
    pub fn with_namespace(&self, name: &str, test: impl FnOnce(&str)) {
        let namespace = format!("test-{name}-{}", std::process::id());
        self.kubectl(&["create", "namespace", &namespace])
            .expect_ok();
        let guard = NamespaceGuard {
            environment: self,
            namespace: &namespace,
        };
        test(&namespace);
        drop(guard);
    }
}

struct NamespaceGuard<'a> {
    environment: &'a Environment,
    namespace: &'a str,
}

impl Drop for NamespaceGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dump();
        }
        self.environment
            .kubectl(&["delete", "namespace", self.namespace, "--wait=false"]);
    }
}

impl NamespaceGuard<'_> {
    #[allow(clippy::print_stderr)]
    fn dump(&self) {
        let kinds = "mcp,deployments,pods,services,ingresses,events";
        for arguments in [
            vec!["get", kinds, "-n", self.namespace, "-o", "wide"],
            vec!["get", "mcp", "-n", self.namespace, "-o", "yaml"],
            vec![
                "logs",
                "-n",
                self.namespace,
                "-l",
                "app.kubernetes.io/part-of=kubectl-mcp",
                "--all-containers",
                "--tail=40",
                "--prefix",
            ],
        ] {
            let said = self.environment.kubectl(&arguments);
            eprintln!(
                "$ kubectl {}\n{}{}",
                arguments.join(" "),
                said.out,
                said.err
            );
        }
    }
}

/// What a command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// The command as a person would type it.
    pub command: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// The exit code, if there was one.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program starts");
        Self::from_output(command, &output)
    }

    fn with_input(command: &mut Command, input: &str) -> Self {
        use std::io::Write as _;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // A program that ends early closes its end; what it said tells more.
        let _ = child
            .stdin
            .take()
            .expect("stdin was asked for")
            .write_all(input.as_bytes());
        let output = child.wait_with_output().expect("the program ends");
        Self::from_output(command, &output)
    }

    fn from_output(command: &Command, output: &Output) -> Self {
        let name = Path::new(command.get_program())
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let words = command.get_args().map(|a| a.to_string_lossy().into_owned());
        Self {
            command: std::iter::once(name)
                .chain(words)
                .collect::<Vec<_>>()
                .join(" "),
            ok: output.status.success(),
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Both streams.
    pub fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// The standard output of a command that must succeed.
    ///
    /// # Panics
    /// When it failed.
    pub fn expect_ok(self) -> String {
        assert!(
            self.ok,
            "`{}` failed ({:?}):\n{}{}",
            self.command, self.code, self.out, self.err
        );
        self.out
    }

    /// Both streams of a command that must fail.
    ///
    /// # Panics
    /// When it succeeded.
    pub fn expect_failure(self) -> String {
        assert!(
            !self.ok,
            "`{}` should have failed:\n{}",
            self.command, self.out
        );
        self.text()
    }
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none before [`DEADLINE`]; the last complaint is printed.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(complaint) if start.elapsed() > DEADLINE => {
                panic!(
                    "{what}: not within {} s; last seen: {complaint}",
                    DEADLINE.as_secs()
                )
            }
            // Yields the processor between two looks; the condition decides, not this pause.
            Err(_) => std::thread::park_timeout(Duration::from_millis(100)),
        }
    }
}

/// Sends one HTTP/1.1 request as it stands, with `Connection: close` added to its head, and reads the whole answer.
///
/// # Errors
/// When there is no connection, or it breaks or stays silent for five seconds.
pub fn http(address: (&str, u16), head: &str, body: &str) -> std::io::Result<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let length = body.len();
    write!(
        stream,
        "{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A file of `tests/fixtures`.
///
/// # Panics
/// When it is not there.
pub fn fixture(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// The text of a file of `tests/fixtures`.
///
/// # Panics
/// When it is not there.
pub fn fixture_text(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).expect("the fixture is text")
}
