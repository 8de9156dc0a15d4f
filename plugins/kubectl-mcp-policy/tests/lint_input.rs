//! What `lint` takes: every form of manifest that kubectl takes, and every form that nobody should.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{all, codes, command, findings, places, text, with_input, write};

const SERVER: &str = "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPServer\nmetadata:\n  name: weather\nspec:\n  image: ghcr.io/acme/weather:1.2.0\n  port: 8091\n";

fn stdin(input: impl AsRef<[u8]>) -> Output {
    with_input("lint", &["-f", "-", "-o", "json"], input.as_ref())
}

fn port_at(output: &Output) -> Vec<(u64, u64)> {
    places(output, "error")
        .into_iter()
        .filter(|(code, field, ..)| code == "MCP0304" && field == "spec.port")
        .map(|(.., line, column)| (line, column))
        .collect()
}

#[test]
fn every_form_of_manifest_gives_the_place_of_the_field() {
    let json = r#"{"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": "weather"},
  "spec": {"image": "ghcr.io/acme/weather:1.2.0", "port": 8091}}"#;
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}",
        SERVER.trim_end().replace('\n', "\n  ")
    );
    let json_list =
        format!("{{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [\n{json},\n{json}]}}");
    for (name, input, expected) in [
        ("yaml", SERVER.to_owned(), vec![(7, 3)]),
        (
            "windows",
            format!("\u{feff}{}", SERVER.replace('\n', "\r\n")),
            vec![(7, 3)],
        ),
        (
            "documents",
            format!("# first\n---\n{SERVER}---\n{SERVER}"),
            vec![(9, 3), (17, 3)],
        ),
        ("list", list, vec![(10, 5)]),
        ("json", json.to_owned(), vec![(2, 51)]),
        (
            "json in a row",
            format!("{json}\n{json}\n"),
            vec![(2, 51), (4, 51)],
        ),
        ("json list", json_list, vec![(3, 51), (5, 51)]),
        (
            "anchor",
            SERVER.replace("spec:\n", "spec: &s\n"),
            vec![(7, 3)],
        ),
    ] {
        assert_eq!(port_at(&stdin(input)), expected, "{name}");
    }
}

#[test]
fn a_field_that_comes_by_a_merge_is_found_where_it_was_written() {
    let input = "x: &base\n  port: 8091\n";
    let merged = format!(
        "{input}apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPServer\nmetadata: {{name: weather}}\nspec:\n  image: ghcr.io/acme/weather:1.2.0\n  <<: *base\n"
    );
    let places = port_at(&stdin(merged));
    assert_eq!(places.len(), 1);
    assert!((2..=8).contains(&places[0].0), "{places:?}");
}

#[test]
fn helm_and_kustomize_output_is_read_and_other_kinds_are_counted() {
    let rendered = format!(
        "---\n# Source: chart/templates/deployment.yaml\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: x}}\n---\n# Source: chart/templates/empty.yaml\n---\n# Source: chart/templates/server.yaml\n{SERVER}"
    );
    let quiet = with_input("lint", &["-"], rendered.as_bytes());
    assert!(!all(&quiet).contains("Deployment"), "{}", all(&quiet));
    let verbose = with_input("lint", &["-v", "-"], rendered.as_bytes());
    assert!(
        text(&verbose.stderr).contains("Passed over: 1 x Deployment."),
        "{}",
        all(&verbose)
    );
    assert!(
        text(&verbose.stdout).contains("-:16:3: error: spec.port"),
        "{}",
        all(&verbose)
    );
}

#[test]
fn patterns_directories_and_several_names_are_one_run() {
    let home = tempfile::tempdir().unwrap();
    for name in ["apps/a/server.yaml", "apps/b/server.yml", "apps/b/notes.md"] {
        write(
            home.path(),
            name,
            SERVER
                .replace("8091", "8088")
                .replace("weather", name.split('/').nth(1).unwrap()),
        );
    }
    for (args, objects) in [
        (vec!["apps/**/*.{yaml,yml}"], 2),
        (vec!["-f", "apps/*/server.y*"], 2),
        (vec!["-R", "-f", "apps"], 2),
        (vec!["apps/a", "-f", "apps/b/server.yml"], 2),
        (
            vec!["apps/a", "apps/a/server.yaml", "apps/*/server.yaml"],
            1,
        ),
    ] {
        let output = command("lint", &args)
            .current_dir(home.path())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert!(
            said.contains(&format!("in {objects} object")),
            "{args:?}: {said}"
        );
    }
    let output = command("lint", &["apps/*.yaml"])
        .current_dir(home.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr)
            .starts_with("error: cannot read apps/*.yaml: the pattern matches no file")
    );
}

#[test]
fn a_run_that_looks_at_nothing_is_no_success() {
    let home = tempfile::tempdir().unwrap();
    write(
        home.path(),
        "apps/a/server.yaml",
        SERVER.replace("8091", "8088"),
    );
    write(
        home.path(),
        "other/deployment.yaml",
        "apiVersion: apps/v1\nkind: Deployment\n",
    );
    write(
        home.path(),
        "other/a/server.yaml",
        SERVER.replace("8091", "8088"),
    );
    write(home.path(), "notes/notes.md", "words");
    write(home.path(), "empty.yaml", "# nothing\n");
    let hint = "hint: add -R: there are manifests in its directories";
    for (args, code, words, deeper) in [
        (
            &["-f", "apps"][..],
            3,
            "cannot read apps: no file in it is a manifest",
            true,
        ),
        (&["-f", "apps", "empty.yaml"], 3, "cannot read apps: ", true),
        (
            &["-f", "notes"],
            3,
            "cannot read notes: no file in it is a manifest",
            false,
        ),
        (&["-R", "-f", "notes"], 3, "cannot read notes: ", false),
        (
            &["empty.yaml"],
            3,
            "cannot read empty.yaml: there is no object in it",
            false,
        ),
        (
            &["other"],
            0,
            "the one object that was read is of another kind",
            true,
        ),
        (&["-R", "other"], 0, "in 1 object", false),
        (&["-R", "apps"], 0, "in 1 object", false),
    ] {
        let output = command("lint", args)
            .current_dir(home.path())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
        assert_eq!(said.contains(hint), deeper, "{args:?}: {said}");
    }
    // `helm template` that failed leaves nothing in the pipe.
    let output = stdin("");
    assert_eq!(output.status.code(), Some(3), "{}", all(&output));
}

#[test]
fn an_object_that_is_meant_to_be_ours_is_not_passed_over_too() {
    let input = b"apiVersion: kubectl-mcp.dev/v1\nkind: MCPServer\nmetadata: {name: w}\n";
    let output = with_input("lint", &["-v", "-"], input);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(
        said.contains("there is no kind 'MCPServer' in 'kubectl-mcp.dev/v1'")
            && !said.contains("Passed over"),
        "{said}"
    );
}

#[test]
fn the_objects_of_a_run_are_facts_for_each_other() {
    let server = |namespace: &str, name: &str, host: &str| {
        format!(
            "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPServer\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  image: ghcr.io/acme/weather:1.2.0\n  ingressHost: {host}\n  ingressPath: /weather\n  tools: [{{name: forecast}}]\n---\n"
        )
    };
    let grant = |server: &str, tool: &str| {
        format!(
            "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPAccessGrant\nmetadata: {{name: g, namespace: a}}\nspec:\n  serverRef: {{name: {server}}}\n  subject: {{humanID: alice}}\n  toolRules: [{{name: {tool}, decision: allow}}]\n---\n"
        )
    };
    let same = server("a", "one", "mcp.example.test") + &server("b", "two", "mcp.example.test");
    assert_eq!(codes(&stdin(&same), "error"), ["MCP0205", "MCP0205"]);
    let apart = server("a", "one", "mcp.example.test") + &server("b", "two", "other.example.test");
    assert_eq!(codes(&stdin(&apart), "error"), [""; 0]);

    let known = server("a", "one", "mcp.example.test") + &grant("one", "forecast");
    let output = stdin(&known);
    for severity in ["warning", "unchecked"] {
        let said = codes(&output, severity);
        assert!(
            !said
                .iter()
                .any(|code| code == "MCP0601" || code == "MCP0603"),
            "{severity}: {said:?}"
        );
    }
    let slip = server("a", "one", "mcp.example.test") + &grant("onne", "forecast");
    assert!(codes(&stdin(&slip), "warning").contains(&"MCP0601".to_owned()));
    let tool = server("a", "one", "mcp.example.test") + &grant("one", "forcast");
    assert!(codes(&stdin(&tool), "warning").contains(&"MCP0603".to_owned()));
    let elsewhere = server("a", "one", "mcp.example.test") + &grant("payments", "forecast");
    let output = stdin(&elsewhere);
    assert!(
        codes(&output, "unchecked").contains(&"MCP0601".to_owned()),
        "{}",
        all(&output)
    );
    assert!(!codes(&output, "warning").contains(&"MCP0601".to_owned()));
}

#[test]
fn two_tools_of_one_name_that_one_server_selects_are_found_in_one_run() {
    let server = "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPServer\nmetadata: {name: main, namespace: a}\nspec:\n  ingressHost: mcp.example.test\n  toolSelector: {matchLabels: {mcp-server: main}}\n---\n";
    let tool = |name: &str, namespace: &str, label: &str| {
        format!(
            "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPTool\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{mcp-server: {label}}}}}\nspec:\n  name: search\n  service: {{name: github, port: 8080}}\n---\n"
        )
    };
    let clashes = |second: String| {
        let output = stdin(server.to_owned() + &tool("one", "a", "main") + &second);
        let found = findings(&output);
        let clash =
            |finding: &&Value| finding["code"] == "MCP0801" && finding["severity"] == "error";
        let names: Vec<_> = found
            .iter()
            .filter(clash)
            .map(|finding| finding["name"].as_str().unwrap().to_owned())
            .collect();
        names
    };
    assert_eq!(clashes(tool("two", "a", "main")), ["main", "one", "two"]);
    assert_eq!(clashes(tool("two", "a", "other")), [""; 0]);
    assert_eq!(clashes(tool("two", "b", "main")), [""; 0]);
}

#[test]
fn objects_of_every_kind_are_judged() {
    for kind in rules::Kind::ALL {
        let input = format!(
            "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{nonsense: 1}}\n"
        );
        let output = stdin(input);
        let said = findings(&output)
            .iter()
            .any(|finding| finding["kind"] == kind.as_str() && finding["code"] == "MCP0908");
        assert!(said, "{kind}: {}", all(&output));
    }
}

#[test]
fn a_secret_of_the_run_is_there_and_one_that_is_not_may_be_in_the_cluster() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: weather}\nstringData: {token: HIDDEN-0123456789}\n---\n";
    for (name, key, severity) in [
        ("weather", "token", None),
        ("weather", "other", Some("warning")),
        ("absent", "token", Some("unchecked")),
    ] {
        let reference = format!(
            "  env: [{{name: A, valueFrom: {{secretKeyRef: {{name: {name}, key: {key}}}}}}}]\n"
        );
        let output = stdin(format!("{secret}{SERVER}{reference}"));
        let found: Vec<_> = findings(&output)
            .into_iter()
            .filter(|finding| finding["code"] == "MCP0309")
            .map(|finding| finding["severity"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            found,
            severity.map_or(vec![], |severity| vec![severity]),
            "{name} {key}: {}",
            all(&output)
        );
        assert!(!all(&output).contains("HIDDEN"));
    }
}

#[test]
fn what_is_not_in_the_files_may_be_in_the_cluster() {
    let alone = stdin(SERVER.replace("8091", "8088"));
    assert!(
        codes(&alone, "unchecked").contains(&"MCP0205".to_owned()),
        "{}",
        all(&alone)
    );
    // Another server in the run does not make it all servers.
    let two = SERVER.replace("8091", "8088")
        + "---\n"
        + &SERVER.replace("8091", "8088").replace("weather", "other");
    let output = stdin(two);
    let routes = codes(&output, "unchecked")
        .iter()
        .filter(|code| *code == "MCP0205")
        .count();
    assert_eq!(routes, 2, "{}", all(&output));
}

#[test]
fn what_nobody_can_understand_is_an_error_with_its_line() {
    let deep = format!("a: {}", "[".repeat(10_000));
    let twice = format!("{SERVER}  port: 1\n");
    for (name, input, said) in [
        (
            "tab",
            b"a:\n\tb: 1\n".to_vec(),
            "-:2:2: cannot be understood: ",
        ),
        (
            "twice",
            twice.into_bytes(),
            "-:8:3: cannot be understood: the key 'port' is given twice",
        ),
        (
            "utf-8",
            b"a: 1\nb: \xff\xfe\n".to_vec(),
            "-:2:4: cannot be understood: it must be UTF-8",
        ),
        ("deep", deep.into_bytes(), "nested deeper than 100 levels"),
        ("json", b"{\"a\": [1, 2\n".to_vec(), "-:"),
        (
            "template",
            b"a: {{ .Values.x }}\n".to_vec(),
            "helm template",
        ),
        ("alias", b"a: *nothing\n".to_vec(), "-:1:4: "),
        ("nul", b"a: \0\n".to_vec(), "-:1:4: "),
    ] {
        let output = stdin(input);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{name}: {stderr}");
        assert!(
            stderr.starts_with("error: ") && stderr.contains(said),
            "{name}: {stderr}"
        );
    }
}

#[test]
fn hostile_files_end_quickly() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..30 {
        let many = vec![format!("*a{}", i - 1); 10].join(",");
        bomb = format!("{bomb}a{i}: &a{i} [{many}]\n");
    }
    let many = format!("{bomb}---\n").repeat(2000);
    let lines =
        |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<Vec<_>>().concat();
    let tools = lines(30_000, |i| format!("  - name: tool{i}\n"));
    let block = lines(3000, |i| format!("{}a:\n", " ".repeat(i)));
    for (name, input, code) in [
        ("bomb", bomb, 3),
        ("many bombs", many, 3),
        ("deep", "{\"a\":".repeat(100_000), 3),
        ("block", block, 3),
        (
            "long",
            format!("{SERVER}  description: \"{}\"\n", "x".repeat(10 << 20)),
            1,
        ),
        ("tools", format!("{SERVER}  tools:\n{tools}"), 1),
    ] {
        let start = Instant::now();
        let output = stdin(input);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{name}: {}",
            text(&output.stderr)
        );
        // Unoptimised, on a machine that does other things too: far above what it takes, far below what a bomb would.
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{name}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn a_broken_document_does_not_hide_the_findings_of_the_others() {
    let output = stdin(format!("a: [\n---\n{SERVER}"));
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(port_at(&output), [(9, 3)], "{}", all(&output));
}

#[test]
fn a_policy_that_is_none_ends_the_run() {
    let home = tempfile::tempdir().unwrap();
    let policy = "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPPolicy\nmetadata: {name: p}\nspec: {enforcement: Maybe}\n";
    write(home.path(), "policy.yaml", policy);
    write(home.path(), "server.yaml", SERVER);
    let output = command("lint", &["server.yaml", "--policy", "policy.yaml"])
        .current_dir(home.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("policy.yaml holds an MCPPolicy that is none"),
        "{}",
        all(&output)
    );
}

#[test]
fn a_thousand_documents_are_judged_in_one_run() {
    let input: String = (0..1000)
        .map(|i| {
            SERVER
                .replace("8091", "8088")
                .replace("weather", &format!("server-{i}"))
                + "  ingressHost: mcp.example.test\n---\n"
        })
        .collect();
    let start = Instant::now();
    let output = stdin(input);
    let took = start.elapsed();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("in 1000 objects"));
    assert!(!findings(&output).is_empty());
    println!("1,000 documents: {took:?}");
}
