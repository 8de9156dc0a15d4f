//! Where a plugin's words go: data to standard output, everything else to standard error.
//!
//! The only place that writes to either. A closed pipe (`| head`) ends the output silently.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write};

use anstyle::{AnsiColor, Style};

use crate::error::Error;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Flags of every verb that say how it speaks.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TerminalArgs {
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    pub color: Color,
}

/// Red, for errors and what is denied.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Yellow, for warnings and what could not be looked at.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Green, for what is well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Cyan, for hints.
pub const HINT: Style = AnsiColor::Cyan.on_default();

/// `text` in that style; whether the style is seen is up to the stream.
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// The two streams of a process, or of a test.
pub struct Printer {
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    closed: bool,
    /// Whether standard error is a terminal, so that progress may be drawn there.
    pub terminal: bool,
}

impl Printer {
    /// The streams of this process.
    pub fn new(color: Color) -> Self {
        let choice = match color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        Self {
            stdout: Box::new(anstream::AutoStream::new(std::io::stdout(), choice)),
            stderr: Box::new(anstream::AutoStream::new(std::io::stderr(), choice)),
            closed: false,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Any two streams; nothing of what is written is a terminal.
    pub fn to_streams(stdout: Box<dyn Write + Send>, stderr: Box<dyn Write + Send>) -> Self {
        Self {
            stdout,
            stderr,
            closed: false,
            terminal: false,
        }
    }

    /// One line, or several, of data.
    pub fn line(&mut self, text: impl Display) {
        self.data(format!("{text}\n").as_bytes());
    }

    /// Data as it is, without a newline.
    pub fn data(&mut self, bytes: &[u8]) {
        if !self.closed
            && self
                .stdout
                .write_all(bytes)
                .and_then(|()| self.stdout.flush())
                .is_err()
        {
            self.closed = true;
        }
    }

    /// One line for people, on standard error.
    pub fn note(&mut self, text: impl Display) {
        // Nobody is left to be told when standard error is gone.
        let _ = writeln!(self.stderr, "{text}");
    }

    /// Words on standard error without a newline, for a question.
    pub fn ask(&mut self, text: impl Display) {
        let _ = write!(self.stderr, "{text}").and_then(|()| self.stderr.flush());
    }

    /// `warning: ...` on standard error.
    pub fn warning(&mut self, text: impl Display) {
        self.note(format_args!("{} {text}", styled(WARN, "warning:")));
    }

    /// `error: ...` and `hint: ...` on standard error.
    pub fn error(&mut self, error: &Error) {
        self.note(format_args!("{} {error}", styled(BAD, "error:")));
        if let Some(hint) = error.hint() {
            self.note(format_args!("{} {hint}", styled(HINT, "hint:")));
        }
    }

    /// Whether the reader of standard output has gone, so that following can stop.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}
