//! Logs on stderr, as text for people or as JSON for machines. Audit lines and data go to stdout and never here.

use tracing_subscriber::EnvFilter;

/// How to log; flattened into the flags of every daemon.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// Form of the log lines.
    #[arg(long, env = "LOG_FORMAT", default_value = "json", value_enum)]
    pub log_format: Format,
    /// What to log: a level, or directives such as `info,kube=debug`. Of rustls only errors, because any client can make
    /// it warn.
    #[arg(long, env = "LOG_LEVEL", default_value = "info,rustls=error")]
    pub log_level: String,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For a terminal.
    Text,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--log-level` is no filter.
    #[error(
        "--log-level {given:?} must be a level such as info, or directives such as info,kube=debug: {why}"
    )]
    Filter {
        /// What was given.
        given: String,
        /// What the parser said.
        why: String,
    },
    /// A subscriber was installed before.
    #[error("logging was set up twice")]
    Twice,
}

/// Sets up the logs of the process.
pub fn init(args: &LogArgs) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&args.log_level).map_err(|e| Error::Filter {
        given: args.log_level.clone(),
        why: e.to_string(),
    })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match args.log_format {
        Format::Json => logs.json().flatten_event(true).try_init(),
        Format::Text => logs.with_ansi(false).try_init(),
    }
    .map_err(|_| Error::Twice)
}
