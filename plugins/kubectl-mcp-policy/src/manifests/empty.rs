//! When there is nothing to judge: a run that looks at nothing must not pass for one that found nothing.

use std::path::{Path, PathBuf};

use common::Printer;
use common::printer::{HINT, styled};

use super::{Problem, Read, paths, shown};

/// What to type where manifests lie deeper.
const DEEPER: &str = "add -R: there are manifests in its directories";

/// Not one object of any kind is in what was named.
pub(super) fn nothing(named: &[PathBuf]) -> Problem {
    let (first, more) = named
        .split_first()
        .map_or((Path::new("-"), 0), |(first, more)| (first, more.len()));
    let others = match more {
        0 => String::new(),
        more => format!(", nor in the {more} other names that were given"),
    };
    Problem {
        file: shown(first),
        place: None,
        message: format!("there is no object in it{others}"),
        hint: None,
    }
}

/// A directory or a pattern that stands for no manifest.
pub(super) fn no_manifest(path: &Path, recursive: bool) -> Problem {
    Problem {
        file: shown(path),
        place: None,
        message: "no file in it is a manifest (.yaml, .yml, .json)".to_owned(),
        hint: (!recursive && paths::holds_more(path)).then(|| DEEPER.to_owned()),
    }
}

impl Read {
    /// Says on standard error that everything that was read is of other kinds, and where more may be.
    pub(crate) fn say_that_there_is_nothing(&self, to: &str, verbose: bool, printer: &mut Printer) {
        if self.objects.is_empty() {
            return;
        }
        let flag = if verbose { "" } else { " (-v counts them)" };
        let others = match self.objects.len() {
            1 => "the one object that was read is of another kind".to_owned(),
            count => format!("all {count} objects that were read are of other kinds"),
        };
        printer.note(format_args!(
            "There is no object of {}/{} to {to}: {others}{flag}.",
            api::GROUP,
            api::VERSION
        ));
        for path in self.flat.iter().filter(|path| paths::holds_more(path)) {
            let path = shown(path);
            printer.note(format_args!("{} {DEEPER}: {path}", styled(HINT, "hint:")));
        }
    }
}
