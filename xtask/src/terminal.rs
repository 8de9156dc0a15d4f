//! The only place that writes to the terminal: results go to stdout, everything else to stderr.
//!
//! A closed pipe is not an error of ours (`cargo xtask cluster status | head -1`), so failures to write are dropped.

use std::io::Write as _;

/// Writes one line of a result to stdout.
pub(crate) fn result(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes one line of progress or complaint to stderr.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
