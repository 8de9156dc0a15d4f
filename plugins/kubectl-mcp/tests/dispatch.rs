//! The dispatcher as it is installed: beside its siblings, behind a link, or alone with siblings on PATH.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A sibling that says how it was called.
const ECHO: &str = "#!/bin/sh\necho \"$0 ran, version $KUBECTL_MCP_VERSION\"\nfor a in \"$@\"; do echo \"[$a]\"; done\n";

/// One test at a time: a program that was just written cannot be run while another thread's child, between fork and
/// exec, still has it open for writing.
static ALONE: Mutex<()> = Mutex::new(());

struct Installed {
    home: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Installed {
    fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let home = tempfile::tempdir().unwrap();
        for directory in ["store", "bin", "path"] {
            fs::create_dir(home.path().join(directory)).unwrap();
        }
        fs::copy(
            env!("CARGO_BIN_EXE_kubectl-mcp"),
            home.path().join("store/kubectl-mcp"),
        )
        .unwrap();
        Self {
            home,
            _alone: alone,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn sibling(&self, path: &str) -> &Self {
        program(&self.at(path), ECHO);
        self
    }

    fn run(&self, program: &str, args: &str) -> Output {
        Command::new(self.at(program))
            .args(args.split_whitespace())
            .env_clear()
            .env(
                "PATH",
                format!(":{}:/usr/bin:/bin", self.at("path").display()),
            )
            .output()
            .unwrap()
    }
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_sibling_beside_the_real_file_is_found_through_a_link() {
    let installed = Installed::new();
    installed.sibling("store/kubectl-mcp-grant");
    symlink(
        installed.at("store/kubectl-mcp"),
        installed.at("bin/kubectl-mcp"),
    )
    .unwrap();
    let output = installed.run("bin/kubectl-mcp", "-n x session list");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("kubectl-mcp-grant ran, version 0."),
        "{}",
        stdout(&output)
    );
    assert!(
        stdout(&output).ends_with("[-n]\n[x]\n[list]\n"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn the_sibling_beside_wins_over_the_one_on_path() {
    let installed = Installed::new();
    installed
        .sibling("store/kubectl-mcp-grant")
        .sibling("path/kubectl-mcp-grant");
    let output = installed.run("store/kubectl-mcp", "grant list");
    assert!(
        stdout(&output).contains("/store/kubectl-mcp-grant ran"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn siblings_on_path_are_found_under_both_spellings() {
    for name in ["kubectl-mcp-server", "kubectl-mcp_server"] {
        let installed = Installed::new();
        installed.sibling(&format!("path/{name}"));
        let output = installed.run("store/kubectl-mcp", "server list");
        assert!(
            stdout(&output).contains(&format!("/path/{name} ran")),
            "{name}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_verb_whose_binary_is_missing_is_named() {
    let output = Installed::new().run("store/kubectl-mcp", "lint -f x");
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).starts_with(
        "error: 'lint' is served by kubectl-mcp-policy, which is not installed\nhint: "
    ));
}

#[test]
fn only_verbs_of_installed_siblings_are_listed() {
    let installed = Installed::new();
    installed.sibling("store/kubectl-mcp-grant");
    let output = installed.run("store/kubectl-mcp", "--help");
    let text = stdout(&output);
    assert!(
        text.contains("\n  grant ") && text.contains("\n  session "),
        "{text}"
    );
    assert!(
        !text.contains("\n  server ") && text.contains("Not installed: "),
        "{text}"
    );
}

#[test]
fn a_file_that_is_no_program_is_passed_over() {
    let installed = Installed::new();
    fs::write(installed.at("store/kubectl-mcp-grant"), "notes").unwrap();
    installed.sibling("path/kubectl-mcp-grant");
    let output = installed.run("store/kubectl-mcp", "grant list");
    assert!(
        stdout(&output).contains("/path/kubectl-mcp-grant ran"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn nothing_is_run_from_the_current_directory() {
    let installed = Installed::new();
    installed.sibling("kubectl-mcp-grant");
    let output = Command::new(installed.at("store/kubectl-mcp"))
        .args(["grant"])
        .current_dir(installed.home.path())
        .env_clear()
        .env("PATH", ":.")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
}

#[test]
fn completion_answers_in_kubectls_protocol() {
    let installed = Installed::new();
    installed.sibling("store/kubectl-mcp-grant");
    let output = installed.run("store/kubectl-mcp", "__complete se");
    assert!(
        stdout(&output).starts_with("session\t") && stdout(&output).ends_with(":4\n"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn the_exit_code_of_the_sibling_is_the_exit_code() {
    let installed = Installed::new();
    program(
        &installed.at("store/kubectl-mcp-grant"),
        "#!/bin/sh\nexit 1\n",
    );
    assert_eq!(
        installed
            .run("store/kubectl-mcp", "grant list")
            .status
            .code(),
        Some(1)
    );
}
