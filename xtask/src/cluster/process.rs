//! Background processes with pid files: started detached, found again by a later run, ended by name.
//!
//! A pid file holds the process id and the time it started (field 22 of `/proc/PID/stat`), so that a number which
//! the kernel has given to another program is never signalled.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::shell::{local, wait_until};

/// The background processes of one cluster: `DIR/run/NAME.pid` and `DIR/logs/NAME.log`.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    dir: PathBuf,
}

impl Processes {
    /// Of the cluster that is kept in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// The process id, if the process runs.
    pub(crate) fn pid(&self, name: &str) -> Option<i32> {
        let text = fs::read_to_string(self.pid_file(name)).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let pid: i32 = pid.parse().ok()?;
        (start_time(pid)?.as_str() == started).then_some(pid)
    }

    /// Names with a pid file, running or not.
    pub(crate) fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.dir.join("run")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".pid")
                    .map(str::to_owned)
            })
            .collect();
        names.sort();
        names
    }

    /// Starts a process in a session of its own, unless it runs already. Says whether it was started.
    pub(crate) fn start(&self, name: &str, command: &Command) -> Result<bool> {
        if self.pid(name).is_some() {
            return Ok(false);
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file(name))
            .with_context(|| format!("cannot write the log of {name}"))?;
        // setsid: the signals of this terminal, and its end, must not reach the cluster.
        let mut detached = local("setsid");
        detached
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(&self.dir)
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log)
            .stdin(Stdio::null());
        let child = detached
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = i32::try_from(child.id()).context("a process id beyond 31 bits")?;
        let started = start_time(pid).with_context(|| self.ended(name))?;
        fs::write(self.pid_file(name), format!("{pid} {started}\n"))
            .context("cannot write a pid file")?;
        Ok(true)
    }

    /// Waits until the process is ready; an error if it ends or the time is over.
    pub(crate) fn wait_ready(
        &self,
        name: &str,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let mut alive = true;
        let done = wait_until(limit, || {
            alive = self.pid(name).is_some();
            !alive || ready()
        });
        if !alive {
            bail!("{}", self.ended(name));
        }
        if !done {
            bail!(
                "{name} was not ready after {} s; see {}",
                limit.as_secs(),
                self.log_file(name).display()
            );
        }
        Ok(())
    }

    /// TERM to all that run, KILL to what is left after `grace`; the pid files go.
    pub(crate) fn stop(&self, names: &[&str], grace: Duration) {
        let signal = |signal: Signal| {
            for name in names {
                if let Some(pid) = self.pid(name).and_then(Pid::from_raw) {
                    let _ = kill_process(pid, signal);
                }
            }
        };
        signal(Signal::TERM);
        if !wait_until(grace, || names.iter().all(|name| self.pid(name).is_none())) {
            signal(Signal::KILL);
            wait_until(Duration::from_secs(5), || {
                names.iter().all(|name| self.pid(name).is_none())
            });
        }
        for name in names {
            let _ = fs::remove_file(self.pid_file(name));
        }
    }

    fn ended(&self, name: &str) -> String {
        let log = fs::read_to_string(self.log_file(name)).unwrap_or_default();
        let lines: Vec<&str> = log.trim().lines().collect();
        let tail = lines[lines.len().saturating_sub(4)..].join("\n");
        format!(
            "{name} ended; the end of {}:\n{tail}",
            self.log_file(name).display()
        )
    }

    fn pid_file(&self, name: &str) -> PathBuf {
        self.dir.join("run").join(format!("{name}.pid"))
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }
}

/// True if the process `pid` exists and is no zombie.
pub(crate) fn alive(pid: i32) -> bool {
    start_time(pid).is_some()
}

/// Field 22 of `/proc/PID/stat`; none for a process that is gone or waits to be reaped.
fn start_time(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, which may hold anything; the third is the state.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes() -> (tempfile::TempDir, Processes) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("run")).unwrap();
        fs::create_dir_all(dir.path().join("logs")).unwrap();
        let processes = Processes::new(dir.path());
        (dir, processes)
    }

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("100");
        command
    }

    #[test]
    fn a_process_is_started_once_and_ended_by_name() {
        let (_dir, processes) = processes();
        assert!(processes.start("one", &sleeper()).unwrap());
        assert!(!processes.start("one", &sleeper()).unwrap());
        assert!(processes.pid("one").is_some());
        processes.stop(&["one"], Duration::from_secs(10));
        assert!(processes.pid("one").is_none());
        assert!(processes.names().is_empty());
    }

    #[test]
    fn a_pid_that_now_belongs_to_another_program_does_not_count() {
        let (dir, processes) = processes();
        fs::write(
            dir.path().join("run/other.pid"),
            format!("{} 1\n", std::process::id()),
        )
        .unwrap();
        assert_eq!(processes.pid("other"), None);
    }

    #[test]
    fn a_process_that_ends_early_is_reported_with_the_end_of_its_log() {
        let (_dir, processes) = processes();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 0.2; echo no such flag; exit 1"]);
        processes.start("short", &command).unwrap();
        let error = processes
            .wait_ready("short", Duration::from_secs(10), || false)
            .unwrap_err();
        assert!(error.to_string().contains("no such flag"), "{error}");
    }
}
