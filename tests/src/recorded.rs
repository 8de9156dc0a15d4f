//! Texts that a real API server and a real `kubectl` wrote, kept in the repository and compared by the tests.
//!
//! `cargo xtask test --layer api --write` sets [`WRITE`], and then they are written instead.

use std::fs;
use std::path::{Path, PathBuf};

/// The variable that makes the tests write what they would compare.
pub const WRITE: &str = "KUBECTL_MCP_TEST_WRITE";

/// Whether recorded texts are written, not compared.
pub fn writing() -> bool {
    std::env::var_os(WRITE).is_some_and(|value| !value.is_empty())
}

/// Compares texts with files of the repository, or writes them, and complains once about all that differ.
#[derive(Debug, Default)]
pub struct Recorder {
    differences: Vec<String>,
}

impl Recorder {
    /// The file `path`, from the root of the repository, must hold this text.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn expect(&mut self, path: &str, text: &str) {
        let file = repository().join(path);
        let recorded = fs::read_to_string(&file).unwrap_or_default();
        if recorded == text {
            return;
        }
        if writing() {
            let folder = file.parent().expect("a file is in a folder");
            fs::create_dir_all(folder).expect("the folder can be made");
            fs::write(&file, text).expect("the file can be written");
        } else {
            self.differences
                .push(format!("{path}\n{}", difference(&recorded, text)));
        }
    }

    /// Fails when something differed.
    ///
    /// # Panics
    /// When something differed.
    pub fn finish(self) {
        assert!(
            self.differences.is_empty(),
            "{} recorded texts are no longer what is printed; if that is meant, record them again with \
             `cargo xtask test --layer api --write`:\n{}",
            self.differences.len(),
            self.differences.join("\n")
        );
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The lines that only one of two texts has.
fn difference(recorded: &str, printed: &str) -> String {
    let only = |sign: char, of: &str, other: &str| -> Vec<String> {
        let other: Vec<&str> = other.lines().collect();
        let lines = of.lines().filter(|line| !other.contains(line));
        lines.map(|line| format!("  {sign} {line}")).collect()
    };
    let mut lines = only('-', recorded, printed);
    lines.extend(only('+', printed, recorded));
    lines.join("\n")
}
