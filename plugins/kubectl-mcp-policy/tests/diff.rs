//! `diff` as a person meets it.
#![allow(clippy::unwrap_used)]

mod support;

use support::{all, command, text, with_input};

const GOOD: [&str; 3] = ["good.yaml", "--policy", "policy.yaml"];

#[test]
fn what_defaulting_changes_is_a_unified_diff() {
    let output = command("diff", &GOOD).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", all(&output));
    let expected = "\
--- good.yaml MCPServer default/weather
+++ admitted MCPServer default/weather
@@ -1,9 +1,12 @@
 apiVersion: kubectl-mcp.dev/v1alpha1
 kind: MCPServer
 metadata:
+  annotations:
+    kubectl-mcp.dev/defaulted: \"{\\\"spec.ingressHost\\\":\\\"default\\\"}\"
   name: weather
   namespace: default
 spec:
   image: ghcr.io/acme/weather:1.2.0
+  ingressHost: mcp.example.test
   tools:
   - name: forecast
";
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn no_difference_is_silent() {
    let output = command("diff", &["good.yaml"]).output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), ""),
        "{}",
        all(&output)
    );
    // What was admitted once is not changed again.
    let written = "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPServer\nmetadata: {name: w}\nspec: {image: ghcr.io/acme/w:1.0.0, ingressHost: mcp.example.test}\n";
    let output = with_input(
        "diff",
        &["-", "--policy", "policy.yaml"],
        written.as_bytes(),
    );
    assert_eq!(output.status.code(), Some(0), "{}", all(&output));
}

#[test]
fn colours_are_for_terminals_and_for_whoever_asks() {
    assert!(!text(&command("diff", &GOOD).output().unwrap().stdout).contains('\u{1b}'));
    let always = [&GOOD[..], &["--color", "always"]].concat();
    let output = command("diff", &always)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    assert!(
        text(&output.stdout).contains("\u{1b}[32m+  ingressHost"),
        "{}",
        all(&output)
    );
    let never = [&GOOD[..], &["--color", "never"]].concat();
    let output = command("diff", &never)
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(!text(&output.stdout).contains('\u{1b}'));
}

#[test]
fn a_secret_that_stands_in_a_manifest_does_not_stand_in_the_diff() {
    let output = command("diff", &["bad.yaml", "--policy", "policy.yaml"])
        .output()
        .unwrap();
    assert!(!all(&output).contains("Zk3v9QpX7LmN2rTs"));
}

#[test]
fn what_cannot_be_read_is_more_than_a_difference() {
    let output = command(
        "diff",
        &["missing.yaml", "good.yaml", "--policy", "policy.yaml"],
    )
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", all(&output));
    assert!(
        text(&output.stdout).contains("+  ingressHost"),
        "the others are still shown"
    );
    let usage = command("diff", &[]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
