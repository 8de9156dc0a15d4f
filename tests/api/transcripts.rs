//! What people see who never heard of this project's commands: plain `kubectl`, with the webhook on.
//!
//! Each transcript is `tests/fixtures/transcripts/NAME.txt`; the files it names lie beside it. Compared by
//! `cargo xtask test --layer api`, recorded with `--write`.

use std::fs;
use std::process::Command;

use tests::recorded::{Recorder, repository};
use tests::{Environment, Said, eventually};

use crate::denials::grant_rights;
use crate::door::{Door, delete, ingress_class, teams, write};
use crate::platform::Platform;

const FOLDER: &str = "tests/fixtures/transcripts";
/// A member of the team who may change servers and grants, but says for nobody who may call what.
const MEMBER: &str = "kubectl --as=alice@example.com --as-group=team-a --as-group=test:requesters ";

/// One transcript: its name, and the commands. Those after `alice$ ` are hers, the others an administrator's.
const TRANSCRIPTS: [(&str, &[&str]); 6] = [
    (
        "create",
        &[
            "kubectl create -f bad.yaml",
            "kubectl create -f bad.yaml --dry-run=server",
            "kubectl create -f good.yaml --dry-run=server",
            "kubectl create -f good.yaml",
            "kubectl get mcpserver weather -n team-a -o jsonpath='{.spec.ingressHost}{\"\\n\"}'",
        ],
    ),
    (
        "apply",
        &[
            "kubectl apply -f unknown-field.yaml",
            "kubectl apply -f bad.yaml",
            "kubectl apply -f good.yaml",
            "kubectl apply -f moving.yaml",
            "kubectl apply -f bad.yaml",
            "kubectl apply --server-side -f bad.yaml",
        ],
    ),
    (
        "edit",
        &[
            "kubectl apply -f good.yaml",
            "KUBE_EDITOR='sed -i s/mcp.example.com/mcp.evil.example/' kubectl edit mcpserver weather -n team-a",
            "KUBE_EDITOR='sed -i s/1.2.3/1.2.4/' kubectl edit mcpserver weather -n team-a",
            "kubectl patch mcpserver weather -n team-a --type=merge -p '{\"spec\":{\"port\":8091}}'",
            "kubectl label mcpserver weather -n team-a colour=blue",
        ],
    ),
    (
        "scale",
        &[
            "kubectl apply -f good.yaml",
            "kubectl scale mcpserver weather -n team-a --replicas=0",
            "kubectl scale mcpserver weather -n team-a --replicas=4",
            "kubectl scale mcpserver weather -n team-a --replicas=4 --dry-run=server",
            "kubectl get mcpserver weather -n team-a -o jsonpath='{.spec.replicas}{\"\\n\"}'",
        ],
    ),
    (
        "delete",
        &[
            "kubectl apply -f good.yaml",
            "kubectl apply -f denial.yaml",
            "alice$ kubectl apply -f grant.yaml",
            "alice$ kubectl delete mcpaccessgrant no-bob -n team-a --dry-run=server",
            "alice$ kubectl delete mcpaccessgrant no-bob -n team-a",
            "kubectl delete mcpaccessgrant no-bob -n team-a",
            "alice$ kubectl delete mcpserver weather -n team-a",
        ],
    ),
    (
        "policy",
        &[
            "kubectl patch mcppolicy transcripts --type=merge -p '{\"spec\":{\"images\":{\"allowedRegistries\":[\"https://ghcr.io/acme/\"]}}}'",
            "kubectl patch mcppolicy transcripts --type=merge -p '{\"spec\":{\"defaults\":{\"ingressHost\":\"mcp.evil.example\"}}}'",
        ],
    ),
];

#[test]
fn plain_kubectl_prints_what_the_transcripts_hold() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    teams(environment, &["team-a"]);
    grant_rights(environment);
    let mut webhook = platform.start_webhook();
    let door = Door::of(environment, &webhook);
    write(environment, &ingress_class("traefik"));
    eventually("the webhook sees the ingress class", || {
        let server = serde_json::json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
            "metadata": {"name": "probe", "namespace": "team-a"}, "spec": {"image": "ghcr.io/acme/weather:1.2.3"}
        });
        let verdict = door.create(&server);
        if verdict.accepted && !verdict.warnings.contains(&"MCP0208".to_owned()) {
            Ok(())
        } else {
            Err(verdict.text)
        }
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(repository().join(FOLDER)).expect("the files are there") {
        let entry = entry.expect("it can be read");
        fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("the folder is ours");
    }
    let run = |line: &str| {
        let (who, line) = match line.strip_prefix("alice$ ") {
            Some(line) => ("alice$ ", line),
            None => ("$ ", line),
        };
        let real = if who == "alice$ " {
            line.replacen("kubectl ", MEMBER, 1)
        } else {
            line.to_owned()
        };
        let said = Said::of(shell(environment, &real).current_dir(folder.path()));
        format!("{who}{line}\n{}{}\n", plain(&said.err), said.out)
    };
    let mut recorder = Recorder::default();
    for (name, commands) in TRANSCRIPTS {
        run("kubectl apply -f policy.yaml");
        door.catch_up();
        let text: String = commands
            .iter()
            .map(|line| seen(&door, line, run(line)))
            .collect();
        recorder.expect(&format!("{FOLDER}/{name}.txt"), &text);
        delete(
            environment,
            &["mcpservers,mcpaccessgrants", "--all", "-n", "team-a"],
        );
    }
    webhook.kill();
    let down = eventually("the API server finds nobody", || {
        let text = run("kubectl create -f good.yaml");
        if text.contains("connection refused") {
            Ok(text)
        } else {
            Err(text)
        }
    });
    recorder.expect(&format!("{FOLDER}/webhook-down.txt"), &plain(&down));
    delete(environment, &["mcppolicy", "transcripts"]);
    recorder.finish();
}

/// What a command changed must be seen before the next is asked.
fn seen(door: &Door<'_>, line: &str, text: String) -> String {
    if !line.contains("dry-run") && !line.contains(" get ") {
        door.catch_up();
    }
    text
}

/// A line for the shell, where `kubectl` is that of the cluster.
fn shell(environment: &Environment, line: &str) -> Command {
    let kubectl = environment.command("kubectl");
    let mut shell = Command::new("sh");
    for (name, value) in kubectl.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.args(["-c", line]);
    shell
}

/// A text without what differs from run to run: the file an editor had, and the port of the webhook.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if let Some(at) = line.find("/kubectl-edit-") {
            let start = line[..at].rfind(['"', ' ']).map_or(0, |at| at + 1);
            let end = line[at..]
                .find(".yaml")
                .map_or(line.len(), |length| at + length);
            line.replace_range(start..end, "/tmp/kubectl-edit");
        }
        while let Some(at) = line
            .match_indices("127.0.0.1:")
            .map(|(at, word)| at + word.len())
            .find(|at| line[*at..].starts_with(|c: char| c.is_ascii_digit()))
        {
            let digits = line[at..].chars().take_while(char::is_ascii_digit).count();
            line.replace_range(at..at + digits, "PORT");
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[test]
fn what_differs_from_run_to_run_is_not_recorded() {
    let said = "A copy of your changes has been stored to \"/var/tmp/kubectl-edit-1234.yaml\"\ndial tcp 127.0.0.1:431: no";
    assert_eq!(
        plain(said),
        "A copy of your changes has been stored to \"/tmp/kubectl-edit.yaml\"\ndial tcp 127.0.0.1:PORT: no\n"
    );
}
