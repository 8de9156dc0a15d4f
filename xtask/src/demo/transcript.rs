//! Runs the commands of the demo and shows each as a person would have typed it, with what it really printed.
//!
//! Commands are written here and never made from input; a shell runs them because that is what the reader has.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::shell::{search_path, wait_until};
use crate::{paths, terminal};

/// How long something that takes a moment may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The place where commands run.
pub(super) struct Transcript {
    kubeconfig: PathBuf,
    path: OsString,
}

struct Said {
    ok: bool,
    text: String,
}

impl Transcript {
    /// Commands see this kubeconfig, and these folders before the rest of PATH.
    pub(super) fn new(kubeconfig: &Path, folders: &OsStr) -> Self {
        let mut path = folders.to_owned();
        path.push(":");
        path.push(search_path());
        Self {
            kubeconfig: kubeconfig.to_owned(),
            path,
        }
    }

    /// A heading.
    #[expect(clippy::unused_self, reason = "reads as part of the transcript")]
    pub(super) fn step(&self, letter: &str, title: &str) {
        terminal::result(&format!("\n==> {letter}. {title}"));
    }

    /// A command that must succeed and print each of `expected`.
    pub(super) fn succeeds(&self, command: &str, expected: &[&str]) -> Result<()> {
        let said = self.run(command)?;
        show(command, &said);
        check(command, &said, true, expected)
    }

    /// A command that must fail and print each of `expected`.
    pub(super) fn fails(&self, command: &str, expected: &[&str]) -> Result<()> {
        let said = self.run(command)?;
        show(command, &said);
        check(command, &said, false, expected)
    }

    /// A command whose success takes a moment; only the last try is shown.
    pub(super) fn eventually(&self, command: &str, expected: &[&str]) -> Result<()> {
        self.until(command, true, expected)
    }

    /// A command whose refusal takes a moment; only the last try is shown.
    pub(super) fn eventually_fails(&self, command: &str, expected: &[&str]) -> Result<()> {
        self.until(command, false, expected)
    }

    /// A command that is not part of the story.
    pub(super) fn quietly(&self, command: &str) -> Result<()> {
        let said = self.run(command)?;
        if !said.ok {
            bail!("`{command}` failed: {}", said.text.trim());
        }
        Ok(())
    }

    /// What a command prints, shown.
    pub(super) fn answer(&self, command: &str) -> Result<String> {
        let said = self.run(command)?;
        show(command, &said);
        check(command, &said, true, &[])?;
        Ok(said.text.trim().to_owned())
    }

    /// Runs `cause`, then `call` until it fails. How long that took from the start of `cause`: more than what is asked for.
    pub(super) fn until_denied(&self, cause: &str, call: &str) -> Result<Duration> {
        let start = Instant::now();
        self.succeeds(cause, &[])?;
        let mut last = self.run(call)?;
        let denied = wait_until(PATIENCE, || {
            if last.ok {
                last = self.run(call).unwrap_or(Said {
                    ok: true,
                    text: String::new(),
                });
            }
            !last.ok
        });
        let took = start.elapsed();
        show(call, &last);
        if !denied {
            bail!("`{call}` still answers {PATIENCE:?} after `{cause}`");
        }
        Ok(took)
    }

    fn until(&self, command: &str, ok: bool, expected: &[&str]) -> Result<()> {
        let mut last = None;
        wait_until(PATIENCE, || {
            last = self.run(command).ok();
            last.as_ref()
                .is_some_and(|said| check(command, said, ok, expected).is_ok())
        });
        let said = last.with_context(|| format!("`{command}` could not be started"))?;
        show(command, &said);
        check(command, &said, ok, expected)
    }

    fn run(&self, command: &str) -> Result<Said> {
        let output = Command::new("bash")
            .args(["-c", command])
            .current_dir(paths::workspace())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", &self.path)
            .env("NO_COLOR", "1")
            .stdin(std::process::Stdio::null())
            .output()
            .context("cannot start bash")?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(Said {
            ok: output.status.success(),
            text,
        })
    }
}

fn show(command: &str, said: &Said) {
    terminal::result(&format!("$ {command}"));
    for line in said.text.trim_end().lines() {
        terminal::result(line);
    }
}

fn check(command: &str, said: &Said, ok: bool, expected: &[&str]) -> Result<()> {
    if said.ok != ok {
        bail!(
            "`{command}` should have {}",
            if ok { "succeeded" } else { "failed" }
        );
    }
    match expected.iter().find(|text| !said.text.contains(**text)) {
        Some(missing) => bail!("`{command}` should have printed {missing:?}"),
        None => Ok(()),
    }
}
