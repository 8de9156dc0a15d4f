//! What can go wrong in a plugin, how it is said, and with which exit code the process ends.
//!
//! `error: <what failed>: <why>` on standard error, then `hint: <a command to type>`. One place decides the exit code.

use std::fmt::Write as _;
use std::path::PathBuf;

/// The result of everything in a plugin.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How a plugin ends. Scripts tell "found problems" from "could not look" by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and nothing found.
    Ok = 0,
    /// Looked, and found problems: a finding, a failed check, a denied call.
    Found = 1,
    /// The command line made no sense.
    Usage = 2,
    /// Could not do it: no cluster, no right, no answer.
    Failed = 3,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Everything that ends a verb early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Arguments that clap takes but that make no sense together.
    #[error("{message}")]
    Usage {
        /// What was given and what it must be.
        message: String,
        /// What to type instead.
        hint: Option<String>,
    },
    /// No usable kubeconfig.
    #[error("cannot use the kubeconfig: {message}")]
    Kubeconfig {
        /// Why.
        message: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// The API server refused, or was not reached.
    #[error("{what}: {message}")]
    Api {
        /// What the plugin was doing: `cannot get mcpserver 'weather'`.
        what: String,
        /// The API server's own words, or the transport's.
        message: String,
        /// The HTTP status of the answer; 0 when there was none.
        code: u16,
        /// What to type next.
        hint: Option<String>,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `read`, `write`, `make`, ...
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A question was answered with no, or could not be asked.
    #[error("nothing was done: {message}")]
    Declined {
        /// Why.
        message: String,
    },
    /// The verb looked and found something wrong: exit code 1.
    #[error("{message}")]
    Found {
        /// What.
        message: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// It could not be done, for a reason that is none of the above.
    #[error("{message}")]
    Failed {
        /// What and why.
        message: String,
        /// What to type next.
        hint: Option<String>,
    },
}

impl Error {
    /// A usage error without a hint.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: None,
        }
    }

    /// Something found: exit code 1.
    pub fn found(message: impl Into<String>) -> Self {
        Self::Found {
            message: message.into(),
            hint: None,
        }
    }

    /// Something that could not be done: exit code 3.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hint: None,
        }
    }

    /// The same error with what to type next. An earlier hint is replaced.
    #[must_use]
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Usage { hint, .. }
            | Self::Kubeconfig { hint, .. }
            | Self::Api { hint, .. }
            | Self::Found { hint, .. }
            | Self::Failed { hint, .. } => *hint = Some(text.into()),
            Self::File { .. } | Self::Declined { .. } => {}
        }
        self
    }

    /// What to type next.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. }
            | Self::Kubeconfig { hint, .. }
            | Self::Api { hint, .. }
            | Self::Found { hint, .. }
            | Self::Failed { hint, .. } => hint.as_deref(),
            Self::Declined { .. } => Some("add --yes to do it without being asked"),
            Self::File { .. } => None,
        }
    }

    /// With which code the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Found { .. } => Exit::Found,
            Self::Kubeconfig { .. }
            | Self::Api { .. }
            | Self::File { .. }
            | Self::Declined { .. }
            | Self::Failed { .. } => Exit::Failed,
        }
    }

    /// Whether the API server said that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { code: 404, .. })
    }

    /// Both lines, as they stand on standard error, without colour.
    pub fn render(&self) -> String {
        let mut text = format!("error: {self}");
        if let Some(hint) = self.hint() {
            let _ = write!(text, "\nhint: {hint}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_type_next() {
        let error = Error::found("the call was denied").with_hint("kubectl mcp grant create");
        assert_eq!(
            error.render(),
            "error: the call was denied\nhint: kubectl mcp grant create"
        );
        assert_eq!(error.exit(), Exit::Found);
    }

    #[test]
    fn finding_problems_and_failing_to_look_end_differently() {
        assert_ne!(Error::found("x").exit(), Error::failed("x").exit());
        assert_eq!(Error::usage("x").exit() as u8, 2);
    }
}
