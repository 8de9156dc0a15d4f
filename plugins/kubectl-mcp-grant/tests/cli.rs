//! The binary as a person meets it, without a cluster: names, help, usage errors, dry runs.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

/// A kubeconfig whose server is a port of this machine on which nothing listens.
const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: test, user: {}}]
contexts: [{name: test, context: {cluster: test, user: test, namespace: team-a}}]
";

fn run(argv0: &str, args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let kubeconfig = home.path().join("config");
    std::fs::write(&kubeconfig, KUBECONFIG).unwrap();
    command(argv0, home.path())
        .args(args)
        .env("KUBECONFIG", kubeconfig)
        .output()
        .unwrap()
}

fn command(argv0: &str, home: &Path) -> Command {
    let link = home.join(argv0);
    std::os::unix::fs::symlink(assert_cmd::cargo::cargo_bin!("kubectl-mcp-grant"), &link).unwrap();
    let mut command = Command::new(link);
    command.env_clear().env("HOME", home);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_the_command_as_it_was_called() {
    for (argv0, args, usage) in [
        (
            "kubectl-mcp-grant",
            &["--help"][..],
            "Usage: kubectl mcp grant ",
        ),
        (
            "kubectl-mcp-session",
            &["--help"],
            "Usage: kubectl mcp session ",
        ),
        (
            "kubectl-mcp-grant",
            &["session", "--help"],
            "Usage: kubectl mcp session ",
        ),
        (
            "kubectl-mcp-grant",
            &["create", "--help"],
            "Usage: kubectl mcp grant create ",
        ),
    ] {
        let output = run(argv0, args);
        assert_eq!(output.status.code(), Some(0));
        assert!(
            text(&output.stdout).contains(usage),
            "{argv0} {args:?}:\n{}",
            text(&output.stdout)
        );
    }
}

#[test]
fn a_dry_run_prints_the_grant_and_needs_no_cluster() {
    let args = [
        "create",
        "demo",
        "--server",
        "everything",
        "--subject",
        "human:alice",
        "--tool",
        "echo",
    ];
    let output = run(
        "kubectl-mcp-grant",
        &[
            &args[..],
            &["--side-effect", "read", "--dry-run=client", "-o", "yaml"],
        ]
        .concat(),
    );
    assert_eq!(text(&output.stderr), "");
    assert_eq!(
        text(&output.stdout),
        "\
apiVersion: kubectl-mcp.dev/v1alpha1
kind: MCPAccessGrant
metadata:
  name: demo
  namespace: team-a
spec:
  allowedSideEffects:
  - read
  effect: Allow
  maxTrust: low
  serverRef:
    name: everything
  subject:
    humanID: alice
  toolRules:
  - decision: allow
    name: echo
"
    );
}

#[test]
fn a_grant_of_nothing_is_a_usage_error_that_says_what_to_type() {
    let output = run(
        "kubectl-mcp-grant",
        &["create", "--server", "w", "--subject", "alice"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "error: must name what is granted: --tool, --prompt or --resource\n\
         hint: --tool '*'    (every tool of the server)\n"
    );
}

#[test]
fn a_cluster_that_is_not_there_is_exit_code_3_and_comes_with_a_command() {
    let output = run("kubectl-mcp-grant", &["list"]);
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with("error: cannot list grants: ")
            && stderr.contains("\nhint: kubectl cluster-info"),
        "{stderr}"
    );
}

#[test]
fn another_version_of_the_dispatcher_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let output = command("kubectl-mcp-grant", home.path())
        .arg("list")
        .env("KUBECTL_MCP_VERSION", "0.0.1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("kubectl-mcp is version 0.0.1"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn nothing_is_deleted_without_being_asked() {
    let output = run("kubectl-mcp-grant", &["delete", "demo"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stderr),
        "error: nothing was done: there is no terminal to ask whether to delete grant demo in namespace 'team-a'\n\
         hint: add --yes to do it without being asked\n"
    );
}
