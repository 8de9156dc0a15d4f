//! One child process, from its start to its end: stdin closed, then SIGTERM, then SIGKILL, each after a while, to the
//! child's whole process group.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Write as _;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

/// How long a child may take to end after its stdin was closed, and again after SIGTERM.
const GRACE: Duration = Duration::from_secs(4);
/// How long what a child wrote before it ended may take to arrive.
const REST: Duration = Duration::from_secs(1);
/// The longest part of a stderr line that becomes one log line, in bytes.
const LINE: u64 = 16 * 1024;

/// The children that run, by process id, and the number that marks their log lines.
#[derive(Clone, Default)]
pub(super) struct Children {
    running: Rc<RefCell<HashMap<i32, u64>>>,
    started: Rc<Cell<u64>>,
}

impl Children {
    /// Whether a process is one of them.
    pub(super) fn has(&self, pid: i32) -> bool {
        self.running.borrow().contains_key(&pid)
    }

    /// Sends a signal to all of them.
    pub(super) fn signal(&self, signal: Signal) {
        for pid in self.running.borrow().keys() {
            send(*pid, signal);
        }
    }
}

/// Sends a signal to a process group. One that is gone needs none.
fn send(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group)
        && let Err(error) = kill_process_group(group, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(%error, "a signal could not be sent");
    }
}

/// A child that runs.
pub(super) struct Child {
    process: tokio::process::Child,
    pid: i32,
    number: u64,
    children: Children,
}

impl Child {
    /// Starts the command.
    pub(super) fn start(command: &[String], children: &Children) -> std::io::Result<Self> {
        let process = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = process
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .unwrap_or(0);
        let number = children.started.get() + 1;
        children.started.set(number);
        children.running.borrow_mut().insert(pid, number);
        tracing::info!(child = number, pid, "a process of the server is started");
        Ok(Self {
            process,
            pid,
            number,
            children: children.clone(),
        })
    }

    /// Passes bytes between the child and the gateway until one of them ends, or `stop` becomes true; then ends the
    /// child.
    pub(super) async fn serve(mut self, stream: UnixStream, mut stop: watch::Receiver<bool>) {
        let (Some(stdin), Some(stdout), Some(stderr)) = (
            self.process.stdin.take(),
            self.process.stdout.take(),
            self.process.stderr.take(),
        ) else {
            tracing::error!(child = self.number, "the process has no pipes");
            return;
        };
        let number = self.number;
        let logs = tokio::task::spawn_local(log(stderr, number));
        let (from_gateway, to_gateway) = stream.into_split();
        let mut incoming = tokio::task::spawn_local(pass_in(from_gateway, stdin));
        let mut outgoing = tokio::task::spawn_local(pass_out(stdout, to_gateway));
        tokio::select! {
            _ = &mut incoming => {}
            _ = &mut outgoing => {}
            _ = self.process.wait() => {
                // What it wrote last is still in the pipe.
                let _ = tokio::time::timeout(REST, &mut outgoing).await;
            }
            _ = stop.wait_for(|stop| *stop) => {}
        }
        // Its stdin goes with this task; its stdout is read to the end, so that it is not killed while it writes.
        incoming.abort();
        self.end().await;
        outgoing.abort();
        if tokio::time::timeout(REST, logs).await.is_err() {
            tracing::debug!(
                child = number,
                "something still holds the stderr of the process"
            );
        }
    }

    async fn end(&mut self) {
        for signal in [Signal::TERM, Signal::KILL] {
            if let Ok(ended) = tokio::time::timeout(GRACE, self.process.wait()).await {
                match ended {
                    Ok(status) => {
                        tracing::info!(child = self.number, %status, "a process of the server ended");
                    }
                    Err(error) => {
                        tracing::warn!(child = self.number, %error, "the end of a process is not known");
                    }
                }
                return;
            }
            tracing::warn!(child = self.number, signal = ?signal, "a process of the server does not end");
            send(self.pid, signal);
        }
        let _ = self.process.wait().await;
        tracing::info!(child = self.number, "a process of the server was killed");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.children.running.borrow_mut().remove(&self.pid);
        // What the child started and left behind.
        send(self.pid, Signal::KILL);
    }
}

async fn pass_in(mut from: OwnedReadHalf, mut to: ChildStdin) {
    if let Err(error) = tokio::io::copy(&mut from, &mut to).await {
        tracing::debug!(%error, "the process takes no more messages");
    }
}

/// Passes the child's output on, and goes on reading it when nobody listens any more.
async fn pass_out(mut from: ChildStdout, mut to: OwnedWriteHalf) {
    if tokio::io::copy(&mut from, &mut to).await.is_ok() {
        return;
    }
    let mut sink = tokio::io::sink();
    if let Err(error) = tokio::io::copy(&mut from, &mut sink).await {
        tracing::debug!(%error, "the output of the process cannot be read");
    }
}

/// Writes the child's stderr to ours, line by line, each marked with the child's number.
async fn log(stderr: ChildStderr, number: u64) {
    let mut from = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        line.extend_from_slice(format!("[{number}] ").as_bytes());
        let mark = line.len();
        match (&mut from).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        if line.len() > mark && std::io::stderr().write_all(&line).is_err() {
            return;
        }
    }
}
