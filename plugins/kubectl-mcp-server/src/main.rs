//! `kubectl mcp server`: make, look at and call MCP servers.
//!
//! Called by kubectl or by the dispatcher. Calls go through the API server's service proxy with the kubeconfig as
//! login, so they meet the same gateway as everybody's.

mod arguments;
mod call;
mod cli;
mod content;
mod create;
mod list;
mod logs;
mod mcp;
mod policy;
mod status;
mod tools;

use std::process::ExitCode;

use common::app;

fn main() -> ExitCode {
    let called = match app::called("kubectl-mcp-server") {
        Ok(called) => called,
        Err(code) => return code,
    };
    match called.verb.as_str() {
        "server" => app::run_async(&called, cli::run),
        _ => app::unknown_verb(&called),
    }
}
