//! What `lint` prints and how it ends.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use support::{all, codes, command, findings, text, with_input};

const BAD: [&str; 3] = ["bad.yaml", "--policy", "policy.yaml"];

#[test]
fn json_is_the_contract_that_programs_rely_on() {
    let output = command("lint", &[&BAD[..], &["-o", "json"]].concat())
        .output()
        .unwrap();
    let found = findings(&output);
    let image = found
        .iter()
        .find(|finding| finding["code"] == "MCP0102")
        .unwrap();
    for (member, expected) in [
        ("severity", "error"),
        ("kind", "MCPServer"),
        ("namespace", "team-a"),
        ("name", "weather"),
        ("field", "spec.image"),
        ("file", "bad.yaml"),
    ] {
        assert_eq!(image[member], expected, "{member}");
    }
    assert_eq!((&image["line"], &image["column"]), (&8.into(), &3.into()));
    assert!(image["docs"].as_str().unwrap().ends_with("/MCP0102.md"));
    assert!(image["message"].as_str().is_some() && image["hint"].as_str().is_some());
    for finding in &found {
        let severity = finding["severity"].as_str().unwrap();
        assert!(
            ["error", "warning", "unchecked"].contains(&severity),
            "{finding}"
        );
    }
}

#[test]
fn sarif_describes_every_rule_and_places_every_result() {
    let output = command("lint", &[&BAD[..], &["-o", "sarif"]].concat())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert!(
        log["$schema"]
            .as_str()
            .unwrap()
            .ends_with("sarif-schema-2.1.0.json")
    );
    let run = &log["runs"][0];
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), rules::REGISTRY.len());
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 5, "{results:?}");
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "bad.yaml");
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
        assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
    }
}

#[test]
fn sarif_says_what_could_not_be_read_and_when_asked_what_could_not_be_checked() {
    let output = with_input("lint", &["-o", "sarif", "-v", "-", "good.yaml"], b"a: [");
    assert_eq!(output.status.code(), Some(3));
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &log["runs"][0];
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    let notification = &run["invocations"][0]["toolExecutionNotifications"][0];
    assert_eq!(
        notification["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        "stdin"
    );
    let open = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|result| result["kind"] == "open");
    for result in open.clone() {
        assert_eq!(result["level"], "none");
    }
    assert!(open.count() > 0, "{}", all(&output));
}

#[test]
fn annotations_also_say_what_could_not_be_read() {
    let output = with_input("lint", &["-o", "github", "-"], b"a: [");
    let stdout = text(&output.stdout);
    assert!(
        stdout.starts_with("::error file=-,line=1,col="),
        "{}",
        all(&output)
    );
}

#[test]
fn the_exit_code_follows_fail_on() {
    let warned = b"apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPServer\nmetadata: {name: w}\nspec: {image: 'ghcr.io/acme/weather:1', env: [{name: API_TOKEN, value: Zk3v9QpX7LmN2rTs}]}\n";
    let run = |args: &[&str]| with_input("lint", &[args, &["-"]].concat(), warned);
    let json = run(&["-o", "json"]);
    assert_eq!(codes(&json, "error"), [""; 0], "{}", all(&json));
    assert!(!codes(&json, "warning").is_empty(), "{}", all(&json));
    for (args, code) in [
        (&[][..], 0),
        (&["--fail-on", "error"], 0),
        (&["--fail-on", "warning"], 1),
        (&["--fail-on", "never"], 0),
        (&["--fail-on", "sometimes"], 2),
    ] {
        assert_eq!(run(args).status.code(), Some(code), "{args:?}");
    }
    let errors = command("lint", &[&BAD[..], &["--fail-on", "never"]].concat())
        .output()
        .unwrap();
    assert_eq!(errors.status.code(), Some(0));
}

#[test]
fn what_was_not_checked_is_listed_when_asked_and_never_passes_for_well() {
    let quiet = command("lint", &["good.yaml"]).output().unwrap();
    assert!(
        !text(&quiet.stdout).contains("unchecked"),
        "{}",
        all(&quiet)
    );
    assert!(text(&quiet.stderr).contains("MCP0205"), "{}", all(&quiet));
    let verbose = command("lint", &["-v", "good.yaml"]).output().unwrap();
    let line = text(&verbose.stdout);
    assert!(
        line.contains(": unchecked: the ") && line.contains("(MCP0205)"),
        "{line}"
    );
    let json = command("lint", &["good.yaml", "-o", "json"])
        .output()
        .unwrap();
    assert!(codes(&json, "unchecked").contains(&"MCP0205".to_owned()));
}

#[test]
fn what_is_missing_is_named_and_nothing_that_was_given() {
    let said = |args: &[&str]| {
        let output = command("lint", args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", all(&output));
        let stderr = text(&output.stderr);
        let lines = stderr
            .lines()
            .filter(|line| line.starts_with("Not checked"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let neither = said(&["good.yaml"]);
    let [cluster, policies] = neither.as_slice() else {
        panic!("{neither:?}")
    };
    assert!(
        cluster.contains("takes the cluster (--server)") && cluster.contains("MCP0205"),
        "{cluster}"
    );
    assert!(
        policies.contains("takes the policies (--policy or --server)")
            && policies.contains("MCP0102"),
        "{policies}"
    );
    let with = said(&["good.yaml", "--policy", "policy.yaml"]);
    assert_eq!(with.len(), 1, "{with:?}");
    assert!(!with[0].contains("--policy"), "{with:?}");
}

#[test]
fn colours_are_for_terminals_and_for_whoever_asks() {
    let plain = command("lint", &BAD).output().unwrap();
    assert!(!text(&plain.stdout).contains('\u{1b}'));
    let coloured = command("lint", &[&BAD[..], &["--color", "always"]].concat())
        .output()
        .unwrap();
    assert!(text(&coloured.stdout).contains('\u{1b}'));
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let both = command(
        "lint",
        &["good.yaml", "--policy", "policy.yaml", "--server"],
    )
    .output()
    .unwrap();
    assert_eq!(both.status.code(), Some(2), "{}", all(&both));
    let twice = command("lint", &["-", "-f", "-"]).output().unwrap();
    assert_eq!(twice.status.code(), Some(2), "{}", all(&twice));
    let context = command("lint", &["good.yaml", "--context", "prod"])
        .output()
        .unwrap();
    assert!(
        text(&context.stderr).contains("without --server"),
        "{}",
        all(&context)
    );
}

#[test]
fn a_cluster_that_is_not_there_is_said() {
    let output = command(
        "lint",
        &["good.yaml", "--server", "--kubeconfig", "missing"],
    )
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("error: cannot use the kubeconfig"),
        "{}",
        all(&output)
    );
}

#[test]
fn the_examples_of_the_help_run_as_they_stand() {
    let home = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("good.yaml", "weather.yaml"),
        ("policy.yaml", "policy.yaml"),
        ("good.yaml", "apps/a/weather.yaml"),
    ] {
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/").to_owned() + from;
        support::write(home.path(), to, std::fs::read(fixture).unwrap());
    }
    let mut ran = 0;
    for (verb, expected) in [("lint", [0]), ("diff", [1])] {
        let help = command(verb, &["--help"]).output().unwrap();
        let help = text(&help.stdout);
        let begin = format!("  kubectl mcp {verb} ");
        // Those with a cluster are run where there is one.
        for line in help
            .lines()
            .filter(|line| line.starts_with(&begin) && !line.contains("--server"))
        {
            let words: Vec<_> = line[begin.len()..]
                .split(' ')
                .map(|word| word.trim_matches('\''))
                .collect();
            let output = command(verb, &words)
                .current_dir(home.path())
                .output()
                .unwrap();
            let code = output.status.code().unwrap();
            assert!(expected.contains(&code), "{line}: {code}: {}", all(&output));
            ran += 1;
        }
    }
    assert!(ran >= 4, "two examples of each verb are run: {ran}");
}

#[test]
fn the_hook_of_a_commit_calls_a_verb_that_takes_files() {
    let hooks = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../.pre-commit-hooks.yaml"
    ))
    .unwrap();
    let hooks: Value = serde_saphyr::from_str(&hooks).unwrap();
    let entry = hooks[0]["entry"].as_str().unwrap();
    let verb = entry.strip_prefix("kubectl mcp ").unwrap();
    assert!(common::verbs::of_binary("kubectl-mcp-policy").any(|known| known.name == verb));
    // The hook's arguments, then the names of the files.
    let output = command(verb, &["--policy", "policy.yaml", "good.yaml", "bad.yaml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("in 2 objects"),
        "{}",
        all(&output)
    );
}

#[test]
fn nothing_in_a_manifest_reaches_the_terminal_as_a_command() {
    let hostile = "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPServer\nmetadata: {name: \"w\\e[31m\\n::error::x\"}\nspec: {image: \"x\\e]0;y\\a:1\", ingressHost: \"\\e[2J\", transport: \"\\e\"}\n";
    for verb in ["lint", "diff"] {
        let output = with_input(verb, &["-", "--policy", "policy.yaml"], hostile.as_bytes());
        let said = all(&output);
        assert!(
            !said.contains('\u{1b}') && !said.contains('\u{7}') && !said.contains("\n::error"),
            "{verb}: {said:?}"
        );
    }
}
