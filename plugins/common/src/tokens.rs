//! The caller's own session tokens: one 0600 file per cluster, namespace and server.
//!
//! Written by `session create`, read by `server call`. The cluster's address is part of the path, so that a token is
//! never sent to another cluster whose context happens to have the same name.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::cluster::Cluster;
use crate::error::{Error, Result};

/// A token as it stands in its file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredToken {
    /// Name of the `MCPAgentSession`.
    pub session: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The bearer token.
    pub token: String,
}

// Not derived, so that the token reaches no log.
impl std::fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredToken")
            .field("session", &self.session)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// The tokens of one cluster, as one caller uses it.
#[derive(Clone, Debug)]
pub struct TokenStore {
    directory: PathBuf,
}

impl TokenStore {
    /// The tokens of that cluster under `KUBECTL_MCP_HOME`, else `$XDG_STATE_HOME/kubectl-mcp`, else
    /// `~/.local/state/kubectl-mcp`.
    pub fn open(cluster: &Cluster) -> Result<Self> {
        let home = home().ok_or_else(|| {
            Error::failed("there is no place for session tokens: neither KUBECTL_MCP_HOME, XDG_STATE_HOME nor HOME is set")
                .with_hint("export KUBECTL_MCP_HOME=<a directory of your own>")
        })?;
        Ok(Self::at(
            &home,
            &cluster.context,
            &cluster.url,
            cluster.acting_as.as_deref(),
        ))
    }

    fn at(home: &Path, context: &str, url: &str, acting_as: Option<&str>) -> Self {
        let mut hash = Sha256::new();
        hash.update(url);
        if let Some(user) = acting_as {
            hash.update([0]);
            hash.update(user);
        }
        let hash = hash.finalize();
        let short = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        Self {
            directory: home
                .join("sessions")
                .join(format!("{}-{short:08x}", file_name(context))),
        }
    }

    /// The file of that server's token.
    pub fn path(&self, namespace: &str, server: &str) -> PathBuf {
        self.directory
            .join(file_name(namespace))
            .join(format!("{}.json", file_name(server)))
    }

    /// The token for that server, if there is one, expired or not.
    pub fn read(&self, namespace: &str, server: &str) -> Result<Option<StoredToken>> {
        let path = self.path(namespace, server);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(Error::File {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            // The position only: the text around it may be a token.
            Error::failed(format!(
                "{} is no token file (line {})",
                path.display(),
                error.line()
            ))
            .with_hint(format!(
                "rm '{}'    (and make a new session)",
                path.display()
            ))
        })
    }

    /// Stores a token, readable by this user only. An older one for the same server is replaced.
    pub fn write(&self, namespace: &str, server: &str, token: &StoredToken) -> Result<PathBuf> {
        let path = self.path(namespace, server);
        let directory = path.parent().unwrap_or(&self.directory);
        private_directory(directory)?;
        let text =
            serde_json::to_vec_pretty(token).map_err(|error| Error::failed(error.to_string()))?;
        // A file of its own that takes the other's place: never readable by others, never half written.
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = private_file(&temporary)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&temporary, &path));
        written.map_err(|source| {
            let _ = std::fs::remove_file(&temporary);
            Error::File {
                action: "write",
                path: path.clone(),
                source,
            }
        })?;
        Ok(path)
    }

    /// Forgets a server's token. There need not be one.
    pub fn forget(&self, namespace: &str, server: &str) -> Result<()> {
        let path = self.path(namespace, server);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
                action: "remove",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }
}

fn home() -> Option<PathBuf> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("KUBECTL_MCP_HOME")
        .or_else(|| variable("XDG_STATE_HOME").map(|state| state.join("kubectl-mcp")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/kubectl-mcp")))
        .or_else(|| variable("LOCALAPPDATA").map(|data| data.join("kubectl-mcp")))
}

/// A name that cannot leave its directory: contexts may be called `arn:aws:eks:...:cluster/x` or `..`.
fn file_name(text: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
            c
        } else {
            '_'
        }
    };
    let name: String = text.chars().take(100).map(safe).collect();
    match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None if name.is_empty() => "_".to_owned(),
        None => name,
    }
}

fn private_directory(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| Error::File {
        action: "make",
        path: path.to_owned(),
        source,
    })
}

fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(home: &Path) -> TokenStore {
        TokenStore::at(
            home,
            "arn:aws:eks:eu:1:cluster/x",
            "https://127.0.0.1:6443",
            None,
        )
    }

    fn token() -> StoredToken {
        StoredToken {
            session: "s".to_owned(),
            expires_at: Timestamp::UNIX_EPOCH,
            token: "mcps_secret".to_owned(),
        }
    }

    #[test]
    fn a_token_is_read_back_and_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        assert_eq!(store.read("ns", "weather").unwrap(), None);
        store.write("ns", "weather", &token()).unwrap();
        store.write("ns", "weather", &token()).unwrap();
        assert_eq!(store.read("ns", "weather").unwrap(), Some(token()));
        store.forget("ns", "weather").unwrap();
        store.forget("ns", "weather").unwrap();
        assert_eq!(store.read("ns", "weather").unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_a_token() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let path = store(home.path()).write("ns", "weather", &token()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn contexts_of_the_same_name_on_two_clusters_do_not_share_tokens() {
        let home = Path::new("/h");
        let one = TokenStore::at(home, "dev", "https://a", None).path("ns", "s");
        let other = TokenStore::at(home, "dev", "https://b", None).path("ns", "s");
        let acting = TokenStore::at(home, "dev", "https://a", Some("bob")).path("ns", "s");
        assert!(one != other && one != acting && other != acting);
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let path =
            TokenStore::at(Path::new("/h"), "..", "u", None).path("../../etc", "passwd/../x");
        assert!(
            path.starts_with("/h/sessions") && !path.components().any(|c| c.as_os_str() == ".."),
            "{path:?}"
        );
    }

    #[test]
    fn a_broken_token_file_is_not_quoted() {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        let path = store.write("ns", "weather", &token()).unwrap();
        std::fs::write(&path, "mcps_secret").unwrap();
        let error = store.read("ns", "weather").unwrap_err().render();
        assert!(
            !error.contains("mcps_secret") && error.contains("hint: rm"),
            "{error}"
        );
    }
}
