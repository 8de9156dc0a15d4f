//! The processes of the benchmark. Each ends with its value.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::Proc;
use crate::support::{INITIALIZE, NAMESPACE, SERVER, World, free_port};

const DEADLINE: Duration = Duration::from_secs(60);

/// Ends a process when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// This binary as one of its other programs.
pub(crate) struct Program {
    pub(crate) port: u16,
    process: Ended,
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        Self {
            port: line.trim().parse().unwrap(),
            process: Ended(child),
        }
    }

    pub(crate) fn proc(&self) -> Proc {
        Proc::new(self.process.0.id())
    }
}

/// A gateway, and the process that reads its audit lines.
pub(crate) struct Gateway {
    pub(crate) port: u16,
    process: Ended,
    _reader: Ended,
    _folder: tempfile::TempDir,
    caller: String,
    session: String,
}

impl Gateway {
    /// A gateway that is ready, with so many grants and sessions, and an MCP session of one caller in their middle.
    pub(crate) fn start(grants: usize, upstream: u16) -> Self {
        let mut world = World::new();
        for index in 0..grants {
            let person = format!("person-{index}@example.com");
            world.session(&person);
            world.grant(&person, &["echo", "get-*"]);
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("access.json"), world.json()).unwrap();
        let (port, admin) = (free_port(), free_port());
        let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-gateway"))
            .args(["serve", "--namespace", NAMESPACE, "--server", SERVER])
            .args(["--drain-seconds", "0"])
            .arg(format!("--listen=127.0.0.1:{port}"))
            .arg(format!("--admin=127.0.0.1:{admin}"))
            .arg(format!("--upstream=http://127.0.0.1:{upstream}/mcp"))
            .arg("--bundle")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let reader = Command::new("cat")
            .stdin(child.stdout.take().unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut gateway = Self {
            port,
            process: Ended(child),
            _reader: Ended(reader),
            _folder: folder,
            caller: format!("mcps_person-{}@example.com", grants / 2),
            session: String::new(),
        };
        wait(|| ask(admin, "GET /readyz", "", "").is_ok_and(|said| said.contains(" 200 ")));
        gateway.session = gateway.initialize();
        gateway
    }

    pub(crate) fn proc(&self) -> Proc {
        Proc::new(self.process.0.id())
    }

    /// What the caller sends with every message, as `post.lua` reads it.
    pub(crate) fn headers(&self) -> String {
        let (caller, session) = (&self.caller, &self.session);
        format!(
            "Authorization: Bearer {caller}|Mcp-Session-Id: {session}|MCP-Protocol-Version: 2025-11-25"
        )
    }

    fn initialize(&self) -> String {
        let headers = format!(
            "Authorization: Bearer {}\r\nContent-Type: application/json\r\n",
            self.caller
        );
        let said = ask(self.port, "POST /mcp", &headers, INITIALIZE).unwrap();
        let session = said
            .lines()
            .find_map(|line| line.strip_prefix("mcp-session-id: "));
        session
            .unwrap_or_else(|| panic!("no session in {said}"))
            .to_owned()
    }
}

/// Opens standalone streams, and waits until each has said something.
pub(crate) fn streams(gateway: &Gateway, count: usize) -> Vec<TcpStream> {
    let headers = gateway.headers().replace('|', "\r\n");
    let head = format!(
        "GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{headers}\r\n\r\n"
    );
    let open = |_| {
        let mut stream = connect(gateway.port).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b": open\n\n\r\n") {
            let mut some = [0; 1024];
            let read = stream.read(&mut some).unwrap();
            assert!(read > 0, "said {}", String::from_utf8_lossy(&said));
            said.extend(&some[..read]);
        }
        stream
    };
    (0..count).map(open).collect()
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// One whole answer.
fn ask(port: u16, what: &str, headers: &str, body: &str) -> std::io::Result<String> {
    let mut stream = connect(port)?;
    let length = body.len();
    write!(
        stream,
        "{what} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

fn wait(mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < DEADLINE, "waited in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}
