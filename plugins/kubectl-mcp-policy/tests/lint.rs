//! `lint` as a person and as CI meet it: real files, real rules, exit codes.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn lint(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("kubectl-mcp-policy"));
    command
        .arg("lint")
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"))
        .env_clear();
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Code, field and line of every error.
fn errors(output: &Output) -> Vec<(String, String, u64)> {
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |finding: &serde_json::Value, member: &str| {
        finding[member].as_str().unwrap_or_default().to_owned()
    };
    json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] == "error")
        .map(|finding| {
            (
                of(finding, "code"),
                of(finding, "field"),
                finding["line"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn all_mistakes_of_a_manifest_come_at_once_each_with_its_line() {
    let output = lint(&["-f", "bad.yaml", "--policy", "policy.yaml", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let expected = [
        ("MCP0102", "spec.image", 8),
        ("MCP0105", "spec.imageTag", 9),
        ("MCP0304", "spec.port", 10),
        ("MCP0204", "spec.ingressHost", 11),
        ("MCP0308", "spec.env[0].value", 14),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(code, field, line)| ((*code).to_owned(), (*field).to_owned(), *line))
        .collect();
    assert_eq!(errors(&output), expected);
}

#[test]
fn a_literal_secret_is_not_repeated() {
    for format in ["text", "json", "github"] {
        let output = lint(&["-f", "bad.yaml", "--policy", "policy.yaml", "-o", format]);
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(
            all.contains("MCP0308") && !all.contains("Zk3v9QpX7LmN2rTs"),
            "{format}: {all}"
        );
    }
}

#[test]
fn text_names_place_severity_sentence_code_and_hint() {
    let output = lint(&["-f", "bad.yaml", "--policy", "policy.yaml"]);
    let text = text(&output.stdout);
    let line = text.lines().find(|line| line.contains("MCP0304")).unwrap();
    assert!(
        line.starts_with("bad.yaml:10:3: error: spec.port: Invalid value: \"8091\": must "),
        "{text}"
    );
    assert!(text.contains("\n    hint: "), "{text}");
}

#[test]
fn annotations_are_one_line_each() {
    let output = lint(&["-f", "bad.yaml", "--policy", "policy.yaml", "-o", "github"]);
    let text = text(&output.stdout);
    assert!(text.lines().all(|line| line.starts_with("::")), "{text}");
    assert!(
        text.contains("::error file=bad.yaml,line=10,col=3,title=MCP0304::spec.port: "),
        "{text}"
    );
}

#[test]
fn a_good_manifest_has_no_errors_and_other_kinds_are_passed_over() {
    let output = lint(&["-f", "good.yaml", "--policy", "policy.yaml"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    assert!(
        text(&output.stderr).contains("in 1 object."),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_directory_is_judged_with_the_policies_in_it() {
    let output = lint(&["-f", ".", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        errors(&output).iter().any(|(code, ..)| code == "MCP0102"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn standard_input_is_read() {
    let mut child = command(&["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(include_bytes!("fixtures/bad.yaml"))
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("-:10:3: error: spec.port"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn a_slip_in_the_kind_does_not_pass_for_a_good_manifest() {
    let mut child = command(&["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPSever\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with(
            "error: -:2:1: there is no kind 'MCPSever' in 'kubectl-mcp.dev/v1alpha1'\n"
        ),
        "{stderr}"
    );
}

#[test]
fn without_a_policy_it_is_said_what_was_not_checked() {
    let output = lint(&["-f", "good.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(
        text(&output.stderr).contains("Not checked, because it takes the cluster"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn what_cannot_be_read_is_worse_than_a_finding() {
    let missing = lint(&["-f", "missing.yaml"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(
        text(&missing.stderr).starts_with("error: cannot read missing.yaml: "),
        "{}",
        text(&missing.stderr)
    );
    let usage = lint(&[]);
    assert_eq!(usage.status.code(), Some(2));
    let no_policy = lint(&["-f", "good.yaml", "--policy", "good.yaml"]);
    assert_eq!(
        no_policy.status.code(),
        Some(3),
        "{}",
        text(&no_policy.stderr)
    );
}
