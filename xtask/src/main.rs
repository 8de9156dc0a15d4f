//! `cargo xtask`: what people and CI run besides cargo itself.
//!
//! This file only reads the command line; each task is one module. Nothing here is shipped.

mod arrows;
mod bench;
mod binaries;
mod cluster;
mod conformance;
mod demo;
mod r#gen;
mod image;
mod issuer;
mod matrix;
mod paths;
mod redis;
mod shell;
mod soak;
mod terminal;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Bring up a cluster, install everything and show the main job, step by step
    Demo(demo::Args),
    /// Run every layer of tests that this machine can run
    Test(test::Args),
    /// Measure what the gateway and the webhook cost, on a release build
    Bench(bench::Args),
    /// Load the gateway for half an hour while its bundle changes, and use connections to the webhook again for an hour
    Soak(soak::Args),
    /// Try every server with every client in both protocol eras, through the gateway
    Matrix(matrix::Args),
    /// Write the generated files (CRDs, install manifests)
    Gen(r#gen::Args),
    /// Build the images as OCI archives, without Docker
    Image(image::Args),
    /// A real Kubernetes on this machine, built from Go modules
    Cluster(cluster::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Soak(args) => soak::run(&args),
        Task::Matrix(args) => matrix::run(&args),
        Task::Gen(args) => r#gen::run(&args),
        Task::Image(args) => image::run(&args),
        Task::Cluster(args) => cluster::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            terminal::note(&format!("error: {error:#}"));
            ExitCode::from(3)
        }
    }
}
