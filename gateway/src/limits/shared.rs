//! Rate limits shared by all gateways of a server, in Redis: one script takes a token from every bucket or from none.
//!
//! A call waits for Redis only a moment. When it does not answer, the caller counts locally, and a task of this
//! module tries until it answers again; that is logged once each way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::RateLimitScope;
use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisError, Script,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::Call;
use crate::metrics::Metrics;
use crate::policy::View;
use access::hex;

/// How long connecting may take, and the answer to the script's first loading.
const CONNECT: Duration = Duration::from_secs(2);
/// The first pause between two attempts to connect; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The sums of [`bucket`](super::bucket) with the clock of Redis. Takes the interval and the room of each key; gives
/// 0, or for how many microseconds to wait.
const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = (time[1] - 1700000000) * 1000000 + time[2]
local longest, all = 0, {}
for i, key in ipairs(KEYS) do
  local full = math.max(tonumber(redis.call('GET', key) or '0'), now) + ARGV[2 * i - 1]
  longest = math.max(longest, full - ARGV[2 * i] - now)
  all[i] = full
end
if longest > 0.5 then return math.ceil(longest) end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.3f', all[i]), 'PX', string.format('%.0f', math.ceil((all[i] - now) / 1000) + 1))
end
return 0
";

/// Where Redis is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host:port`.
    pub address: String,
    /// File with the password, read anew for every connection.
    pub password: Option<PathBuf>,
    /// How long a call waits for an answer.
    pub patience: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an address.
    #[error("--redis {0:?} must be a host and a port such as redis.team-a.svc:6379")]
    Address(String),
    /// The password is not there.
    #[error("the password of Redis cannot be read from {path}: {source}")]
    Password {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Redis does not answer as it should.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// Redis does not answer.
    #[error("Redis did not answer within {CONNECT:?}")]
    Slow,
}

/// The buckets in Redis.
#[derive(Debug)]
pub struct Shared {
    connection: ArcSwapOption<MultiplexedConnection>,
    lost: Notify,
    script: Script,
    address: ConnectionAddr,
    options: Options,
    metrics: Arc<Metrics>,
}

impl Shared {
    /// Connects, and keeps connecting, in a task of its own.
    ///
    /// # Errors
    /// When the address is none. That nobody answers there is no error.
    pub fn start(options: Options, metrics: Arc<Metrics>) -> Result<Arc<Self>, Error> {
        let wrong = || Error::Address(options.address.clone());
        let (host, port) = options.address.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() {
            return Err(wrong());
        }
        let shared = Arc::new(Self {
            connection: ArcSwapOption::empty(),
            lost: Notify::new(),
            script: Script::new(SCRIPT),
            address: ConnectionAddr::Tcp(host.to_owned(), port),
            options,
            metrics,
        });
        tokio::spawn(keep_connected(Arc::clone(&shared)));
        Ok(shared)
    }

    /// Takes a token from every bucket that the call falls under, or from none and says how long to wait. `None`
    /// when Redis does not answer.
    pub async fn take(&self, view: &View, call: &Call<'_>) -> Option<Result<(), Duration>> {
        let connection = self.connection.load_full()?;
        let mut script = self.script.prepare_invoke();
        let mut any = false;
        for rate in view
            .rates
            .iter()
            .filter(|rate| call.falls_under(&rate.entry))
        {
            any = true;
            if rate.entry.scope == RateLimitScope::Subject {
                let subject = Sha256::digest(call.principal.as_bytes());
                script.key(format!("{}:{}", rate.key, hex(&subject[..16])));
            } else {
                script.key(&rate.key);
            }
            script.arg(rate.quota.interval).arg(rate.quota.room);
        }
        if !any {
            return Some(Ok(()));
        }
        let mut own = (*connection).clone();
        let answer = script.invoke_async::<u64>(&mut own);
        match tokio::time::timeout(self.options.patience, answer).await {
            Ok(Ok(0)) => Some(Ok(())),
            Ok(Ok(wait)) => Some(Err(Duration::from_micros(wait))),
            Ok(Err(error)) => self.lose(&connection, &error.to_string()),
            Err(_) => self.lose(&connection, "it did not answer in time"),
        }
    }

    /// Gives up a connection, unless somebody else has.
    fn lose<T>(&self, connection: &Arc<MultiplexedConnection>, why: &str) -> Option<T> {
        let before = self.connection.compare_and_swap(connection, None);
        if before
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, connection))
        {
            tracing::warn!(
                why,
                "Redis is gone: this gateway counts rate limits by itself until it is back"
            );
            self.metrics.redis(false);
            self.lost.notify_one();
        }
        None
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Error> {
        let mut login = RedisConnectionInfo::default();
        if let Some(path) = &self.options.password {
            let password = tokio::fs::read_to_string(path).await;
            let password = password.map_err(|source| Error::Password {
                path: path.clone(),
                source,
            })?;
            login = login.set_password(password.trim_end_matches(['\r', '\n']));
        }
        let client = Client::open(
            self.address
                .clone()
                .into_connection_info()?
                .set_redis_settings(login),
        )?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(CONNECT));
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let loading = self.script.load_async(&mut connection);
        tokio::time::timeout(CONNECT, loading)
            .await
            .map_err(|_| Error::Slow)??;
        Ok(connection)
    }
}

/// Connects whenever there is no connection, for ever.
async fn keep_connected(shared: Arc<Shared>) {
    let mut told = false;
    let mut pause = FIRST_PAUSE;
    loop {
        match shared.connect().await {
            Ok(connection) => {
                shared.connection.store(Some(Arc::new(connection)));
                shared.metrics.redis(true);
                tracing::info!("rate limits are shared in Redis");
                pause = FIRST_PAUSE;
                shared.lost.notified().await;
                // That it is gone was said by who found out.
                told = true;
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "no connection to Redis: this gateway counts rate limits by itself until there is one");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
