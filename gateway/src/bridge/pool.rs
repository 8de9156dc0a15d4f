//! The conversations that a bridge holds: who shares which, how many there may be, and when they end.
//!
//! A conversation is opened when somebody needs it, initialised, and held until it is idle or the server ends it. The
//! next request then opens another and initialises it the same way; nothing that may have run is sent again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::channel::Connect;
use super::conversation::{Conversation, Hello};
use super::{Draft, Error, Scope, Settings, held, wire};
use crate::protocol::{Era, META_CAPABILITIES, META_VERSION, MODERN, NEWEST_LEGACY};
use crate::upstream;

/// How long a server may take to answer `server/discover` before it is taken for one that does not know it.
const PROBE: Duration = Duration::from_secs(10);
/// How long a server may take to initialise.
const START: Duration = Duration::from_secs(60);
/// How long to wait for the place of a conversation that was ended for another.
const PLACE: Duration = Duration::from_secs(10);

/// Who may use a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// One legacy session, by its id.
    Session(String),
    /// One principal.
    Principal(String),
    /// Everybody.
    Everybody,
}

/// As what a conversation was begun: two clients that would initialise differently do not share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Profile {
    /// With `initialize`, for this version and these client capabilities.
    Legacy {
        version: String,
        capabilities: String,
    },
    /// Without.
    Modern,
}

/// What tells conversations apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) owner: Owner,
    pub(super) profile: Profile,
}

/// The place of a conversation, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    own: Option<Arc<AtomicUsize>>,
}

#[cfg(test)]
impl Place {
    /// One of `places`, which must have one.
    pub(super) fn new(places: &Arc<Semaphore>, own: Arc<AtomicUsize>) -> Self {
        own.fetch_add(1, Ordering::Relaxed);
        Self {
            _permit: Arc::clone(places).try_acquire_owned().unwrap(),
            own: Some(own),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            own.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Where a conversation is held. Locked while one is being opened.
type Seat = Arc<tokio::sync::Mutex<Option<Arc<Conversation>>>>;

/// The conversations of a bridge.
#[derive(Debug)]
pub(super) struct Pool {
    connect: Arc<dyn Connect>,
    settings: Settings,
    /// The principal that everybody is whom nobody knows.
    anonymous: String,
    places: Arc<Semaphore>,
    /// How many of the conversations are the gateway's own.
    own: Arc<AtomicUsize>,
    seats: Mutex<HashMap<Key, Seat>>,
    /// Which era the server speaks with modern callers, once it is known.
    spoken: tokio::sync::Mutex<Option<Era>>,
    numbers: AtomicU64,
}

impl Pool {
    pub(super) fn new(connect: Arc<dyn Connect>, settings: Settings) -> Self {
        Self {
            connect,
            settings,
            anonymous: access::Caller::anonymous().identity.principal(),
            places: Arc::new(Semaphore::new(settings.most)),
            own: Arc::default(),
            seats: Mutex::default(),
            spoken: tokio::sync::Mutex::default(),
            numbers: AtomicU64::new(0),
        }
    }

    /// The key of a legacy session's conversation. Anonymous callers are strangers, though they are one principal.
    pub(super) fn legacy_key(&self, session: &str, principal: &str, draft: &Draft) -> Key {
        let owner = match self.settings.scope {
            Scope::Principal if principal == self.anonymous => Owner::Session(session.to_owned()),
            Scope::Principal => Owner::Principal(principal.to_owned()),
            Scope::Session => Owner::Session(session.to_owned()),
            Scope::Shared => Owner::Everybody,
        };
        let profile = if owner == Owner::Everybody {
            own_profile()
        } else {
            Profile::Legacy {
                version: draft.version.clone(),
                capabilities: draft.capabilities.clone(),
            }
        };
        Key { owner, profile }
    }

    /// The conversation of a legacy session, initialised with `params` if it is new.
    pub(super) async fn legacy(&self, key: &Key, params: &str) -> Result<Arc<Conversation>, Error> {
        let seat = self.seat(key);
        let mut seat = seat.lock().await;
        if let Some(conversation) = seat.as_ref().filter(|c| !c.is_over()) {
            return Ok(Arc::clone(conversation));
        }
        let own = own_initialize();
        let params = if key.owner == Owner::Everybody {
            &own
        } else {
            params
        };
        let conversation = self.open(&key.owner).await?;
        match initialize(&conversation, params).await {
            Ok(()) => {}
            // A server of the modern era only says so, and can still serve what both eras have.
            Err(Error::Refused(refusal)) => {
                if !discover(&conversation).await {
                    conversation.end();
                    return Err(Error::Refused(refusal));
                }
            }
            Err(error) => {
                conversation.end();
                return Err(error);
            }
        }
        *seat = Some(Arc::clone(&conversation));
        Ok(conversation)
    }

    /// The conversation for modern requests of a principal. Its [`Hello`] says whether they must be translated.
    pub(super) async fn modern(&self, principal: &str) -> Result<Arc<Conversation>, Error> {
        let owner = match self.settings.scope {
            // They have no session by which strangers could be told apart.
            Scope::Principal | Scope::Session if principal == self.anonymous => Owner::Everybody,
            Scope::Principal | Scope::Session => Owner::Principal(principal.to_owned()),
            Scope::Shared => Owner::Everybody,
        };
        let mut spoken = self.spoken.lock().await;
        let era = if let Some(era) = *spoken {
            era
        } else {
            let (era, conversation) = self.probe(&owner).await?;
            let seat = self.seat(&modern_key(owner.clone(), era));
            let mut seat = seat.lock().await;
            *spoken = Some(era);
            match seat.as_ref().filter(|c| !c.is_over()) {
                Some(_) => conversation.end(),
                None => *seat = Some(conversation),
            }
            era
        };
        drop(spoken);
        let key = modern_key(owner, era);
        if era == Era::Legacy {
            return self.legacy(&key, &own_initialize()).await;
        }
        let seat = self.seat(&key);
        let mut seat = seat.lock().await;
        if let Some(conversation) = seat.as_ref().filter(|c| !c.is_over()) {
            return Ok(Arc::clone(conversation));
        }
        let conversation = self.open(&key.owner).await?;
        if !discover(&conversation).await {
            conversation.end();
            return Err(upstream::Error::Start(
                "it does not answer server/discover any more".to_owned(),
            )
            .into());
        }
        *seat = Some(Arc::clone(&conversation));
        Ok(conversation)
    }

    /// Finds out which era the server speaks, and hands on the conversation in which it said so.
    async fn probe(&self, owner: &Owner) -> Result<(Era, Arc<Conversation>), Error> {
        let conversation = self.open(owner).await?;
        if discover(&conversation).await {
            return Ok((Era::Modern, conversation));
        }
        // Whatever it answered, or did not: only `initialize` shows that it speaks the other era.
        match initialize(&conversation, &own_initialize()).await {
            Ok(()) => Ok((Era::Legacy, conversation)),
            Err(error) => {
                conversation.end();
                Err(error)
            }
        }
    }

    fn seat(&self, key: &Key) -> Seat {
        let mut seats = held(&self.seats);
        Arc::clone(seats.entry(key.clone()).or_default())
    }

    async fn open(&self, owner: &Owner) -> Result<Arc<Conversation>, Error> {
        let place = self.place(owner).await?;
        let pipe = self.connect.open().await?;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        // Callers who must not see each other's messages share it.
        let shared = *owner == Owner::Everybody;
        Ok(Conversation::start(number, pipe, shared, place))
    }

    /// A place for one more conversation. One that nobody's session needs makes room; the gateway's own is waited for.
    async fn place(&self, owner: &Owner) -> Result<Place, upstream::Error> {
        let until = Instant::now() + PLACE;
        let mut ending = false;
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
                break permit;
            }
            ending = ending || self.end_unneeded();
            let freed_soon = ending || self.own.load(Ordering::Relaxed) > 0;
            if !freed_soon || Instant::now() > until {
                return Err(upstream::Error::Busy);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let is_own = *owner == Owner::Principal(String::new());
        let own = is_own.then(|| Arc::clone(&self.own));
        if let Some(own) = &own {
            own.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Place {
            _permit: permit,
            own,
        })
    }

    /// Ends the longest unused conversation without session or request. Whether there was one.
    fn end_unneeded(&self) -> bool {
        let mut unneeded: Option<Arc<Conversation>> = None;
        for conversation in self.held_conversations() {
            let older = unneeded
                .as_ref()
                .is_none_or(|u| conversation.used() < u.used());
            if conversation.is_unneeded() && older {
                unneeded = Some(conversation);
            }
        }
        unneeded.inspect(|c| c.end()).is_some()
    }

    /// Ends what was not used for too long, gives up lost requests, and forgets what is over.
    pub(super) fn end_idle(&self) {
        for conversation in self.held_conversations() {
            conversation.cancel_lost(Instant::now());
            if conversation.is_quiet() && conversation.used().elapsed() >= self.settings.idle {
                tracing::debug!("an idle conversation with the server is ended");
                conversation.end();
            }
        }
        // A seat that somebody waits for has another owner.
        held(&self.seats).retain(|_, seat| {
            let over = |seat: &Option<Arc<Conversation>>| seat.as_ref().is_none_or(|c| c.is_over());
            Arc::strong_count(seat) > 1 || !seat.try_lock().is_ok_and(|seat| over(&seat))
        });
    }

    /// Ends one conversation.
    pub(super) fn end(&self, key: &Key) {
        let seat = held(&self.seats).remove(key);
        if let Some(seat) = seat
            && let Ok(mut seat) = seat.try_lock()
            && let Some(conversation) = seat.take()
        {
            conversation.end();
        }
    }

    /// Those that are open, but for what is being opened at this moment.
    fn held_conversations(&self) -> Vec<Arc<Conversation>> {
        let seats: Vec<Seat> = held(&self.seats).values().map(Arc::clone).collect();
        let open = seats
            .iter()
            .filter_map(|seat| seat.try_lock().ok()?.clone());
        open.filter(|conversation| !conversation.is_over())
            .collect()
    }
}

fn modern_key(owner: Owner, era: Era) -> Key {
    let profile = match era {
        Era::Modern => Profile::Modern,
        Era::Legacy => own_profile(),
    };
    Key { owner, profile }
}

/// What the bridge itself initialises with: no capabilities, because no client stands behind it.
fn own_profile() -> Profile {
    Profile::Legacy {
        version: NEWEST_LEGACY.to_owned(),
        capabilities: "{}".to_owned(),
    }
}

fn client_info() -> serde_json::Value {
    json!({ "name": "mcp-gateway", "version": env!("CARGO_PKG_VERSION") })
}

fn own_initialize() -> String {
    let info = client_info();
    json!({ "protocolVersion": NEWEST_LEGACY, "capabilities": {}, "clientInfo": info }).to_string()
}

/// Initialises a conversation in the legacy era.
async fn initialize(conversation: &Arc<Conversation>, params: &str) -> Result<(), Error> {
    let asked = conversation.ask("initialize", Some(params));
    let answer = tokio::time::timeout(START, asked).await;
    let answer = answer.map_err(|_| upstream::Error::Timeout)?;
    let ended = || upstream::Error::Start("it ended while it was initialised".to_owned());
    let result = answer.ok_or_else(ended)?.map_err(Error::Refused)?;
    let known = wire::Object::read(&result).and_then(|r| r.string("protocolVersion"));
    if known.is_none() {
        let why = "its answer to initialize has no protocolVersion";
        return Err(upstream::Error::Start(why.to_owned()).into());
    }
    conversation.greet(Hello {
        era: Era::Legacy,
        result,
    });
    Ok(())
}

/// Asks the modern way; whether the server speaks it.
async fn discover(conversation: &Arc<Conversation>) -> bool {
    let params = json!({ "_meta": {
        META_VERSION: MODERN[0], META_CAPABILITIES: {}, "io.modelcontextprotocol/clientInfo": client_info(),
    } })
    .to_string();
    let asked = conversation.ask("server/discover", Some(&params));
    let Ok(Some(Ok(result))) = tokio::time::timeout(PROBE, asked).await else {
        return false;
    };
    let value: serde_json::Value = serde_json::from_str(&result).unwrap_or_default();
    let versions = value["supportedVersions"].as_array();
    let speaks = versions.is_some_and(|all| all.iter().any(|v| v == MODERN[0]));
    if speaks {
        conversation.greet(Hello {
            era: Era::Modern,
            result,
        });
    }
    speaks
}

#[cfg(test)]
mod tests {
    use super::super::channel::Opening;
    use super::*;

    #[derive(Debug)]
    struct Nowhere;

    impl Connect for Nowhere {
        fn open(&self) -> Opening<'_> {
            Box::pin(async { Err(upstream::Error::Busy) })
        }
    }

    #[test]
    fn anonymous_sessions_do_not_share_a_conversation() {
        let settings = Settings {
            scope: Scope::Principal,
            most: 1,
            idle: Duration::from_secs(1),
        };
        let pool = Pool::new(Arc::new(Nowhere), settings);
        let draft = Draft {
            params: "{}".to_owned(),
            version: NEWEST_LEGACY.to_owned(),
            capabilities: "{}".to_owned(),
        };
        let nobody = access::Caller::anonymous().identity.principal();
        let key = |session: &str, principal: &str| pool.legacy_key(session, principal, &draft);
        assert_ne!(key("a", &nobody), key("b", &nobody));
        assert_eq!(key("a", "alice"), key("b", "alice"));
    }
}
