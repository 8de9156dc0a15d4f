//! Says on standard error what is being waited for: a line that moves on a terminal, a line per wait elsewhere.

use std::time::Duration;

use common::Printer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One wait.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins to wait for `what`.
    pub(crate) fn begin(printer: &mut Printer, what: &str) -> Self {
        if !printer.terminal {
            printer.note(format_args!("waiting for {what}"));
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {prefix} {wide_msg:.dim} {elapsed}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(format!("waiting for {what}"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    /// What it hangs on right now.
    pub(crate) fn hangs_on(&self, what: &str) {
        self.bar
            .set_message(what.lines().next().unwrap_or_default().to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
