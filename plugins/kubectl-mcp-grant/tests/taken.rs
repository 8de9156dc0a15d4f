//! What is said when the operator takes a change, and when it does not. A server on loopback takes the place of the API
//! server, because no cluster can be made to leave a change alone.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

/// Runs the verb against a server that answers writes and the first `late` looks with `before`, later looks with
/// `after`.
fn run(args: &[&str], before: &Value, after: &Value, late: usize) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let looks = Arc::new(AtomicUsize::new(0));
    let (before, after) = (before.to_string(), after.to_string());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (before, after, looks) = (before.clone(), after.clone(), Arc::clone(&looks));
            std::thread::spawn(move || {
                serve(&stream, |line| {
                    if line.starts_with("GET ") && looks.fetch_add(1, Ordering::Relaxed) >= late {
                        after.clone()
                    } else {
                        before.clone()
                    }
                });
            });
        }
    });
    let home = tempfile::tempdir().unwrap();
    let kubeconfig = home.path().join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n\
         users: [{{name: test, user: {{}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test, namespace: team-a}}}}]\n"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    Command::new(assert_cmd::cargo::cargo_bin!("kubectl-mcp-grant"))
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .env("KUBECONFIG", kubeconfig)
        .output()
        .unwrap()
}

/// Answers each request of a connection by its first line.
fn serve(mut stream: &TcpStream, answer: impl Fn(&str) -> String) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        let body_read = reader.read_exact(&mut body);
        let text = answer(&first);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        let written = stream.write_all(format!("{head}{text}").as_bytes());
        if body_read.and(written).is_err() {
            return;
        }
    }
}

fn session(observed: i64, phase: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession",
        "metadata": {"name": "s", "namespace": "team-a", "generation": 2},
        "spec": {"serverRef": {"name": "w"}, "subject": {"humanID": "alice"}, "revoked": true,
            "expiresAt": "2099-01-01T00:00:00Z", "tokenHash": "0".repeat(64)},
        "status": {"observedGeneration": observed, "phase": phase},
    })
}

fn grant(observed: Option<i64>) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
        "metadata": {"name": "g", "namespace": "team-a", "generation": 1},
        "spec": {"serverRef": {"name": "w"}, "subject": {"humanID": "alice"}, "effect": "Deny"},
        "status": {"observedGeneration": observed},
    })
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_revocation_that_the_operator_takes_is_done() {
    let output = run(
        &["session", "revoke", "s"],
        &session(1, "Active"),
        &session(2, "Revoked"),
        2,
    );
    let done = "mcpagentsession.kubectl-mcp.dev/s revoked\n".to_owned();
    assert_eq!(said(&output), (Some(0), done, String::new()));
}

#[test]
fn a_denial_that_the_operator_takes_is_done() {
    let output = run(
        &["grant", "deny", "g", "--server", "w", "--subject", "alice"],
        &grant(None),
        &grant(Some(1)),
        2,
    );
    let done = "mcpaccessgrant.kubectl-mcp.dev/g created\n".to_owned();
    assert_eq!(said(&output), (Some(0), done, String::new()));
}

#[test]
fn a_revocation_that_nobody_takes_is_not_called_done() {
    let output = run(
        &["session", "revoke", "s"],
        &session(1, "Active"),
        &session(1, "Active"),
        0,
    );
    let stored = "mcpagentsession.kubectl-mcp.dev/s revoked\n".to_owned();
    let error = "error: stored, but not yet enforced: the operator did not take it within 5 s\n\
                 hint: kubectl mcp check\n"
        .to_owned();
    assert_eq!(said(&output), (Some(3), stored, error));
}
