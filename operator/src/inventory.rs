//! Asks a gateway what its server said of itself. Called after a pod became ready; never for a decision.

use std::time::Duration;

use api::{Definition, Discovered, ServerInfo, names};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

const TIMEOUT: Duration = Duration::from_secs(3);
/// An inventory names tools, and shows some of their definitions; it never needs more than this.
const LIMIT: usize = 8 << 20;
/// Most tools of which the status keeps the definition's hash, and most lines about drift.
const SHOWN: usize = 256;

/// Why there is no inventory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the pod is none.
    #[error("{0:?} is no address of a pod")]
    Address(String),
    /// No connection, or it broke.
    #[error("the gateway's admin port did not answer: {0}")]
    Connect(hyper_util::client::legacy::Error),
    /// No answer in time.
    #[error("the gateway's admin port did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// Another status than 200.
    #[error("the gateway's admin port answered {0}")]
    Status(hyper::StatusCode),
    /// The body broke off or is too large.
    #[error("the inventory could not be read: {0}")]
    Body(String),
    /// The body is no inventory.
    #[error("the inventory is not understood: {0}")]
    Parse(serde_json::Error),
}

/// What the gateway's `/inventory` answers, as far as the status shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inventory {
    #[serde(default)]
    server_info: Option<ServerInfo>,
    #[serde(default)]
    protocol_versions: Vec<String>,
    #[serde(default)]
    tools: Tools,
    #[serde(default)]
    prompts: Items,
    #[serde(default)]
    resources: Items,
}

#[derive(Debug, Default, Deserialize)]
struct Tools {
    #[serde(default)]
    count: Option<i32>,
    #[serde(default)]
    definitions: Vec<Tool>,
    /// Names of pinned tools that the server does not list.
    #[serde(default)]
    gone: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    name: String,
    hash: Option<String>,
    standing: Option<String>,
    #[serde(default)]
    findings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Items {
    #[serde(default)]
    count: Option<i32>,
}

/// Fetches the inventory from a pod's admin port.
pub async fn fetch(pod_ip: &str) -> Result<Discovered, Error> {
    let address: std::net::IpAddr = pod_ip
        .parse()
        .map_err(|_| Error::Address(pod_ip.to_owned()))?;
    let url = format!(
        "http://{}/inventory",
        std::net::SocketAddr::new(address, names::GATEWAY_ADMIN_PORT)
    );
    let request = Request::get(url)
        .body(Empty::<Bytes>::new())
        .map_err(|_| Error::Address(pod_ip.to_owned()))?;
    let text = tokio::time::timeout(TIMEOUT, body(request))
        .await
        .map_err(|_| Error::Timeout)??;
    let inventory: Inventory = serde_json::from_slice(&text).map_err(Error::Parse)?;
    Ok(discovered(inventory))
}

/// What the status keeps of an inventory.
fn discovered(inventory: Inventory) -> Discovered {
    let tools = inventory.tools;
    let drifted = tools.definitions.iter().filter_map(|tool| {
        let says = match tool.standing.as_deref() {
            Some("drifted") => "its definition is not an approved one",
            Some("unpinned") => "no definition of it is approved",
            Some(_) | None => return None,
        };
        Some(format!("{}: {says}", tool.name))
    });
    let gone = tools
        .gone
        .iter()
        .map(|name| format!("{name}: the server does not list it"));
    Discovered {
        server_info: inventory.server_info,
        protocol_versions: inventory.protocol_versions,
        tools: tools.count,
        prompts: inventory.prompts.count,
        resources: inventory.resources.count,
        drift: drifted.chain(gone).take(SHOWN).collect(),
        definitions: tools
            .definitions
            .into_iter()
            .filter_map(shown)
            .take(SHOWN)
            .collect(),
    }
}

fn shown(tool: Tool) -> Option<Definition> {
    Some(Definition {
        hash: tool.hash?,
        name: tool.name,
        findings: tool.findings,
    })
}

async fn body(request: Request<Empty<Bytes>>) -> Result<Bytes, Error> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.map_err(Error::Connect)?;
    if answer.status() != hyper::StatusCode::OK {
        return Err(Error::Status(answer.status()));
    }
    let body = Limited::new(answer.into_body(), LIMIT)
        .collect()
        .await
        .map_err(|e| Error::Body(e.to_string()))?;
    Ok(body.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_keeps_hashes_and_says_what_drifted() {
        let inventory = serde_json::json!({
            "serverInfo": {"name": "s", "version": "1"}, "protocolVersions": ["2025-11-25"],
            "prompts": {"count": 1, "names": ["p"]}, "resources": {"count": 0, "names": []}, "pins": "enforce",
            "tools": {"count": 4, "names": ["a", "b", "c", "d"], "gone": ["e"], "definitions": [
                {"name": "a", "hash": "sha256:1", "standing": "pinned", "definition": {"name": "a"}},
                {"name": "b", "hash": "sha256:2", "standing": "drifted", "findings": ["oversized"]},
                {"name": "c", "hash": "sha256:3", "standing": "unpinned"},
                {"name": "d", "hash": null, "standing": "drifted"},
            ]},
        });
        let found = discovered(serde_json::from_value(inventory).unwrap());
        assert_eq!(
            found.drift,
            [
                "b: its definition is not an approved one",
                "c: no definition of it is approved",
                "d: its definition is not an approved one",
                "e: the server does not list it"
            ]
        );
        let kept: Vec<_> = found
            .definitions
            .iter()
            .map(|d| (d.name.as_str(), d.hash.as_str()))
            .collect();
        assert_eq!(
            kept,
            [("a", "sha256:1"), ("b", "sha256:2"), ("c", "sha256:3")]
        );
        assert_eq!(found.definitions[1].findings, ["oversized"]);
    }
}
