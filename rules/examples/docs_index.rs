//! Prints `docs/rules/README.md`; `cargo xtask gen` runs it.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(rules::docs_index().as_bytes())
}
