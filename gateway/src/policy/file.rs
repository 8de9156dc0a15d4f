//! The bundle as a mounted file, read again every little while: the kubelet swaps a symlink, which a watch on the
//! file would not see.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::names::BUNDLE_KEY;

use super::{Source, Store};

/// How the file is followed.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder with the file.
    pub directory: PathBuf,
    /// How often it is read.
    pub every: Duration,
    /// Whether reading it confirms the bundle: only where there is no API to ask.
    pub confirms: bool,
}

/// Follows the file for ever. What cannot be read leaves the last good bundle in force, and is logged once.
pub async fn follow(store: Arc<Store>, options: Options) {
    let path = options.directory.join(BUNDLE_KEY);
    let mut last: Option<Result<String, String>> = None;
    let mut tick = tokio::time::interval(options.every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let read = read(&path).await;
        let readable = read.is_ok();
        if last.as_ref() != Some(&read) {
            match &read {
                Ok(text) => take(&store, text, &path),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the access bundle cannot be read");
                }
            }
            last = Some(read);
        }
        if readable && options.confirms {
            store.confirm();
        }
        store.metrics.age(store.age());
    }
}

async fn read(path: &Path) -> Result<String, String> {
    tokio::fs::read_to_string(path)
        .await
        .map_err(|error| error.to_string())
}

fn take(store: &Store, text: &str, path: &Path) {
    if let Err(error) = store.offer(text, Source::File) {
        tracing::warn!(path = %path.display(), %error, "the access bundle is refused, the last good one stays in force");
    }
}
