//! `cargo xtask test`: every layer of tests that this machine can run, each with what it needs brought up before it
//! and taken down after it.
//!
//! The tests themselves are ordinary `cargo test` targets; what they need to know is in environment variables, which
//! `tests/cluster/README.md` lists. A layer that cannot run is named with its reason, and under `CI=true` is a failure.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cluster::{Cluster, Mode, alive};
use crate::conformance::Parts;
use crate::r#gen;
use crate::image::{self, EVERYTHING, Everything, Profile};
use crate::shell::{capture, run as run_command};
use crate::{arrows, issuer, paths, redis, terminal};

/// Options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this layer; may be given more than once
    #[arg(long = "layer", value_enum, value_name = "NAME")]
    layers: Vec<Layer>,
    /// Write the recorded texts (what kubectl prints) instead of comparing them
    #[arg(long)]
    write: bool,
    /// Only tests whose name contains this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Layer {
    /// Every crate by itself
    Unit,
    /// The binaries as processes on loopback, with real MCP servers
    Process,
    /// The operator and the webhook on a real API server without nodes
    Api,
    /// Everything on a real cluster with pods
    Cluster,
}

impl Layer {
    const ALL: [Self; 4] = [Self::Unit, Self::Process, Self::Api, Self::Cluster];

    fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Process => "process",
            Self::Api => "api",
            Self::Cluster => "cluster",
        }
    }

    /// Why this machine cannot run it; none if it can.
    fn obstacle(self) -> Option<&'static str> {
        match self {
            Self::Unit | Self::Process => None,
            Self::Api => {
                (!cfg!(target_os = "linux")).then_some("the local control plane is built for Linux")
            }
            Self::Cluster => Cluster::cannot_run_node(),
        }
    }
}

/// What became of one layer.
enum Outcome {
    Ran {
        counts: Counts,
        succeeded: bool,
        took: Duration,
    },
    Broken {
        reason: String,
        took: Duration,
    },
    LeftOut {
        reason: &'static str,
    },
}

/// Numbers of tests, from the lines that `cargo test` ends each binary with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
}

/// Runs the layers; the last line on stdout is `N passed, N failed`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    sweep()?;
    let strict = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    let layers = Layer::ALL
        .into_iter()
        .filter(|layer| args.layers.is_empty() || args.layers.contains(layer));
    let outcomes: Vec<(Layer, Outcome)> = layers
        .map(|layer| (layer, run_layer(layer, args)))
        .collect();

    terminal::result("");
    let mut total = Counts::default();
    let mut good = true;
    for (layer, outcome) in &outcomes {
        let line = match outcome {
            Outcome::Ran {
                counts,
                succeeded,
                took,
            } => {
                total.passed += counts.passed;
                total.failed += counts.failed;
                good &= succeeded;
                let problem = if *succeeded || counts.failed > 0 {
                    ""
                } else {
                    "; cargo test itself failed"
                };
                format!(
                    "{} passed, {} failed, {} s{problem}",
                    counts.passed,
                    counts.failed,
                    took.as_secs()
                )
            }
            Outcome::Broken { reason, took } => {
                good = false;
                format!("could not run, {} s: {reason}", took.as_secs())
            }
            Outcome::LeftOut { reason } => {
                good &= !strict;
                let verdict = if strict {
                    "; with CI=true that is a failure"
                } else {
                    ""
                };
                format!("left out because {reason}{verdict}")
            }
        };
        terminal::result(&format!("{:<10}{line}", layer.name()));
    }
    terminal::result(&format!("{} passed, {} failed", total.passed, total.failed));
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn run_layer(layer: Layer, args: &Args) -> Outcome {
    terminal::result(&format!("\n=== {} ===", layer.name()));
    if let Some(reason) = layer.obstacle() {
        terminal::result(&format!("left out because {reason}"));
        return Outcome::LeftOut { reason };
    }
    let start = Instant::now();
    let ran = match layer {
        Layer::Unit => unit(args),
        Layer::Process => process(args),
        Layer::Api => api(args),
        Layer::Cluster => cluster(args),
    };
    match ran {
        Ok((counts, succeeded)) => Outcome::Ran {
            counts,
            succeeded,
            took: start.elapsed(),
        },
        Err(error) => {
            let reason = format!("{error:#}");
            terminal::note(&format!("error: {reason}"));
            Outcome::Broken {
                reason,
                took: start.elapsed(),
            }
        }
    }
}

/// Every crate but those whose tests need a server that nobody here wrote. The generated files and the arrows between the
/// crates are checked first.
fn unit(args: &Args) -> Result<(Counts, bool)> {
    r#gen::check()?;
    arrows::check()?;
    let target = ["--workspace", "--exclude", "tests", "--exclude", "gateway"];
    cargo_test(&target, &[], args)
}

fn process(args: &Args) -> Result<(Counts, bool)> {
    let (node, server) = Everything::prepare()?.command();
    let mut environment = vec![
        ("KUBECTL_MCP_TEST_NODE", node.into_os_string()),
        ("KUBECTL_MCP_TEST_EVERYTHING", server.into_os_string()),
        (
            "KUBECTL_MCP_TEST_STDIO",
            image::stdio::prepare()?.into_os_string(),
        ),
        (
            "KUBECTL_MCP_TEST_ISSUER",
            issuer::prepare()?.into_os_string(),
        ),
    ];
    environment.extend(Parts::prepare()?.environment());
    match redis::program() {
        Ok(program) => environment.push(("KUBECTL_MCP_TEST_REDIS", program.into_os_string())),
        // With CI=true the tests themselves fail.
        Err(error) => terminal::note(&format!("tests with Redis are left out: {error:#}")),
    }
    // Its test of the watch needs an API server, and is part of that layer.
    let target = [
        "-p",
        "gateway",
        "--lib",
        "--bins",
        "--test",
        "everything",
        "--test",
        "refusals",
        "--test",
        "smuggling",
        "--test",
        "conformance",
        "--test",
        "clients",
        "--test",
        "matrix",
        "--test",
        "exec",
        "--test",
        "stdio",
        "--test",
        "identity",
        "--test",
        "identity_oauth",
        "--test",
        "soak",
        "--test",
        "limits",
        "--test",
        "limits_redis",
        "--test",
        "audit",
        "--test",
        "traces",
        "--test",
        "hostile",
        "--test",
        "remote",
        "--test",
        "upstreams",
        "--test",
        "sessions",
        "--test",
        "lifecycle",
        "--test",
        "patience",
    ];
    cargo_test(&target, &environment, args)
}

fn api(args: &Args) -> Result<(Counts, bool)> {
    let cluster = Cluster::at(&temporary(std::process::id())?)?;
    let down = Down(cluster.clone());
    cluster.up(Mode::ControlPlane)?;
    let environment = [
        (
            "KUBECTL_MCP_TEST_BIN",
            binaries(cluster.programs())?.into_os_string(),
        ),
        (
            "KUBECTL_MCP_TEST_KUBECONFIG",
            cluster.kubeconfig().into_os_string(),
        ),
    ];
    let target = [
        "-p", "tests", "--test", "api", "-p", "gateway", "--test", "watch",
    ];
    let ran = cargo_test(&target, &environment, args);
    drop(down);
    ran
}

fn cluster(args: &Args) -> Result<(Counts, bool)> {
    let cluster = Cluster::default_one()?;
    let found = cluster.has_node();
    // What is built does not need the cluster, so it comes first: a failure then leaves nothing behind.
    let mut images = image::build(Profile::Quick)?;
    let everything = Everything::prepare()?;
    images.push(everything.image);
    let down = if found {
        terminal::note("a cluster runs already: it is used, and stays up");
        None
    } else {
        Some(Down(cluster.clone()))
    };
    cluster.up(Mode::Full)?;
    image::deliver(&cluster, &images)?;
    let environment = [
        (
            "KUBECTL_MCP_TEST_BIN",
            binaries(cluster.programs())?.into_os_string(),
        ),
        (
            "KUBECTL_MCP_TEST_KUBECONFIG",
            cluster.kubeconfig().into_os_string(),
        ),
        ("KUBECTL_MCP_TEST_NODE_IP", cluster.address()?.into()),
        ("KUBECTL_MCP_TEST_IMAGE", EVERYTHING.into()),
        ("KUBECTL_MCP_TEST_PROBE", cluster.probe_image().into()),
    ];
    let ran = cargo_test(&["-p", "tests", "--test", "cluster"], &environment, args);
    drop(down);
    ran
}

/// Ends a cluster when the layer is over, also when it failed.
pub(crate) struct Down(pub(crate) Cluster);

impl Drop for Down {
    fn drop(&mut self) {
        if let Err(error) = self.0.down(false) {
            terminal::note(&format!("warning: {error:#}"));
        }
    }
}

/// The folder of the control plane that the test run with this process id starts.
pub(crate) fn temporary(pid: u32) -> Result<PathBuf> {
    Ok(paths::cache()?.join(format!("test-{pid}")))
}

/// Ends the control planes of test runs that were interrupted.
fn sweep() -> Result<()> {
    let Ok(entries) = fs::read_dir(paths::cache()?) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix("test-"))
            .and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| !alive(pid)) {
            Cluster::at(&entry.path())?.down(false)?;
        }
    }
    Ok(())
}

/// Builds all binaries of the project and links them into one folder, with the cluster's `kubectl`.
fn binaries(programs: &Path) -> Result<PathBuf> {
    run_command(cargo().args(["build", "--workspace", "--bins", "--exclude", "xtask"]))?;
    let listed = capture(
        cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit()),
    )?;
    let metadata: serde_json::Value =
        serde_json::from_str(&listed).context("cargo metadata wrote no JSON")?;
    let folder = paths::target().join("test-bin");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let link = |from: PathBuf, name: &str| {
        std::os::unix::fs::symlink(&from, folder.join(name))
            .with_context(|| format!("cannot link {}", from.display()))
    };
    for name in binary_names(&metadata) {
        link(paths::target().join("debug").join(name), name)?;
    }
    link(programs.join("kubectl"), "kubectl")?;
    Ok(folder)
}

/// The binaries in the output of `cargo metadata`, without this program.
fn binary_names(metadata: &serde_json::Value) -> Vec<&str> {
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let targets = packages
        .iter()
        .flat_map(|package| package["targets"].as_array().map_or(&[][..], Vec::as_slice));
    targets
        .filter(|target| {
            target["kind"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
        })
        .filter_map(|target| target["name"].as_str())
        .filter(|name| *name != "xtask")
        .collect()
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::workspace()).stdin(Stdio::null());
    command
}

/// Runs `cargo test`, shows its output as it comes and counts. The second value is false if anything failed.
fn cargo_test(
    target: &[&str],
    environment: &[(&str, OsString)],
    args: &Args,
) -> Result<(Counts, bool)> {
    let mut command = cargo();
    command
        .arg("test")
        .args(target)
        .arg("--no-fail-fast")
        .stdout(Stdio::piped());
    // What a passing test prints is a figure, or what it left out.
    command.args(["--", "--show-output"]).args(&args.filter);
    for (name, value) in environment {
        command.env(name, value);
    }
    if args.write {
        command.env("KUBECTL_MCP_TEST_WRITE", "1");
    }
    let mut child = command.spawn().context("cannot start cargo")?;
    let mut counts = Counts::default();
    let stdout = child.stdout.take().context("stdout was asked for")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cargo test wrote no UTF-8")?;
        if let Some(found) = test_result(&line) {
            counts.passed += found.passed;
            counts.failed += found.failed;
        }
        terminal::result(&line);
    }
    let status = child.wait().context("lost cargo")?;
    if status.code().is_none() {
        bail!("cargo test was ended by a signal ({status})");
    }
    Ok((counts, status.success()))
}

/// The numbers in `test result: ok. 5 passed; 0 failed; 1 ignored; ...`.
fn test_result(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| -> Option<u64> {
        numbers
            .split("; ")
            .find_map(|part| part.strip_suffix(word))?
            .trim()
            .parse()
            .ok()
    };
    Some(Counts {
        passed: number(" passed")?,
        failed: number(" failed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_a_passing_and_of_a_failing_binary_are_read() {
        let ok = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(
            test_result(ok),
            Some(Counts {
                passed: 12,
                failed: 0
            })
        );
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        assert_eq!(
            test_result(bad),
            Some(Counts {
                passed: 3,
                failed: 2
            })
        );
    }

    #[test]
    fn a_line_of_a_test_is_no_count() {
        assert_eq!(test_result("test a ... ok"), None);
        assert_eq!(test_result("test result: unknown"), None);
    }

    #[test]
    fn binaries_are_named_and_libraries_are_not() {
        let metadata = serde_json::json!({"packages": [
            {"targets": [{"kind": ["lib"], "name": "webhook"}, {"kind": ["bin"], "name": "mcp-webhook"}]},
            {"targets": [{"kind": ["bin"], "name": "xtask"}]},
        ]});
        assert_eq!(binary_names(&metadata), ["mcp-webhook"]);
    }
}
