//! Asks before something is lost.

use std::io::IsTerminal as _;

use crate::error::{Error, Result};
use crate::printer::Printer;

/// Asks whether to do `what` (`delete mcpserver 'weather' in namespace 'team-a'`). `yes` is the `--yes` flag. Without
/// a terminal there is nobody to ask, and nothing is done.
pub fn confirm(printer: &mut Printer, yes: bool, what: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::Declined {
            message: format!("there is no terminal to ask whether to {what}"),
        });
    }
    printer.ask(format_args!("{what}? [y/N] "));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Error::Declined {
            message: "the answer was not yes".to_owned(),
        })
    }
}
