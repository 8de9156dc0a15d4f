//! A client by the Rust SDK that does what it is told: `rmcp-client URL legacy|modern|auto`, with a bearer token in `TOKEN` if
//! there is one. Each line on stdin is a wish, each line on stdout an answer, as `gateway/tests/sdk/client.rs` writes and
//! reads them.

use anyhow::{Context as _, bail};
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientRequest, ProgressNotificationParam, ProgressToken,
    ProtocolVersion, Request, ServerResult,
};
use rmcp::service::{
    NotificationContext, PeerRequestOptions, RequestHandle, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// Hands on what the server tells of its progress.
struct Handler(broadcast::Sender<ProgressToken>);

impl ClientHandler for Handler {
    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        // Nobody may be waiting.
        let _ = self.0.send(params.progress_token);
    }
}

type Client = RunningService<RoleClient, Handler>;

fn result(result: &CallToolResult) -> Value {
    let texts = result.content.iter().filter_map(|part| part.as_text());
    let text: String = texts.map(|text| text.text.as_str()).collect();
    json!({ "text": text, "failed": result.is_error.unwrap_or_default() })
}

fn params(wish: &Value) -> anyhow::Result<CallToolRequestParams> {
    let name = wish["name"].as_str().context("a name")?.to_owned();
    let arguments = wish["arguments"].as_object().context("arguments")?.clone();
    Ok(CallToolRequestParams::new(name).with_arguments(arguments))
}

async fn begin(client: &Client, wish: &Value) -> anyhow::Result<RequestHandle<RoleClient>> {
    let request = ClientRequest::CallToolRequest(Request::new(params(wish)?));
    Ok(client
        .send_cancellable_request(request, PeerRequestOptions::no_options())
        .await?)
}

async fn progress(client: &Client, wish: &Value) -> anyhow::Result<Value> {
    let mut news = client.service().0.subscribe();
    let handle = begin(client, wish).await?;
    let token = handle.progress_token.clone();
    let ServerResult::CallToolResult(done) = handle.await_response().await? else {
        bail!("an answer of another kind");
    };
    let mut seen = 0;
    while let Ok(told) = news.try_recv() {
        seen += usize::from(told == token);
    }
    let mut answer = result(&done);
    answer["progress"] = json!(seen);
    Ok(answer)
}

/// Cancels as soon as the server is seen to work.
async fn cancel(client: &Client, wish: &Value) -> anyhow::Result<Value> {
    let mut news = client.service().0.subscribe();
    let handle = begin(client, wish).await?;
    while news.recv().await? != handle.progress_token {}
    handle.cancel(Some("enough".to_owned())).await?;
    Ok(json!({ "cancelled": true }))
}

async fn granted(client: &Client, wish: &Value) -> anyhow::Result<Value> {
    Ok(match wish["do"].as_str() {
        Some("list") => {
            let tools = client.list_all_tools().await?;
            json!({ "tools": tools.iter().map(|tool| &tool.name).collect::<Vec<_>>() })
        }
        Some("call") => result(&client.call_tool(params(wish)?).await?),
        Some("progress") => progress(client, wish).await?,
        Some("cancel") => cancel(client, wish).await?,
        _ => bail!("an unknown wish: {wish}"),
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("a URL")?;
    let lifecycle = match arguments.next().as_deref() {
        Some("legacy") => ClientLifecycleMode::Initialize,
        Some("modern") => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
        Some("auto") => ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        },
        _ => bail!("legacy, modern or auto"),
    };
    let mut config = StreamableHttpClientTransportConfig::with_uri(url);
    if let Ok(token) = std::env::var("TOKEN") {
        config = config.auth_header(token);
    }
    let transport = StreamableHttpClientTransport::from_config(config);
    let handler = Handler(broadcast::Sender::new(1024));
    let client = handler.serve_with_lifecycle(transport, lifecycle).await?;
    let server = client
        .peer_info()
        .context("what the server says of itself")?;
    say(&json!({ "version": server.protocol_version.to_string() }));
    loop {
        let line = tokio::task::spawn_blocking(|| std::io::stdin().lines().next()).await?;
        let Some(line) = line.transpose()? else { break };
        let wish: Value = serde_json::from_str(&line)?;
        match granted(&client, &wish).await {
            Ok(answer) => say(&answer),
            Err(error) => match error.downcast_ref::<ServiceError>() {
                Some(ServiceError::McpError(error)) => say(&json!({ "error": error })),
                _ => return Err(error),
            },
        }
    }
    client.cancel().await?;
    Ok(())
}

fn say(answer: &Value) {
    println!("{answer}");
}
