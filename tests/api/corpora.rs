//! The adversarial rows of `tests/fixtures/*.tsv` by every door but the parsers, which have them in the crate `rules`:
//! `kubectl mcp lint` as a process, the webhook over HTTPS as a process, and the webhook behind a real API server.
//!
//! Other files of the same form: `KUBECTL_MCP_TEST_IMAGES` and `KUBECTL_MCP_TEST_INGRESS` name them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};
use tests::{Environment, Said, fixture};

use crate::door::{Door, Verdict, codes, delete, ingress_class, teams, write};
use crate::platform::Platform;

/// What hosts and paths are judged by.
const INGRESS_CODES: [&str; 7] = [
    "MCP0201", "MCP0202", "MCP0203", "MCP0204", "MCP0205", "MCP0206", "MCP0212",
];

/// The rows of a table without its header. The columns before the last are decoded; the last is for people.
fn rows(variable: &str, name: &str) -> Vec<Vec<String>> {
    let other = std::env::var_os(variable);
    let path = other.clone().map_or_else(|| fixture(name), Into::into);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let decode = |column: &str| {
        let quoted = format!("\"{}\"", column.replace("\\\"", "\"").replace('"', "\\\""));
        serde_json::from_str(&quoted).unwrap_or_else(|_| column.to_owned())
    };
    let rows: Vec<Vec<String>> = text
        .lines()
        .skip(1)
        .map(|line| line.split('\t').map(decode).collect())
        .collect();
    assert!(
        rows.len() > 80 || other.is_some(),
        "{name} has only {} rows",
        rows.len()
    );
    rows
}

/// The rows about images, and whether they are those of another file.
pub(crate) fn image_rows() -> (Vec<Vec<String>>, bool) {
    let variable = "KUBECTL_MCP_TEST_IMAGES";
    (
        rows(variable, "image-refs.tsv"),
        std::env::var_os(variable).is_some(),
    )
}

/// The rows about hosts and paths, and whether they are those of another file.
pub(crate) fn ingress_rows() -> (Vec<Vec<String>>, bool) {
    let variable = "KUBECTL_MCP_TEST_INGRESS";
    (
        rows(variable, "ingress.tsv"),
        std::env::var_os(variable).is_some(),
    )
}

fn server(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec
    })
}

/// What came of the rows at each door.
#[derive(Default)]
struct Tally {
    judged: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn row(&mut self, door: &'static str, row: &[String], found: &str, expected: &str, text: &str) {
        *self.judged.entry(door).or_default() += 1;
        if found != expected {
            self.wrong
                .push(format!("{door}: {row:?}: {found}, not {expected}: {text}"));
        }
    }

    #[allow(clippy::print_stdout, reason = "a figure for whoever runs the tests")]
    fn finish(self, what: &str) {
        println!(
            "{what}: rows judged by each door {:?}, {} wrong",
            self.judged,
            self.wrong.len()
        );
        assert!(
            self.wrong.is_empty(),
            "{} wrong:\n{}",
            self.wrong.len(),
            self.wrong.join("\n")
        );
    }
}

/// What `kubectl mcp lint` says to the object `name` beside other objects.
fn lint(
    environment: &Environment,
    name: &str,
    objects: &[Value],
    policy: Option<&Value>,
) -> Verdict {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, objects: &[Value]| {
        let text: Vec<String> = objects.iter().map(ToString::to_string).collect();
        let path = folder.path().join(name);
        fs::write(&path, text.join("\n---\n")).expect("the folder is ours");
        path
    };
    let mut command = environment.command("kubectl-mcp-policy");
    command
        .args(["lint", "-o", "json", "-f"])
        .arg(file("objects.yaml", objects));
    if let Some(policy) = policy {
        command
            .arg("--policy")
            .arg(file("policy.yaml", std::slice::from_ref(policy)));
    }
    let said = Said::of(&mut command);
    let report: Value =
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.text()));
    let of = |severity: &str| -> Vec<String> {
        let findings = report["findings"].as_array().into_iter().flatten();
        findings
            .filter(|finding| finding["severity"] == severity && finding["name"] == name)
            .filter_map(|finding| finding["code"].as_str().map(str::to_owned))
            .collect()
    };
    Verdict {
        accepted: of("error").is_empty(),
        errors: of("error"),
        warnings: of("warning"),
        text: said.out,
    }
}

fn image_verdict(verdict: &Verdict) -> &'static str {
    if verdict.has_error("MCP0101") {
        "invalid"
    } else if verdict.has_error("MCP0102") {
        "deny"
    } else if verdict.accepted {
        "allow"
    } else {
        "refused for another reason"
    }
}

#[test]
fn every_row_of_image_references_has_its_verdict_by_every_door() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    let rows = rows("KUBECTL_MCP_TEST_IMAGES", "image-refs.tsv");
    let entries: BTreeSet<&str> = rows.iter().map(|row| row[1].as_str()).collect();
    let teams_of: BTreeMap<&str, String> = entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| (entry, format!("team-images-{index}")))
        .collect();
    teams(
        environment,
        &teams_of.values().map(String::as_str).collect::<Vec<_>>(),
    );
    let webhook = platform.start_webhook();
    let door = Door::of(environment, &webhook);
    for (entry, team) in &teams_of {
        write(environment, &only_registry(team, entry));
    }
    door.catch_up();
    let mut tally = Tally::default();
    for row in &rows {
        let [image, entry, expected, _] = row.as_slice() else {
            panic!("{row:?}")
        };
        let team = &teams_of[entry.as_str()];
        let object = server(team, "new", &json!({"image": image}));
        let policy = only_registry(team, entry);
        for (name, verdict) in [
            (
                "lint",
                lint(
                    environment,
                    "new",
                    std::slice::from_ref(&object),
                    Some(&policy),
                ),
            ),
            ("webhook", door.create(&object)),
        ] {
            tally.row(name, row, image_verdict(&verdict), expected, &verdict.text);
        }
    }
    for (entry, team) in &teams_of {
        let rows: Vec<&Vec<String>> = rows.iter().filter(|row| row[1] == **entry).collect();
        let said = create_all(environment, team, &rows);
        for (index, row) in rows.iter().enumerate() {
            let verdict = verdict_of(&said, &format!("row-{index}"));
            tally.row(
                "API server",
                row,
                image_verdict(&verdict),
                &row[2],
                &verdict.text,
            );
        }
    }
    for team in teams_of.values() {
        delete(environment, &["mcppolicy", team]);
    }
    tally.finish("image references");
}

/// A policy for one namespace that allows one registry.
fn only_registry(team: &str, entry: &str) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": team},
        "spec": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team}},
                 "images": {"allowedRegistries": [entry]}}
    })
}

/// Creates servers with these images in one go, without storing them.
fn create_all(environment: &Environment, team: &str, rows: &[&Vec<String>]) -> Said {
    let items: Vec<Value> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| server(team, &format!("row-{index}"), &json!({"image": row[0]})))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    environment.kubectl_with(
        &["create", "--dry-run=server", "-f", "-"],
        &list.to_string(),
    )
}

/// What `kubectl` said of one object of several.
fn verdict_of(said: &Said, name: &str) -> Verdict {
    let accepted = said
        .out
        .lines()
        .any(|line| line == format!("mcpserver.kubectl-mcp.dev/{name} created (server dry run)"));
    let text = said
        .err
        .lines()
        .filter(|line| line.contains(&format!("\"{name}\"")))
        .collect::<Vec<_>>()
        .join("\n");
    Verdict {
        accepted,
        errors: if accepted { Vec::new() } else { codes(&text) },
        warnings: Vec::new(),
        text,
    }
}

fn ingress_verdict(verdict: &Verdict) -> &'static str {
    let ours = |codes: &[String]| {
        codes
            .iter()
            .any(|code| INGRESS_CODES.contains(&code.as_str()))
    };
    if ours(&verdict.errors) {
        "error"
    } else if !verdict.accepted {
        "refused for another reason"
    } else if ours(&verdict.warnings) {
        "warn"
    } else {
        "allow"
    }
}

/// `namespace/name=[class!]host|Type:path` as the server that claims it; none if no server can.
fn claimant(text: &str) -> Option<Value> {
    let (owner, claim) = text
        .split_once('=')
        .unwrap_or_else(|| panic!("{text:?} is no claim"));
    let (namespace, name) = owner.split_once('/').expect("a claim has a namespace");
    let (host, path) = claim.split_once('|').expect("a claim has a path");
    let (class, host) = host.split_once('!').unwrap_or(("traefik", host));
    let path = path.strip_prefix("Prefix:")?;
    let mut spec = json!({"image": "ghcr.io/acme/x:1", "ingressPath": path, "ingressClass": class});
    if !host.is_empty() {
        spec["ingressHost"] = host.into();
    }
    Some(server(namespace, name, &spec))
}

#[test]
fn every_row_of_hosts_and_paths_has_its_verdict_by_every_door() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    let rows = rows("KUBECTL_MCP_TEST_INGRESS", "ingress.tsv");
    let owners: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| row[2].split(';'))
        .filter_map(|claim| claim.split_once('/'))
        .map(|(namespace, _)| namespace)
        .chain(["team-a"])
        .collect();
    let owners: Vec<&str> = owners.into_iter().collect();
    teams(environment, &owners);
    write(environment, &ingress_class("traefik"));
    let webhook = platform.start_webhook();
    let door = Door::of(environment, &webhook);
    let mut tally = Tally::default();
    let mut groups: BTreeMap<&str, Vec<&Vec<String>>> = BTreeMap::new();
    // A claim of an exact path is nobody's but the overlap function's: servers claim prefixes.
    for row in rows
        .iter()
        .filter(|row| !row[1].starts_with("Exact:") && !row[2].contains("|Exact:"))
    {
        groups.entry(&row[2]).or_default().push(row);
    }
    for (existing, rows) in groups {
        let claims: Vec<Value> = existing
            .split(';')
            .filter(|text| !text.is_empty())
            .filter_map(claimant)
            .collect();
        for claim in &claims {
            write(environment, claim);
        }
        door.catch_up();
        for row in rows {
            hosts_and_paths(environment, &door, row, &claims, &mut tally);
        }
        for owner in &owners {
            delete(environment, &["mcpservers", "--all", "-n", owner]);
        }
    }
    tally.finish("hosts and paths");
}

fn hosts_and_paths(
    environment: &Environment,
    door: &Door<'_>,
    row: &[String],
    claims: &[Value],
    tally: &mut Tally,
) {
    let [host, path, _, expected, _] = row else {
        panic!("{row:?}")
    };
    let expected = if matches!(expected.as_str(), "deny" | "invalid") {
        "error"
    } else {
        expected
    };
    let spec = json!({"image": "ghcr.io/acme/x:1", "ingressHost": host, "ingressPath": path});
    let object = server("team-a", "new", &spec);
    let others = claims
        .iter()
        .filter(|claim| claim["metadata"] != object["metadata"])
        .cloned();
    let objects: Vec<Value> = others.chain([object.clone()]).collect();
    let said = environment.kubectl_with(
        &["create", "--dry-run=server", "-f", "-"],
        &object.to_string(),
    );
    for (name, verdict) in [
        ("lint", lint(environment, "new", &objects, None)),
        ("webhook", door.create(&object)),
        ("API server", Verdict::printed(&said)),
    ] {
        tally.row(
            name,
            row,
            ingress_verdict(&verdict),
            expected,
            &verdict.text,
        );
    }
}
