//! The servers of the matrix: how each is run, and what it can be asked.

use std::path::Path;

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::{Parts, Process, quiet, sources};
use crate::support::{everything, free_port};

/// Who made it, and how it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Everything,
    Filesystem,
    Time,
    Sqlite,
    Python,
    TypeScript,
    Rust,
}

/// A call: the tool, its arguments, and what is in the answer's text.
pub struct Example {
    pub tool: &'static str,
    pub arguments: Value,
    pub text: &'static str,
}

impl Server {
    pub const ALL: [Self; 7] = [
        Self::Everything,
        Self::Filesystem,
        Self::Time,
        Self::Sqlite,
        Self::Python,
        Self::TypeScript,
        Self::Rust,
    ];

    /// As the table names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Everything => "npm server-everything 2026.8.31, HTTP",
            Self::Filesystem => "npm server-filesystem 2026.8.31, stdio",
            Self::Time => "PyPI mcp-server-time 2026.10.19, stdio",
            Self::Sqlite => "PyPI mcp-server-sqlite 2025.4.25 with mcp 1.30, stdio",
            Self::Python => "Python SDK 2.3.0, HTTP",
            Self::TypeScript => "TypeScript SDK 2.4.0, HTTP",
            Self::Rust => "Rust SDK (rmcp) 3.9.0, HTTP",
        }
    }

    pub fn is_stdio(self) -> bool {
        matches!(self, Self::Filesystem | Self::Time | Self::Sqlite)
    }

    /// A call that works.
    pub fn call(self) -> Example {
        let (tool, arguments, text) = match self {
            Self::Everything => ("echo", json!({ "message": "hello" }), "Echo: hello"),
            Self::Filesystem => ("list_allowed_directories", json!({}), "Allowed directories"),
            Self::Time => ("get_current_time", json!({ "timezone": "UTC" }), "UTC"),
            Self::Sqlite => ("list_tables", json!({}), "[]"),
            Self::Python | Self::TypeScript | Self::Rust => ("add", json!({ "a": 1, "b": 2 }), "3"),
        };
        Example {
            tool,
            arguments,
            text,
        }
    }

    /// A call that takes a while and tells of its progress; with `long` it takes until somebody cancels it.
    pub fn slow(self, long: bool) -> Option<Example> {
        match self {
            Self::Everything => Some(Example {
                tool: "trigger-long-running-operation",
                arguments: if long {
                    json!({ "duration": 60, "steps": 240 })
                } else {
                    json!({ "duration": 1, "steps": 4 })
                },
                text: "Long running operation completed",
            }),
            Self::Python | Self::TypeScript | Self::Rust => Some(Example {
                tool: "count",
                arguments: json!({ "steps": if long { 1200 } else { 4 } }),
                text: "counted to 4",
            }),
            Self::Filesystem | Self::Time | Self::Sqlite => None,
        }
    }

    /// The tool that tells how often a slow call was cancelled.
    pub fn tells_of_cancellation(self) -> bool {
        matches!(self, Self::Python | Self::TypeScript | Self::Rust)
    }

    /// Runs it behind a gateway; none if it is not on this machine.
    pub async fn behind_gateway(self, parts: &Parts, folder: &Path) -> Option<Gateway> {
        let scripts = sources().join("servers");
        let port = free_port();
        let mut command = match self {
            Self::Everything => {
                let mut node = parts.node(&scripts.join("loopback.cjs"));
                node.arg(everything()?).arg("streamableHttp");
                node.env("PORT", port.to_string());
                node
            }
            Self::Filesystem => {
                let mut node =
                    parts.module("@modelcontextprotocol/server-filesystem/dist/index.js");
                node.arg(folder);
                node
            }
            Self::Time => {
                let mut python = parts.python();
                python.args(["-m", "mcp_server_time", "--local-timezone", "UTC"]);
                python
            }
            Self::Sqlite => {
                let mut python = parts.old_python();
                python.args(["-c", "import mcp_server_sqlite; mcp_server_sqlite.main()"]);
                python.arg("--db-path").arg(folder.join("test.db"));
                python
            }
            Self::Python => {
                let mut python = parts.python();
                python.arg(scripts.join("server.py"));
                python
            }
            Self::TypeScript => parts.node(&scripts.join("server.cjs")),
            Self::Rust => quiet(parts.rmcp.join("rmcp-server")),
        };
        if self.is_stdio() {
            return Some(Gateway::over_stdio(&command).await);
        }
        if self != Self::Everything {
            command.args(["http", &port.to_string()]);
        }
        let server = Process::listening(&mut command, port);
        Some(Gateway::over_http(server, port).await)
    }
}
