//! The binary as a process on real files.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A command of the binary, without the environment of whoever runs the tests.
pub(crate) fn command(verb: &str, args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("kubectl-mcp-policy"));
    command
        .arg(verb)
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"))
        .env_clear();
    command
}

/// Runs it with a text on its standard input.
pub(crate) fn with_input(verb: &str, args: &[&str], input: &[u8]) -> Output {
    let mut child = command(verb, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may answer before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    output
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Both streams.
pub(crate) fn all(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

/// The findings of `-o json`.
pub(crate) fn findings(output: &Output) -> Vec<Value> {
    let json: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    json["findings"].as_array().unwrap().clone()
}

/// Code, field, line and column of the findings of a severity.
pub(crate) fn places(output: &Output, severity: &str) -> Vec<(String, String, u64, u64)> {
    findings(output)
        .iter()
        .filter(|finding| finding["severity"] == severity)
        .map(|finding| {
            let text = |member: &str| finding[member].as_str().unwrap_or_default().to_owned();
            let number = |member: &str| finding[member].as_u64().unwrap();
            (
                text("code"),
                text("field"),
                number("line"),
                number("column"),
            )
        })
        .collect()
}

/// The codes of the findings of a severity.
pub(crate) fn codes(output: &Output, severity: &str) -> Vec<String> {
    places(output, severity)
        .into_iter()
        .map(|(code, ..)| code)
        .collect()
}

/// Writes a file, with its folders.
pub(crate) fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
