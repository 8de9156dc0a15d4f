//! `mcp-gateway exec` by itself: bytes, places, and the end of processes that do not want to end.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use support::LONG;

struct Exec {
    child: Child,
    folder: tempfile::TempDir,
}

impl Exec {
    /// Runs a shell script as the server.
    fn of(script: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = ["sh", "-c", script].map(str::to_owned);
        let child = support::stdio::exec(&folder.path().join("s"), flags, &command)
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A connection, and its first line.
    fn connect(&self) -> (BufReader<UnixStream>, String) {
        let began = Instant::now();
        let stream = loop {
            match UnixStream::connect(self.path("s")) {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < LONG, "{error}"),
            }
            std::thread::yield_now();
        };
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        (reader, first)
    }

    fn wait_for(&self, what: &str, so: impl Fn(&Path) -> bool) {
        let began = Instant::now();
        while !so(self.folder.path()) {
            assert!(began.elapsed() < LONG, "waited in vain: {what}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

fn signal(pid: &str, name: &str) {
    let done = std::process::Command::new("kill")
        .args([&format!("-{name}"), pid.trim()])
        .status();
    assert!(done.unwrap().success());
}

/// What a script wrote, once it has written the whole line.
fn line(path: &Path) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .filter(|text| text.ends_with('\n'))
}

#[test]
fn bytes_pass_both_ways_as_they_are() {
    let exec = Exec::of("cat", &[]);
    let (mut reader, first) = exec.connect();
    assert_eq!(first, "started\n");
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.extend("\u{2028}\u{1b}[1m😀\r\n\n".as_bytes());
    bytes.extend(vec![b'x'; 300_000]);
    let mut writer = reader.get_ref().try_clone().unwrap();
    let sent = bytes.clone();
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut read = vec![0; bytes.len()];
    reader.read_exact(&mut read).unwrap();
    writing.join().unwrap();
    assert!(read == bytes);
}

#[test]
fn a_server_that_ignores_everything_is_killed_with_what_it_started() {
    let script = "trap '' TERM HUP INT; sleep 1000 & echo $! > other.part; mv other.part other; echo $$ > own.part; mv own.part own; \
                  cat; while :; do sleep 1; done";
    let exec = Exec::of(script, &[]);
    let (reader, _) = exec.connect();
    exec.wait_for("the script runs", |folder| {
        line(&folder.join("own")).is_some()
    });
    drop(reader);
    for name in ["own", "other"] {
        let pid = line(&exec.path(name)).unwrap();
        exec.wait_for("its end", |_| is_gone(&pid));
    }
}

#[test]
fn the_end_of_a_server_ends_its_connection_and_frees_its_place() {
    let exec = Exec::of("read line; echo \"got $line\"", &["--max-processes", "1"]);
    for _ in 0..2 {
        let (mut reader, first) = exec.connect();
        assert_eq!(first, "started\n");
        reader.get_mut().write_all(b"it\n").unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "got it\n");
    }
}

#[test]
fn there_is_no_place_over_the_most_processes() {
    let exec = Exec::of("cat", &["--max-processes", "1"]);
    let (first, word) = exec.connect();
    assert_eq!(word, "started\n");
    assert_eq!(exec.connect().1, "busy\n");
    drop(first);
    assert_eq!(exec.connect().1, "started\n");
}

#[test]
fn a_command_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let command = ["/nowhere/server".to_owned()];
    let child = support::stdio::exec(&folder.path().join("s"), &[], &command)
        .spawn()
        .unwrap();
    let exec = Exec { child, folder };
    let (_, first) = exec.connect();
    assert!(
        first.starts_with("cannot run \"/nowhere/server\": "),
        "{first}"
    );
}

#[test]
fn signals_are_passed_on_and_sigterm_ends_everything() {
    let script = "trap 'echo x > hup' HUP; trap 'echo x > term; exit 0' TERM; echo x > ready; while :; do read line || sleep 0.1; done";
    let mut exec = Exec::of(script, &["--drain-seconds", "0"]);
    let (reader, _) = exec.connect();
    let pid = exec.child.id().to_string();
    exec.wait_for("the script runs", |folder| {
        line(&folder.join("ready")).is_some()
    });
    signal(&pid, "HUP");
    // A shell runs its trap when what it waits for is over.
    let mut writer = reader.get_ref().try_clone().unwrap();
    exec.wait_for("the signal", |folder| {
        writer.try_clone().unwrap().write_all(b"\n").ok();
        line(&folder.join("hup")).is_some()
    });
    signal(&pid, "TERM");
    exec.wait_for("the signal", |folder| {
        writer.try_clone().unwrap().write_all(b"\n").ok();
        line(&folder.join("term")).is_some()
    });
    assert!(exec.child.wait().unwrap().success());
    assert!(writer.write_all(b"x").is_err() || UnixStream::connect(exec.path("s")).is_err());
}

#[test]
fn what_the_server_writes_to_stderr_is_marked_and_its_orphans_are_reaped() {
    let script = "echo 'to the log' >&2; (sh -c 'echo $$ > orphan.part; mv orphan.part orphan; sleep 0.1' &) ; cat";
    let mut exec = Exec::of(script, &[]);
    let (_reader, _) = exec.connect();
    let mut log = BufReader::new(exec.child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("[1] to the log\n") {
        assert!(log.read_line(&mut text).unwrap() > 0, "{text}");
    }
    exec.wait_for("the orphan", |folder| {
        line(&folder.join("orphan")).is_some()
    });
    let pid = line(&exec.path("orphan")).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    exec.wait_for("the end of the zombie", |_| !Path::new(&stat).exists());
}
