//! The adversarial rows, one by one.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::{nothing_there, root, server, with_policies};
use crate::parse::route::{Overlap, Route, overlap};
use crate::{Findings, ServerFact, check};

/// The rows of a table without its header, each column decoded. The last column is for people and stays as it is.
fn rows(name: &str) -> Vec<Vec<String>> {
    let other = std::env::var_os(if name.starts_with("image") {
        "KUBECTL_MCP_TEST_IMAGES"
    } else {
        "KUBECTL_MCP_TEST_INGRESS"
    });
    let path = other
        .clone()
        .map_or_else(|| root().join("tests/fixtures").join(name), PathBuf::from);
    let text = fs::read_to_string(path).unwrap();
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

fn image_verdict(findings: &Findings) -> &'static str {
    let has = |code| findings.errors().any(|finding| finding.code == code);
    if has("MCP0101") {
        "invalid"
    } else if has("MCP0102") {
        "deny"
    } else {
        "allow"
    }
}

#[test]
fn every_row_of_image_references_has_its_verdict() {
    let mut wrong = Vec::new();
    for row in rows("image-refs.tsv") {
        let [image, entry, verdict, why] = row.as_slice() else {
            panic!("{row:?}")
        };
        let facts = with_policies(json!([["p", {"images": {"allowedRegistries": [entry]}}]]));
        let object = server(json!({"image": image}));
        let found = image_verdict(&check(Some(&object), None, &facts));
        if found != verdict {
            wrong.push(format!(
                "{image:?} with {entry:?}: {found}, not {verdict}: {why}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `namespace/name=[class!]host|Type:path`.
fn claim(text: &str) -> ServerFact {
    let (owner, claim) = text.split_once('=').unwrap();
    let (namespace, name) = owner.split_once('/').unwrap();
    let (host, path) = claim.split_once('|').unwrap();
    let (class, host) = host.split_once('!').unwrap_or(("traefik", host));
    let (kind, path) = path.split_once(':').unwrap();
    ServerFact {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        route: Some(Route {
            class: class.to_owned(),
            host: (!host.is_empty()).then(|| host.to_owned()),
            path: path.to_owned(),
            exact: kind == "Exact",
        }),
        ..ServerFact::default()
    }
}

fn whole_rule(host: &str, path: &str, existing: Vec<ServerFact>) -> &'static str {
    const CODES: [&str; 7] = [
        "MCP0201", "MCP0202", "MCP0203", "MCP0204", "MCP0205", "MCP0206", "MCP0212",
    ];
    let mut facts = nothing_there();
    facts.servers = existing.into();
    let object =
        server(json!({"image": "ghcr.io/acme/x:1", "ingressHost": host, "ingressPath": path}));
    let findings = check(Some(&object), None, &facts);
    if findings
        .errors()
        .any(|finding| CODES.contains(&finding.code))
    {
        "error"
    } else if findings
        .warnings()
        .any(|finding| CODES.contains(&finding.code))
    {
        "warn"
    } else {
        "allow"
    }
}

/// The overlap function alone, for claims that no MCPServer makes.
fn only_overlap(host: &str, path: &str, exact: bool, existing: &[ServerFact]) -> &'static str {
    let new = Route {
        class: "traefik".to_owned(),
        host: Some(host.to_owned()),
        path: path.to_owned(),
        exact,
    };
    let worst = existing
        .iter()
        .filter(|other| other.namespace != "team-a" || other.name != "new")
        .map(|other| match overlap(&new, other.route.as_ref().unwrap()) {
            Overlap::Taken if other.namespace == "team-a" => Overlap::Close,
            found => found,
        })
        .max();
    match worst.unwrap_or(Overlap::None) {
        Overlap::None => "allow",
        Overlap::Close => "warn",
        Overlap::Taken => "error",
    }
}

#[test]
fn every_row_of_hosts_and_paths_has_its_verdict() {
    let mut wrong = Vec::new();
    for row in rows("ingress.tsv") {
        let [host, path, existing, verdict, why] = row.as_slice() else {
            panic!("{row:?}")
        };
        let existing: Vec<_> = existing
            .split(';')
            .filter(|text| !text.is_empty())
            .map(claim)
            .collect();
        let expected = if matches!(verdict.as_str(), "deny" | "invalid") {
            "error"
        } else {
            verdict
        };
        let exact = path.strip_prefix("Exact:");
        let mut found = vec![only_overlap(
            host,
            exact.unwrap_or(path),
            exact.is_some(),
            &existing,
        )];
        if exact.is_none() {
            if existing.is_empty() {
                found.clear();
            }
            found.push(whole_rule(host, path, existing));
        }
        if found.iter().any(|found| *found != expected) {
            wrong.push(format!(
                "{host:?} {path:?}: {found:?}, not {verdict}: {why}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
