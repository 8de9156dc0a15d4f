//! A server by the Rust SDK: `rmcp-server http PORT`. Its tools are those of `../../servers`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::ProgressNotificationParam;
use rmcp::schemars::{self, JsonSchema};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, tool, tool_router};
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Two {
    a: i64,
    b: i64,
}

#[derive(Deserialize, JsonSchema)]
struct Steps {
    steps: u32,
}

#[derive(Clone, Default)]
struct Server {
    cancelled: Arc<AtomicU32>,
}

#[tool_router(server_handler)]
impl Server {
    #[tool(description = "Adds two numbers.")]
    async fn add(&self, Parameters(Two { a, b }): Parameters<Two>) -> String {
        (a + b).to_string()
    }

    #[tool(description = "Counts slowly, and tells how far it is.")]
    async fn count(
        &self,
        Parameters(Steps { steps }): Parameters<Steps>,
        context: RequestContext<RoleServer>,
    ) -> String {
        for step in 0..steps {
            if let Some(token) = context.meta.get_progress_token() {
                let progress = ProgressNotificationParam::new(token, f64::from(step));
                let _ = context
                    .peer
                    .notify_progress(progress.with_total(f64::from(steps)))
                    .await;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
                () = context.ct.cancelled() => {
                    self.cancelled.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
        format!("counted to {steps}")
    }

    #[tool(description = "How many counts were cancelled.")]
    async fn cancelled(&self) -> String {
        self.cancelled.load(Ordering::Relaxed).to_string()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port: u16 = std::env::args().nth(2).unwrap_or_default().parse()?;
    let server = Server::default();
    let service: StreamableHttpService<Server, LocalSessionManager> = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::default(),
        StreamableHttpServerConfig::default().enforce_origin_validation(),
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await?)
}
