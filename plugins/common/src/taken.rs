//! Waits until the operator has taken a change: a change that is only stored is not yet enforced.
//!
//! Called by the verbs that give and take access away, after the write and never after a dry run.

use std::time::Duration;

use kube::Api;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use crate::api_error::During as _;
use crate::error::{Error, Result};

/// How long the operator is given.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until `taken` holds for each of the objects, at most 5 seconds for all of them together. An object that is
/// gone meanwhile is none that could be taken.
///
/// # Errors
/// When the operator does not take them in time, or when they may not be looked at.
pub async fn wait_until_taken<K>(
    api: &Api<K>,
    names: &[String],
    taken: impl Fn(&K) -> bool,
) -> Result<()>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let deadline = Instant::now() + PATIENCE;
    for name in names {
        match timeout_at(deadline, wait_for_one(api, name, &taken)).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                return Err(Error::failed(format!(
                    "stored, but not yet enforced: the operator did not take it within {} s",
                    PATIENCE.as_secs()
                ))
                .with_hint("kubectl mcp check"));
            }
        }
    }
    Ok(())
}

async fn wait_for_one<K>(api: &Api<K>, name: &str, taken: impl Fn(&K) -> bool) -> Result<()>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    loop {
        match api.get_opt(name).await {
            Ok(Some(object)) if taken(&object) => return Ok(()),
            Ok(None) => return Ok(()),
            Err(error) if is_final(&error) => {
                return Err(error).during(format!(
                    "stored, but whether the operator took '{name}' cannot be seen"
                ));
            }
            // Not yet, or the API server stumbled: the deadline ends it.
            Ok(Some(_)) | Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Whether asking again cannot help: the caller has no right, or made a mistake.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429)
}
