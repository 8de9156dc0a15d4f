//! Where the other binaries are, and how this process becomes one of them.
//!
//! Beside the real path of this binary first (krew links only `kubectl-mcp`, so symlinks are resolved), then on `PATH`
//! under both spellings (krew turns dashes into underscores).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use common::called::VERSION_VARIABLE;
use common::verbs::Verb;

/// The places where siblings are looked for, in order.
#[derive(Debug)]
pub(crate) struct Siblings {
    beside: Option<PathBuf>,
    path: Vec<PathBuf>,
}

impl Siblings {
    /// The places of this process.
    pub(crate) fn from_env() -> Self {
        let here = std::env::current_exe().and_then(std::fs::canonicalize).ok();
        let path = std::env::var_os("PATH")
            .map(|path| std::env::split_paths(&path).collect())
            .unwrap_or_default();
        Self {
            beside: here.and_then(|exe| exe.parent().map(Path::to_owned)),
            path,
        }
    }

    /// The file of a binary, if it is installed.
    pub(crate) fn find(&self, binary: &str) -> Option<PathBuf> {
        let plain = file_name(binary);
        if let Some(file) = self
            .beside
            .as_ref()
            .map(|directory| directory.join(&plain))
            .filter(|file| is_program(file))
        {
            return Some(file);
        }
        let underscored = file_name(&binary.replacen("kubectl-mcp-", "kubectl-mcp_", 1));
        // An empty entry of PATH means the current directory: never run anything from there.
        let on_path = |name: &str| {
            self.path
                .iter()
                .filter(|d| d.is_absolute())
                .map(|d| d.join(name))
                .find(|file| is_program(file))
        };
        on_path(&plain).or_else(|| on_path(&underscored))
    }
}

fn file_name(binary: &str) -> String {
    format!("{binary}{}", std::env::consts::EXE_SUFFIX)
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file)
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

/// Runs the sibling with the verb in `argv[0]`; on Unix this process becomes it and does not come back.
#[cfg(unix)]
pub(crate) fn become_it(
    path: &Path,
    verb: &Verb,
    args: Vec<OsString>,
) -> std::io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    let name = format!("kubectl-mcp-{}", verb.name);
    Err(command(path, args).arg0(OsStr::new(&name)).exec())
}

/// Runs the sibling and passes its exit code on. The verb goes in a hidden flag, because `argv[0]` cannot be chosen.
#[cfg(not(unix))]
pub(crate) fn become_it(
    path: &Path,
    verb: &Verb,
    args: Vec<OsString>,
) -> std::io::Result<ExitCode> {
    let verb = [
        OsString::from(common::called::VERB_FLAG),
        OsString::from(verb.name),
    ];
    let status = command(path, [verb.to_vec(), args].concat()).status()?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::from(super::FAILED), ExitCode::from))
}

/// The sibling compares the version it finds in its environment with its own, which costs no second process.
fn command(path: &Path, args: Vec<OsString>) -> Command {
    let mut command = Command::new(path);
    command
        .args(args)
        .env(VERSION_VARIABLE, OsStr::new(common::VERSION));
    command
}
