//! A client by somebody else's SDK, as a process that does what it is told: one wish per line on its stdin, one answer per
//! line on its stdout. The programs are in `tests/conformance/clients` and `tests/conformance/rmcp`.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{PATIENCE, Parts, sources};

/// Which SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    Python,
    TypeScript,
    /// The TypeScript SDK before its version 2.
    TypeScript1,
    Rust,
}

/// A client that is connected.
pub struct Client {
    child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// The protocol version that it speaks.
    pub version: String,
}

impl Client {
    /// Connects to `url`, in the era `legacy` or `modern`. An error is what the program wrote on stderr.
    pub async fn connect(
        parts: &Parts,
        sdk: Sdk,
        era: &str,
        url: &str,
        token: Option<&str>,
    ) -> Result<Self, String> {
        let mut command = program(parts, sdk);
        command.args([url, if sdk == Sdk::TypeScript1 { "v1" } else { era }]);
        command.envs(token.map(|token| ("TOKEN", token)));
        command.kill_on_drop(true);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut client = Self {
            child,
            stdin,
            answers,
            version: String::new(),
        };
        let hello = client.answer().await?;
        hello["version"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut client.version);
        Ok(client)
    }

    async fn answer(&mut self) -> Result<Value, String> {
        let line = tokio::time::timeout(PATIENCE, self.answers.next_line()).await;
        match line {
            Err(_) => Err("no answer in time".to_owned()),
            Ok(Ok(Some(line))) => {
                Ok(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")))
            }
            Ok(Ok(None) | Err(_)) => {
                let mut said = String::new();
                let stderr = self.child.stderr.take();
                if let Some(mut stderr) = stderr {
                    let _ = stderr.read_to_string(&mut said).await;
                }
                Err(said)
            }
        }
    }

    /// One wish and its answer.
    pub async fn wish(&mut self, wish: Value) -> Result<Value, String> {
        let line = format!("{wish}\n");
        // If the program has ended, its answer says so.
        let _ = self.stdin.write_all(line.as_bytes()).await;
        let _ = self.stdin.flush().await;
        self.answer().await
    }

    /// `call`, `progress` or `cancel`.
    pub async fn tool(
        &mut self,
        wish: &str,
        name: &str,
        arguments: Value,
    ) -> Result<Value, String> {
        self.wish(json!({ "do": wish, "name": name, "arguments": arguments }))
            .await
    }

    /// The names of the tools.
    pub async fn tools(&mut self) -> Result<Vec<String>, String> {
        let list = self.wish(json!({ "do": "list" })).await?;
        let names = list["tools"].as_array().ok_or_else(|| list.to_string())?;
        Ok(names
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }
}

fn program(parts: &Parts, sdk: Sdk) -> Command {
    let clients = sources().join("clients");
    let mut command = match sdk {
        Sdk::Python => parts.python(),
        Sdk::TypeScript | Sdk::TypeScript1 => parts.node(&clients.join("client.cjs")),
        Sdk::Rust => std::process::Command::new(parts.rmcp.join("rmcp-client")),
    };
    if sdk == Sdk::Python {
        command.arg(clients.join("client.py"));
    }
    command.into()
}
