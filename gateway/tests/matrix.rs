//! Servers, clients and eras crossed, through the gateway. What each pair can do is the table in `docs/matrix.md`, which
//! `cargo xtask matrix --write` makes; here a sample of it is tried each time.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]
#![allow(clippy::large_futures, reason = "nobody counts the bytes of a test")]

mod sdk;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sdk::client::{Client, Sdk};
use sdk::servers::{Example, Server};
use sdk::{PATIENCE, Parts, parts, run};
use serde_json::json;

const INSPECTOR: &str = "@modelcontextprotocol/inspector/clients/launcher/build/index.js";

const FELL_BACK: &str = "falls back to legacy: ";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Sdk(Sdk),
    Inspector,
}

const COLUMNS: [(&str, Asker, &str); 6] = [
    (
        "Python SDK 2.3.0, legacy",
        Asker::Sdk(Sdk::Python),
        "legacy",
    ),
    (
        "Python SDK 2.3.0, modern",
        Asker::Sdk(Sdk::Python),
        "modern",
    ),
    ("Inspector 2.12.0, legacy", Asker::Inspector, "legacy"),
    ("Inspector 2.12.0, modern", Asker::Inspector, "modern"),
    ("rmcp 3.9.0, legacy", Asker::Sdk(Sdk::Rust), "legacy"),
    ("rmcp 3.9.0, modern", Asker::Sdk(Sdk::Rust), "modern"),
];

/// What is tried on every run: every server once, every client in both eras.
const SAMPLE: [(Server, usize); 7] = [
    (Server::Everything, 4),
    (Server::Filesystem, 0),
    (Server::Time, 1),
    (Server::Sqlite, 4),
    (Server::Python, 5),
    (Server::TypeScript, 1),
    (Server::Rust, 3),
];

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/matrix.md")
}

/// What a pair can do, as it stands in the table.
async fn cell(parts: &Parts, server: Server, url: &str, asker: Asker, era: &str) -> String {
    let outcome = match asker {
        Asker::Sdk(sdk) => by_sdk(parts, server, url, sdk, era).await,
        Asker::Inspector => by_inspector(parts, server, url, era).await,
    };
    outcome.unwrap_or_else(|error| format!("fails: {}", short(&error)))
}

/// One line of an error, fit for a table.
fn short(error: &str) -> String {
    let line = error
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("no answer");
    line.trim().replace('|', "/").chars().take(120).collect()
}

/// A client in that era that has seen the list of tools.
async fn opened(
    parts: &Parts,
    url: &str,
    sdk: Sdk,
    era: &str,
) -> Result<(Client, Vec<String>), String> {
    let mut client = Client::connect(parts, sdk, era, url, None).await?;
    let tools = client.tools().await?;
    Ok((client, tools))
}

async fn by_sdk(
    parts: &Parts,
    server: Server,
    url: &str,
    sdk: Sdk,
    era: &str,
) -> Result<String, String> {
    let (mut client, tools, note) = match opened(parts, url, sdk, era).await {
        Ok((client, tools)) => (client, tools, ""),
        // A client that may choose finds the era that the server has.
        Err(error) if era == "modern" => {
            println!("{}: not modern: {error}", server.name());
            let (client, tools) = opened(parts, url, sdk, "auto").await?;
            (client, tools, FELL_BACK)
        }
        Err(error) => return Err(error),
    };
    let mut can = Vec::new();
    let example = server.call();
    if tools.iter().any(|tool| tool == example.tool) {
        can.push("list");
    }
    if worked(&mut client, "call", &example).await?.is_some() {
        can.push("call");
    }
    if let Some(slow) = server.slow(false)
        && worked(&mut client, "progress", &slow)
            .await?
            .is_some_and(|seen| seen >= 2)
    {
        can.push("progress");
    }
    if let Some(slow) = server.slow(true)
        && cancelled(&mut client, server, &slow).await?
    {
        can.push("cancel");
    }
    Ok(format!("{note}{}", can.join(", ")))
}

/// How often the server told of its progress, if the call did what it should.
async fn worked(client: &mut Client, wish: &str, example: &Example) -> Result<Option<u64>, String> {
    let answer = client
        .tool(wish, example.tool, example.arguments.clone())
        .await?;
    let text = answer["text"].as_str().unwrap_or_default();
    let good = answer["failed"] == false && text.contains(example.text);
    Ok(good.then(|| answer["progress"].as_u64().unwrap_or_default()))
}

/// Whether the server stopped when the client cancelled. One that cannot be asked must at least go on.
async fn cancelled(client: &mut Client, server: Server, slow: &Example) -> Result<bool, String> {
    let count = async |client: &mut Client| -> Result<u64, String> {
        let answer = client.tool("call", "cancelled", json!({})).await?;
        let text = answer["text"].as_str().unwrap_or_default();
        text.parse().map_err(|_| answer.to_string())
    };
    let tells = server.tells_of_cancellation();
    let before = if tells { count(client).await? } else { 0 };
    let answer = client
        .tool("cancel", slow.tool, slow.arguments.clone())
        .await?;
    if answer["cancelled"] != true {
        return Err(answer.to_string());
    }
    if !tells {
        return Ok(worked(client, "call", &server.call()).await?.is_some());
    }
    let began = Instant::now();
    while count(client).await? == before {
        if began.elapsed() > PATIENCE / 2 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The Inspector does one thing and ends; it shows no progress and cancels nothing.
async fn by_inspector(
    parts: &Parts,
    server: Server,
    url: &str,
    era: &str,
) -> Result<String, String> {
    let list = inspector(parts, url, era, &["--method", "tools/list"]).await;
    let (era, note, list) = match list {
        Ok(list) => (era, "", list),
        Err(_) if era == "modern" => {
            let list = inspector(parts, url, "auto", &["--method", "tools/list"]).await?;
            ("auto", FELL_BACK, list)
        }
        Err(error) => return Err(error),
    };
    let mut can = Vec::new();
    let example = server.call();
    if list.contains(&format!("\"{}\"", example.tool)) {
        can.push("list");
    }
    let mut call = vec!["--method", "tools/call", "--tool-name", example.tool];
    let arguments: Vec<String> = example
        .arguments
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            format!(
                "{name}={}",
                value.as_str().map_or(value.to_string(), str::to_owned)
            )
        })
        .collect();
    if !arguments.is_empty() {
        call.push("--tool-arg");
        call.extend(arguments.iter().map(String::as_str));
    }
    if inspector(parts, url, era, &call)
        .await?
        .contains(example.text)
    {
        can.push("call");
    }
    Ok(format!("{note}{}", can.join(", ")))
}

async fn inspector(parts: &Parts, url: &str, era: &str, what: &[&str]) -> Result<String, String> {
    let home = tempfile::tempdir().unwrap();
    let mut command = parts.module(INSPECTOR);
    command.args(["--cli", url, "--transport", "http", "--protocol-era", era]);
    command.args(what).env("HOME", home.path());
    command.env("MCP_CATALOG_PATH", home.path().join("mcp.json"));
    let ended = run(command).await;
    if ended.succeeded {
        Ok(ended.stdout)
    } else {
        Err(ended.stderr)
    }
}

/// The cells of the page, by server and column.
fn recorded() -> BTreeMap<(String, String), String> {
    let text = std::fs::read_to_string(page()).unwrap();
    let row = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = text.lines().filter(|line| line.starts_with('|')).map(row);
    let columns = lines.next().unwrap();
    let cells = lines.skip(1).flat_map(|row| {
        let server = row[0].clone();
        let named = columns.iter().cloned().zip(row).skip(1);
        named
            .map(move |(column, cell)| ((server.clone(), column), cell))
            .collect::<Vec<_>>()
    });
    cells.collect()
}

/// Tries some columns in front of one server.
async fn row(parts: &Parts, server: Server, columns: &[usize]) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let gateway = server.behind_gateway(parts, folder.path()).await?;
    let mut cells = Vec::new();
    for column in columns {
        let (name, asker, era) = COLUMNS[*column];
        let cell = cell(parts, server, &gateway.url, asker, era).await;
        println!("{}: {name}: {cell}", server.name());
        cells.push(cell);
    }
    Some(cells)
}

#[tokio::test]
async fn a_sample_of_the_matrix_is_as_recorded() {
    let Some(parts) = parts() else { return };
    let recorded = recorded();
    for (server, column) in SAMPLE {
        let Some(cells) = row(&parts, server, &[column]).await else {
            continue;
        };
        let key = (server.name().to_owned(), COLUMNS[column].0.to_owned());
        assert_eq!(Some(&cells[0]), recorded.get(&key), "{key:?}");
    }
}

#[tokio::test]
#[ignore = "takes minutes: `cargo xtask matrix`"]
async fn the_whole_matrix_is_as_recorded() {
    let parts = parts().unwrap();
    let mut table = String::from("| server");
    for (name, ..) in COLUMNS {
        write!(table, " | {name}").unwrap();
    }
    table.push_str(" |\n|---|---|---|---|---|---|---|\n");
    let all: Vec<usize> = (0..COLUMNS.len()).collect();
    for server in Server::ALL {
        let cells = row(&parts, server, &all).await.unwrap();
        writeln!(table, "| {} | {} |", server.name(), cells.join(" | ")).unwrap();
    }
    let old = std::fs::read_to_string(page()).unwrap();
    let begin = old.find("| server").unwrap();
    let end = begin
        + old[begin..]
            .find("\n\n")
            .map_or(old.len() - begin, |at| at + 1);
    let new = format!("{}{table}{}", &old[..begin], &old[end..]);
    if std::env::var_os("KUBECTL_MCP_TEST_WRITE").is_some() {
        std::fs::write(page(), new).unwrap();
    } else {
        assert_eq!(new, old, "write it again with `cargo xtask matrix --write`");
    }
}
