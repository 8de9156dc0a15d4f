//! A small MCP client: streamable HTTP, protocol 2025-11-25, one request at a time, no capabilities of its own.

mod client;
mod sse;
mod wire;

pub(crate) use client::{Endpoint, McpClient};
