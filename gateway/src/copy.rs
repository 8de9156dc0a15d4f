//! `mcp-gateway copy DEST`: puts this program where another container of the pod can run it. An image that has nothing
//! but this program has no `cp`.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// Copies the own binary to `to`, readable and executable by everybody. It appears there whole or not at all.
///
/// # Errors
/// When it cannot be read or written.
pub fn run(to: &Path) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("cannot find the own program")?;
    let mut part = OsString::from(to);
    part.push(".part");
    let copied = std::fs::copy(&own, &part)
        .and_then(|_| std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o555)))
        .and_then(|()| std::fs::rename(&part, to));
    copied.with_context(|| format!("cannot copy {} to {}", own.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_can_be_run_by_everybody_and_replaces_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("mcp-gateway");
        std::fs::write(&to, "older").unwrap();
        run(&to).unwrap();
        let mode = std::fs::metadata(&to).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o555);
        let own = std::fs::metadata(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(std::fs::metadata(&to).unwrap().len(), own.len());
    }

    #[test]
    fn a_place_that_is_not_there_is_named() {
        let error = run(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(
            format!("{error:#}").contains("/nowhere/at/all"),
            "{error:#}"
        );
    }
}
