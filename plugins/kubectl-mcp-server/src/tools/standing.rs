//! How the tools of a server stand: what its spec approves, against what its gateway found. Pure.

use api::{Definition, MCPServer};
use serde::Serialize;

/// One tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    /// Its name.
    pub(super) tool: String,
    /// How it stands.
    pub(super) standing: Standing,
    /// The approved hashes.
    pub(super) pins: Vec<String>,
    /// The hash of the present definition; none if the server does not list the tool.
    pub(super) hash: Option<String>,
    /// What is suspicious in its text.
    pub(super) findings: Vec<String>,
    /// Whether it is in `spec.tools`.
    pub(super) declared: bool,
}

/// How one tool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Standing {
    /// Its definition is an approved one.
    Pinned,
    /// No definition of it is approved.
    Unpinned,
    /// Its definition is none of the approved ones.
    Drifted,
    /// It has approved definitions, and the server does not list it.
    Gone,
}

impl Standing {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::Drifted => "drifted",
            Self::Gone => "gone",
        }
    }

    /// Whether the approved definitions are not what the server has.
    pub(super) fn differs(self) -> bool {
        matches!(self, Self::Drifted | Self::Gone)
    }
}

/// Every tool that is declared with pins, or that the server lists, by name.
pub(super) fn rows(server: &MCPServer) -> Vec<Row> {
    let found = definitions(server);
    let mut rows: Vec<Row> = found
        .iter()
        .map(|definition| row(server, &definition.name, Some(definition)))
        .collect();
    for tool in &server.spec.tools {
        let listed = found.iter().any(|definition| definition.name == tool.name);
        if !listed && !tool.pins().is_empty() {
            rows.push(row(server, &tool.name, None));
        }
    }
    rows.sort_by(|a, b| a.tool.cmp(&b.tool));
    rows
}

/// What the gateway found, as the operator noted it.
pub(super) fn definitions(server: &MCPServer) -> &[Definition] {
    let discovered = server
        .status
        .as_ref()
        .and_then(|status| status.discovered.as_ref());
    discovered.map_or(&[], |discovered| &discovered.definitions)
}

fn row(server: &MCPServer, name: &str, definition: Option<&Definition>) -> Row {
    let declared = server.spec.tools.iter().find(|tool| tool.name == name);
    let pins = declared.map_or(&[][..], |tool| tool.pins());
    let standing = match definition {
        _ if pins.is_empty() => Standing::Unpinned,
        None => Standing::Gone,
        Some(definition) if pins.contains(&definition.hash) => Standing::Pinned,
        Some(_) => Standing::Drifted,
    };
    Row {
        tool: name.to_owned(),
        standing,
        pins: pins.to_vec(),
        hash: definition.map(|definition| definition.hash.clone()),
        findings: definition.map_or_else(Vec::new, |definition| definition.findings.clone()),
        declared: declared.is_some(),
    }
}

/// The first digits of a hash, enough to tell two apart by eye.
pub(super) fn short(hash: &str) -> String {
    let digits = hash.strip_prefix("sha256:").unwrap_or(hash);
    digits.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tool_stands_by_its_pins_and_what_was_found() {
        let server: MCPServer = serde_json::from_value(json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": "w"},
            "spec": {"image": "x", "tools": [
                {"name": "kept", "pin": "sha256:a"}, {"name": "two", "pin": ["sha256:x", "sha256:b"]},
                {"name": "changed", "pin": "sha256:x"}, {"name": "gone", "pin": "sha256:x"}, {"name": "plain"},
                {"name": "neither"},
            ]},
            "status": {"phase": "Ready", "discovered": {"definitions": [
                {"name": "kept", "hash": "sha256:a"}, {"name": "two", "hash": "sha256:b"},
                {"name": "changed", "hash": "sha256:c", "findings": ["oversized"]},
                {"name": "plain", "hash": "sha256:d"}, {"name": "extra", "hash": "sha256:e"},
            ]}},
        }))
        .unwrap();
        let rows = rows(&server);
        let standings: Vec<_> = rows
            .iter()
            .map(|row| (row.tool.as_str(), row.standing, row.declared))
            .collect();
        assert_eq!(
            standings,
            [
                ("changed", Standing::Drifted, true),
                ("extra", Standing::Unpinned, false),
                ("gone", Standing::Gone, true),
                ("kept", Standing::Pinned, true),
                ("plain", Standing::Unpinned, true),
                ("two", Standing::Pinned, true),
            ]
        );
        assert_eq!(rows[0].findings, ["oversized"]);
    }
}
