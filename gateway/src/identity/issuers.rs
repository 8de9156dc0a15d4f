//! The keys of issuers, kept fresh in the background.
//!
//! One task for each issuer asks for its keys every [`REFRESH`]. A token whose key is not known lets the task ask
//! earlier, but never twice within [`GAP`], however many tokens come: no caller decides about requests beyond that.
//! When the issuer does not answer, its last keys stay in use for [`STALE`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::fetch::{self, Fetcher};
use super::jwks::KeySet;
use super::jwt::{Claims, Error, Unverified};

/// How often keys are asked for.
pub const REFRESH: Duration = Duration::from_secs(300);
/// The least time between two questions.
pub const GAP: Duration = Duration::from_secs(10);
/// How long keys are good without an answer.
pub const STALE: Duration = Duration::from_secs(3600);
/// How long a question may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a request waits for keys.
const WAIT: Duration = Duration::from_secs(5);
/// Most issuers that are followed: those of a bundle, and some of an earlier one.
const MOST: usize = 32;

/// Whose keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An OAuth issuer's.
    OAuth {
        /// Its name and URL.
        issuer: String,
        /// Where its keys are; discovered when absent.
        keys: Option<String>,
    },
    /// The API server's, for tokens of service accounts.
    Cluster,
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::OAuth { issuer, .. } => issuer,
            Self::Cluster => "the API server",
        }
    }
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// By its own fault.
    #[error(transparent)]
    Token(#[from] Error),
    /// Nobody can tell: there are no keys.
    #[error("the issuer's keys cannot be had")]
    Unavailable,
}

/// All issuers that were asked about. One for the process.
#[derive(Debug)]
pub struct Issuers {
    fetcher: Arc<Fetcher>,
    keepers: ArcSwap<HashMap<Source, Arc<Keeper>>>,
    starting: Mutex<()>,
}

impl Issuers {
    /// Without any yet; an issuer is followed from the first token that names it on.
    pub fn new(fetcher: Fetcher) -> Self {
        Self {
            fetcher: Arc::new(fetcher),
            keepers: ArcSwap::default(),
            starting: Mutex::new(()),
        }
    }

    /// The keeper of a source. Sources come from the bundle, never from a caller.
    pub fn keeper(&self, source: &Source) -> Arc<Keeper> {
        if let Some(keeper) = self.keepers.load().get(source) {
            return Arc::clone(keeper);
        }
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keepers = HashMap::clone(&self.keepers.load());
        if keepers.len() >= MOST {
            keepers.clear();
        }
        let keeper = keepers
            .entry(source.clone())
            .or_insert_with(|| Keeper::start(source.clone(), Arc::clone(&self.fetcher)));
        let keeper = Arc::clone(keeper);
        self.keepers.store(Arc::new(keepers));
        keeper
    }
}

/// Follows the keys of one issuer. Ends with its last owner.
#[derive(Debug)]
pub struct Keeper {
    state: watch::Receiver<State>,
    wanted: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is known of an issuer.
#[derive(Clone, Debug, Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    asked: Option<Instant>,
}

impl State {
    fn keys(&self) -> Option<Arc<KeySet>> {
        let (keys, since) = self.keys.as_ref()?;
        (since.elapsed() < STALE).then(|| Arc::clone(keys))
    }
}

impl Keeper {
    fn start(source: Source, fetcher: Arc<Fetcher>) -> Arc<Self> {
        let (sender, state) = watch::channel(State::default());
        let wanted = Arc::new(Notify::new());
        let task = tokio::spawn(follow(source, fetcher, sender, Arc::clone(&wanted)));
        Arc::new(Self {
            state,
            wanted,
            task: task.abort_handle(),
        })
    }

    /// The keys, unless they are too old to be trusted.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.state.borrow().keys()
    }

    /// The claims of a token, and the keys that it was checked with.
    pub async fn claims<'t>(
        &self,
        token: &'t Unverified<'_>,
    ) -> Result<(&'t Claims, Arc<KeySet>), NotTaken> {
        let known = self.keys();
        if let Some(keys) = &known {
            match token.verify(keys) {
                Err(Error::Key) => {}
                Ok(claims) => return Ok((claims, Arc::clone(keys))),
                Err(error) => return Err(error.into()),
            }
        }
        match (self.newer().await, known) {
            (Some(keys), _) => Ok((token.verify(&keys)?, keys)),
            (None, Some(_)) => Err(Error::Key.into()),
            (None, None) => Err(NotTaken::Unavailable),
        }
    }

    /// The keys of an answer that comes from now on, if the issuer may be asked.
    async fn newer(&self) -> Option<Arc<KeySet>> {
        let mut state = self.state.clone();
        let asked = state.borrow_and_update().asked;
        if asked.is_some_and(|asked| asked.elapsed() < GAP) {
            return None;
        }
        self.wanted.notify_one();
        tokio::time::timeout(WAIT, state.changed())
            .await
            .ok()?
            .ok()?;
        let state = state.borrow();
        state.keys()
    }
}

/// Asks for ever.
async fn follow(
    source: Source,
    fetcher: Arc<Fetcher>,
    state: watch::Sender<State>,
    wanted: Arc<Notify>,
) {
    let mut failing = false;
    loop {
        let answer = tokio::time::timeout(DEADLINE, fetcher.keys(&source)).await;
        let answer = answer.unwrap_or(Err(fetch::Error::Timeout(DEADLINE)));
        let pause = if answer.is_ok() { REFRESH } else { GAP };
        match answer {
            Ok(_) if failing => tracing::info!(issuer = source.name(), "the keys can be had again"),
            Err(ref error) if !failing => {
                tracing::warn!(issuer = source.name(), %error, "the keys cannot be had, the last ones stay in use for {STALE:?}");
            }
            Ok(_) | Err(_) => {}
        }
        failing = answer.is_err();
        state.send_modify(|state| state.take(answer.ok()));
        tokio::time::sleep(GAP).await;
        tokio::select! {
            () = tokio::time::sleep(pause.saturating_sub(GAP)) => {}
            () = wanted.notified() => {}
        }
    }
}

impl State {
    /// Equal keys stay the same, so that what was checked with them stays checked.
    fn take(&mut self, answer: Option<KeySet>) {
        let now = Instant::now();
        self.asked = Some(now);
        if let Some(new) = answer {
            let keys = match self.keys.take() {
                Some((known, _)) if *known == new => known,
                Some(_) | None => Arc::new(new),
            };
            self.keys = Some((keys, now));
        }
    }
}
