//! The command line. Every flag can also be given by the environment.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::bridge::Scope;

/// The data plane of kubectl-mcp: stands in front of one MCP server and decides about every message.
#[derive(Debug, clap::Parser)]
#[command(name = "mcp-gateway", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the gateway can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve in front of an MCP server that listens on loopback, or runs behind the socket of `exec`.
    Serve(Box<Serve>),
    /// Run a stdio server for a gateway in another container of the pod.
    Exec(Exec),
    /// Copy this program to where another container of the pod can run it.
    Copy {
        /// The file to write.
        to: PathBuf,
    },
}

/// Flags of `exec`. None of them can be given by the environment, which is the server's.
#[derive(Clone, Debug, clap::Args)]
pub struct Exec {
    /// The unix socket to listen on.
    #[arg(long)]
    pub socket: PathBuf,
    /// The user of the gateway, where it is not the own one.
    #[arg(long)]
    pub gateway_uid: Option<u32>,
    /// Most processes of the server at a time.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_processes: u32,
    /// How long the gateway may go on after SIGTERM, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=300))]
    pub drain_seconds: u64,
    /// The server: a program and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// Flags of `serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// Address for callers.
    #[arg(long, env = "MCP_GATEWAY_LISTEN", default_value = "0.0.0.0:8091")]
    pub listen: SocketAddr,
    /// Address for health, metrics and the inventory.
    #[arg(long, env = "MCP_GATEWAY_ADMIN", default_value = "0.0.0.0:9091")]
    pub admin: SocketAddr,
    /// URL of the server: https, or http on a loopback address or on a Service of the namespace (NAME.NAMESPACE.svc).
    /// `sse+` before it says that the server speaks HTTP with SSE, the transport of 2024-11-05. Or `stdio:` and the path
    /// of the socket of `mcp-gateway exec`.
    #[arg(
        long,
        env = "MCP_GATEWAY_UPSTREAM",
        default_value = "http://127.0.0.1:8088/mcp"
    )]
    pub upstream: String,
    /// File with the certificates of the authorities that sign for the server, PEM; the system's when absent.
    #[arg(long, env = "MCP_GATEWAY_UPSTREAM_CA", value_name = "FILE")]
    pub upstream_ca: Option<PathBuf>,
    /// A header that every request to the server gets, and the file with its value. Read again when it changes.
    #[arg(long = "upstream-header", value_name = "NAME=FILE")]
    pub upstream_headers: Vec<crate::upstream::HeaderFile>,
    /// Who shares a process of a stdio server.
    #[arg(
        long,
        env = "MCP_GATEWAY_STDIO_SCOPE",
        value_enum,
        default_value = "principal"
    )]
    pub stdio_scope: Scope,
    /// Most processes of a stdio server at a time.
    #[arg(long, env = "MCP_GATEWAY_STDIO_MAX_PROCESSES", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub stdio_max_processes: u16,
    /// When an idle process of a stdio server ends, in seconds.
    #[arg(long, env = "MCP_GATEWAY_STDIO_IDLE_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub stdio_idle_seconds: u64,
    /// Namespace of the MCPServer.
    #[arg(long, env = "MCP_GATEWAY_NAMESPACE")]
    pub namespace: String,
    /// Name of the MCPServer.
    #[arg(long, env = "MCP_GATEWAY_SERVER")]
    pub server: String,
    /// Folder with the access bundle, `access.json`.
    #[arg(long, env = "MCP_GATEWAY_BUNDLE", default_value = api::names::BUNDLE_MOUNT)]
    pub bundle: PathBuf,
    /// Follow the ConfigMap of the access bundle by the API as well, with the pod's service account.
    #[arg(long, env = "MCP_GATEWAY_WATCH")]
    pub watch: bool,
    /// How often the bundle's file is read, in milliseconds.
    #[arg(long, env = "MCP_GATEWAY_BUNDLE_POLL_MS", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub bundle_poll_ms: u64,
    /// Folder with the key of the server's MCP sessions, `session-key`. Without it, they end with the process.
    #[arg(long, env = "MCP_GATEWAY_SESSION_KEY", default_value = api::names::SESSION_KEY_MOUNT)]
    pub session_key: PathBuf,
    /// Address of the pod, at which the other gateways of the server reach this one on the port for callers. Without
    /// it, they do not.
    #[arg(long, env = "MCP_GATEWAY_POD_IP")]
    pub pod_ip: Option<IpAddr>,
    /// The largest message that is taken, in bytes.
    #[arg(long, env = "MCP_GATEWAY_MAX_BODY", default_value_t = 4 * 1024 * 1024, value_parser = clap::value_parser!(u32).range(1024..=67_108_864))]
    pub max_body: u32,
    /// File with the key of the HTTP audit sink.
    #[arg(long, env = "MCP_GATEWAY_AUDIT_KEY_FILE")]
    pub audit_key_file: Option<PathBuf>,
    /// Collector of OpenTelemetry traces (OTLP over HTTP): its base URL, such as
    /// `http://collector.obs.svc:4318`.
    #[arg(long, env = "MCP_GATEWAY_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Redis for rate limits that all gateways of the server share, as host:port.
    #[arg(long, env = "MCP_GATEWAY_REDIS")]
    pub redis: Option<String>,
    /// File with the password of Redis.
    #[arg(long, env = "MCP_GATEWAY_REDIS_PASSWORD_FILE", requires = "redis")]
    pub redis_password_file: Option<PathBuf>,
    /// How long a call waits for Redis before this gateway counts by itself, in milliseconds.
    #[arg(long, env = "MCP_GATEWAY_REDIS_TIMEOUT_MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub redis_timeout_ms: u64,
    /// How long to serve on after SIGTERM, in seconds.
    #[arg(long, env = "MCP_GATEWAY_DRAIN_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=300))]
    pub drain_seconds: u64,
    /// Let issuers of tokens be asked by plain http on loopback. For tests and development only.
    #[arg(long, hide = true)]
    pub insecure_issuers: bool,
    /// Logs, on stderr. Audit lines go to stdout.
    #[command(flatten)]
    pub log: daemon::log::LogArgs,
}
