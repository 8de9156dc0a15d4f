//! Asks a gateway what its server said of itself. Called after a pod became ready; never for a decision.

use std::time::Duration;

use api::{Discovered, ServerInfo, names};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

const TIMEOUT: Duration = Duration::from_secs(3);
/// An inventory names tools; it never needs more than this.
const LIMIT: usize = 4 << 20;

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
    tools: Items,
    #[serde(default)]
    prompts: Items,
    #[serde(default)]
    resources: Items,
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
    Ok(Discovered {
        server_info: inventory.server_info,
        protocol_versions: inventory.protocol_versions,
        tools: inventory.tools.count,
        prompts: inventory.prompts.count,
        resources: inventory.resources.count,
        drift: Vec::new(),
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
