//! The pages of the rules: what they call good is good, and what they call bad is bad, by the rule itself.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::{nothing_there, root};
use crate::{Facts, Known, Question, REGISTRY, Severity, check, default, kind_of, questions};

/// Rules whose bad block alone cannot show the finding, and why.
#[rustfmt::skip]
const NOT_ALONE: [(&str, &str); 15] = [
    ("MCP0108", "the Secrets of the namespace are not on the page"),
    ("MCP0109", "what catalogues hold is not on the page"),
    ("MCP0309", "the Secrets of the namespace are not on the page"),
    ("MCP0321", "what the requester may read is not on the page"),
    ("MCP0410", "the server before the change is not on the page"),
    ("MCP0503", "the server before the change is not on the page"),
    ("MCP0607", "the verbs of the requester are not on the page"),
    ("MCP0707", "the Secrets of the namespace are not on the page"),
    ("MCP0709", "who made the session that is there already is not on the page"),
    ("MCP0804", "the Services of the namespace are not on the page"),
    ("MCP0805", "the labels of the other namespace's Service are not on the page"),
    ("MCP0811", "the Services of the namespace are not on the page"),
    ("MCP0906", "the servers that the policy would refuse are not on the page"),
    ("MCP0907", "the grant that names the server is not on the page"),
    ("MCP0910", "the mutating door takes a forged stamp away before the rule is asked"),
];

/// What a page says of one document in a comment above it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Judged,
    Before,
    Deleted,
}

/// A document of a block.
struct Document {
    role: Role,
    object: Value,
}

/// The YAML blocks below a heading of a page, each with its documents.
fn blocks(code: &str, heading: &str) -> Vec<Vec<Document>> {
    let text = fs::read_to_string(root().join(format!("docs/rules/{code}.md"))).unwrap();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap_or_else(|| panic!("{code} has no {heading}"));
    let blocks = section.split("```yaml\n").skip(1);
    blocks
        .map(|block| {
            let (block, _) = block.split_once("```").unwrap();
            block.split("---\n").map(document).collect()
        })
        .collect()
}

fn document(text: &str) -> Document {
    let said = |word: &str| {
        text.lines()
            .any(|line| line.starts_with('#') && line.contains(word))
    };
    Document {
        role: match (said("# before:"), said("# deleted")) {
            (true, _) => Role::Before,
            (false, true) => Role::Deleted,
            (false, false) => Role::Judged,
        },
        object: serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")),
    }
}

/// The objects of one kind of a block, but those that are no more.
fn all<T: serde::de::DeserializeOwned>(block: &[Document], kind: &str) -> Vec<T> {
    block
        .iter()
        .filter(|document| document.role != Role::Before && document.object["kind"] == kind)
        .filter_map(|document| serde_json::from_value(document.object.clone()).ok())
        .collect()
}

/// The documents of a block are facts for each other. Of Secrets, Services and classes a page says nothing.
fn facts(block: &[Document]) -> Facts {
    fn arcs<T>(items: Vec<T>) -> Known<std::sync::Arc<Vec<std::sync::Arc<T>>>> {
        let items: Vec<_> = items.into_iter().map(std::sync::Arc::new).collect();
        items.into()
    }
    let servers: Vec<Value> = all(block, "MCPServer");
    let servers = servers
        .iter()
        .filter(|server| serde_json::from_value::<api::MCPServer>((*server).clone()).is_ok());
    let labels = |team: &str| BTreeMap::from([("team".to_owned(), team.to_owned())]);
    let namespaces = BTreeMap::from([
        ("team-a".to_owned(), labels("alpha")),
        ("team-b".to_owned(), labels("beta")),
    ]);
    Facts {
        policies: arcs(all(block, "MCPPolicy")),
        servers: servers.map(super::server_fact).collect::<Vec<_>>().into(),
        grants: arcs(all(block, "MCPAccessGrant")),
        sessions: arcs(all(block, "MCPAgentSession")),
        tools: arcs(all(block, "MCPTool")),
        prompts: arcs(all(block, "MCPPrompt")),
        resources: arcs(all(block, "MCPResource")),
        namespaces: namespaces.into(),
        ingress_classes: Known::Unknown,
        secrets: Known::Unknown,
        config_maps: Known::Unknown,
        services: Known::Unknown,
        catalogues: Known::Unknown,
        ..nothing_there()
    }
}

/// What a rule says of the documents of a block, which alice writes.
fn said(code: &str, block: &[Document]) -> Vec<String> {
    let mut said = Vec::new();
    let mut old = None;
    for document in block {
        let mut facts = facts(block);
        let (new, before) = match document.role {
            Role::Before => {
                old = Some(document.object.clone());
                continue;
            }
            Role::Deleted => (None, Some(document.object.clone())),
            Role::Judged => {
                let mut new = document.object.clone();
                if kind_of(&new).is_some() {
                    default(&mut new, old.as_ref(), &facts);
                }
                (Some(new), old.take())
            }
        };
        let asked: Vec<Question> = questions(new.as_ref(), before.as_ref(), &facts);
        let answer = |question: Question| {
            let answer = ["grant", "get"].contains(&question.verb);
            (question, answer)
        };
        facts.answers = asked.into_iter().map(answer).collect();
        let findings = check(new.as_ref(), before.as_ref(), &facts);
        said.extend(
            findings
                .iter()
                .filter(|finding| finding.code == code && finding.severity != Severity::Unchecked)
                .map(ToString::to_string),
        );
    }
    said
}

fn codes() -> impl Iterator<Item = &'static str> {
    REGISTRY.iter().map(|rule| rule.meta().code)
}

#[test]
fn every_example_can_be_given_to_kubectl() {
    let mut wrong = Vec::new();
    for code in codes() {
        for heading in ["Bad", "Good"] {
            for document in blocks(code, heading).iter().flatten() {
                let version = document.object["apiVersion"].as_str().unwrap_or_default();
                let named = document.object["metadata"]["name"].is_string();
                let kind = document.object["kind"].as_str().unwrap_or_default();
                let fits = kind_of(&document.object).is_some() || !kind.starts_with("MCP");
                if version.is_empty() || !fits || !named {
                    wrong.push(format!("{code} {heading}: {kind} of {version:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_rule_has_nothing_against_what_its_page_calls_good() {
    let mut wrong = Vec::new();
    for code in codes() {
        for block in blocks(code, "Good") {
            wrong.extend(
                said(code, &block)
                    .into_iter()
                    .map(|said| format!("{code}: {said}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_rule_finds_what_its_page_calls_bad() {
    let mut wrong = Vec::new();
    for code in codes() {
        let blocks = blocks(code, "Bad");
        let silent = blocks.is_empty() || blocks.iter().any(|block| said(code, block).is_empty());
        let excepted = NOT_ALONE.iter().any(|(exception, _)| *exception == code);
        if silent != excepted {
            wrong.push(format!("{code}: silent {silent}, an exception {excepted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
