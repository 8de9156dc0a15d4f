//! The real binary, without a cluster: what it prints where, and how it ends.

use assert_cmd::Command;

fn setup(args: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-mcp-setup"));
    // Nothing may come from whoever runs the tests.
    command
        .env_clear()
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .args(args);
    command.assert()
}

fn stdout(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).expect("the output is UTF-8")
}

fn stderr(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).expect("the output is UTF-8")
}

#[test]
fn a_client_dry_run_needs_no_cluster_and_prints_only_the_objects() {
    let run = setup(&["setup", "--dry-run=client", "-o", "yaml"]).success();
    assert!(stdout(&run).starts_with("apiVersion: v1\nkind: Namespace\n"));
    assert_eq!(stderr(&run), "");
}

#[test]
fn the_verb_may_be_left_out_and_flags_reach_the_objects() {
    let run = setup(&[
        "--dry-run",
        "-o",
        "yaml",
        "--default-host",
        "mcp.example.test",
        "--replicas=3",
    ])
    .success();
    assert!(stdout(&run).contains("ingressHost: mcp.example.test"));
    assert_eq!(stdout(&run).matches("replicas: 3").count(), 2);
}

#[test]
fn names_are_printed_as_kubectl_prints_them() {
    let run = setup(&["setup", "--dry-run"]).success();
    assert!(stdout(&run).contains("deployment.apps/mcp-webhook created (dry run)\n"));
}

#[test]
fn a_flag_that_makes_no_sense_is_a_usage_error_with_a_hint() {
    let run = setup(&["setup", "--default-host", "https://mcp.example.test"]).code(2);
    assert!(
        stderr(&run).contains("hint: --default-host mcp.example.com"),
        "{}",
        stderr(&run)
    );
    assert_eq!(stdout(&run), "");
}

#[test]
fn a_registry_that_no_image_can_come_from_is_refused_before_the_cluster_is_asked() {
    let run = setup(&["setup", "--image-registry", "bad registry"]).code(2);
    assert!(
        stderr(&run).starts_with("error: --image-registry: 'bad registry' must be"),
        "{}",
        stderr(&run)
    );
}

#[test]
fn setup_does_not_install_into_another_namespace() {
    let run = setup(&["setup", "-n", "elsewhere"]).code(2);
    assert!(stderr(&run).contains("kubectl-mcp-system"));
}

#[test]
fn without_a_kubeconfig_nothing_can_be_done_and_that_is_no_finding() {
    for verb in ["setup", "check", "status"] {
        let run = setup(&[verb]).code(3);
        assert!(
            stderr(&run).starts_with("error: "),
            "{verb}: {}",
            stderr(&run)
        );
    }
}

#[test]
fn help_names_the_command_as_it_is_called() {
    let run = setup(&["check", "--help"]).success();
    assert!(
        stdout(&run).contains("Usage: kubectl mcp check"),
        "{}",
        stdout(&run)
    );
}
