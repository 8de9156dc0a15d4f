//! The gateway in front of whatever a test names, with a world that does not change.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use access::Settings;
use api::{AuthMode, Decision};

use super::{PATIENCE, Process};
use crate::support::{NAMESPACE, SERVER, World, free_port};

/// A gateway that asks nobody who they are, and lets everybody do everything.
pub struct Gateway {
    pub url: String,
    _process: Process,
    _server: Process,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// In front of a server that listens on this port of loopback, when it has answered.
    pub async fn over_http(server: Process, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = format!("http://127.0.0.1:{port}/mcp");
        Self::start(server, &["--upstream", &upstream], folder).await
    }

    /// In front of a server that speaks on its stdin and stdout, behind the bridge.
    pub async fn over_stdio(server: &Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("stdio.sock");
        let mut bridge = Command::new(env!("CARGO_BIN_EXE_mcp-gateway"));
        bridge.arg("exec").arg("--socket").arg(&socket).arg("--");
        bridge.arg(server.get_program()).args(server.get_args());
        let set = server
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        bridge
            .envs(set)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let bridge = Process::start(&mut bridge);
        let upstream = format!("stdio:{}", socket.display());
        // Some clients never end their sessions, and each holds a process until it is idle for long.
        let flags = ["--upstream", &upstream, "--stdio-max-processes", "50"];
        Self::start(bridge, &flags, folder).await
    }

    async fn start(server: Process, flags: &[&str], folder: tempfile::TempDir) -> Self {
        let [listen, admin] =
            [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let bundle = open_world(listen).json();
        std::fs::write(folder.path().join("access.json"), bundle).unwrap();
        let mut serve = serve(listen, admin, folder.path());
        let gateway = Process::start(serve.args(flags));
        ready(admin, flags).await;
        Self {
            url: format!("http://{listen}/mcp"),
            _process: gateway,
            _server: server,
            _folder: folder,
        }
    }
}

fn open_world(own: SocketAddr) -> World {
    let mut world = World::new();
    world.settings = Settings {
        auth: AuthMode::None,
        default_decision: Decision::Allow,
        undeclared_tools: Decision::Allow,
        origins: vec![format!("http://{own}")],
        ..world.settings
    };
    world
}

fn serve(listen: SocketAddr, admin: SocketAddr, bundle: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-gateway"));
    command
        .args(["serve", "--namespace", NAMESPACE, "--server", SERVER])
        .args(["--log-format", "text", "--drain-seconds", "0"])
        .args([
            "--listen",
            &listen.to_string(),
            "--admin",
            &admin.to_string(),
        ])
        .arg("--bundle")
        .arg(bundle)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Waits until the gateway has shaken hands with the server.
async fn ready(admin: SocketAddr, flags: &[&str]) {
    let began = Instant::now();
    let ask = || async {
        let mut stream = tokio::net::TcpStream::connect(admin).await.ok()?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
            .await
            .ok()?;
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer)
            .await
            .ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    };
    while ask().await.is_none() {
        assert!(began.elapsed() < PATIENCE, "not ready: {flags:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
