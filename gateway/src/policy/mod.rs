//! The access bundle in force. Two sources offer bundles, the mounted file and the API; the newest wins, and nothing
//! goes back. Reading it takes no lock.

pub mod file;
pub mod watch;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use access::{Bundle, BundleError, Caller, HeaderNames, Index, Judge};
use api::names::SESSION_TOKEN_HEADER;
use arc_swap::ArcSwapOption;
use http::header::{AUTHORIZATION, HeaderName};
use jiff::Timestamp;

use crate::audit::redact::Redaction;
use crate::identity;
use crate::limits::bucket::Rate;
use crate::metrics::{Metrics, ReloadResult};

/// A bundle, with what every request asks of it prepared.
#[derive(Debug)]
pub struct View {
    /// The bundle.
    pub bundle: Bundle,
    /// Its revision, for audit lines.
    pub revision: String,
    /// The header of the bearer token.
    pub token: HeaderName,
    /// Headers in which the verified identity is told to the server: human, agent, team.
    pub identity: [HeaderName; 3],
    /// The header of a session token beside another identity.
    pub session: HeaderName,
    /// Every header that carries identity, and therefore never comes from a caller.
    pub secret: Vec<HeaderName>,
    /// What is left out of audit lines.
    pub redaction: Redaction,
    /// Rate limits.
    pub rates: Vec<Rate>,
    /// Whose word about callers is taken.
    pub trust: identity::Trust,
    hosts: HashSet<String>,
    index: Index,
}

/// Why a bundle was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Of another server.
    #[error("the access bundle is of {found}, this gateway is of {expected}")]
    OtherServer {
        /// Namespace and name in the bundle.
        found: String,
        /// Namespace and name by the flags.
        expected: String,
    },
    /// A header name in it is none.
    #[error("the access bundle names a header {0:?}, which cannot be one")]
    Header(String),
    /// A network in it is none.
    #[error("the access bundle names a network {0:?}, which is none")]
    Network(String),
}

/// Where a bundle comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The mounted file.
    File,
    /// The API server.
    Api,
}

/// What became of an offered bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is in force now.
    Taken,
    /// It was in force already.
    Known,
    /// A newer one is in force.
    Older,
}

impl View {
    pub(crate) fn new(bundle: Bundle) -> Result<Self, Error> {
        let header = |name: &str| {
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::Header(name.to_owned()))
        };
        let names = &bundle.headers;
        let token = header(&names.token)?;
        let identity = [
            header(&names.human)?,
            header(&names.agent)?,
            header(&names.team)?,
        ];
        let session = header(&names.session)?;
        let mut secret = vec![
            token.clone(),
            session.clone(),
            HeaderName::from_static(SESSION_TOKEN_HEADER),
        ];
        secret.extend(identity.clone());
        // A server may read the usual names whatever this one calls them.
        let usual = HeaderNames::default();
        for name in [&usual.session, &usual.human, &usual.agent, &usual.team] {
            let name = header(name)?;
            if !secret.contains(&name) {
                secret.push(name);
            }
        }
        let (server, namespace) = (&bundle.server, &bundle.namespace);
        let own =
            ["", ".svc", ".svc.cluster.local"].map(|end| format!("{server}.{namespace}{end}"));
        let hosts = bundle.hosts.iter().map(|host| host.to_ascii_lowercase());
        let hosts = hosts.chain(own).chain([server.clone()]).collect();
        Ok(Self {
            revision: bundle.revision(),
            redaction: Redaction::new(&bundle.audit_redact),
            rates: Rate::all(&bundle),
            token,
            identity,
            session,
            secret,
            trust: identity::Trust::new(&bundle).map_err(Error::Network)?,
            hosts,
            index: Index::of(&bundle),
            bundle,
        })
    }

    /// Who decides about one caller now.
    pub fn judge<'a>(&'a self, caller: &'a Caller, now: Timestamp) -> Judge<'a> {
        Judge::indexed(&self.bundle, &self.index, caller, now)
    }

    /// Whether a `Host` is this server's: a name of its Service with any port, or one of the bundle's, which stand
    /// for any port unless they name one.
    pub fn is_own_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            Some(_) | None => host.as_str(),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        self.hosts.contains(&host) || self.hosts.contains(name)
    }

    /// Whether a browser page of this origin may call.
    pub fn is_allowed_origin(&self, origin: &str) -> bool {
        self.bundle
            .origins
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }

    /// A path at which the MCP endpoint is.
    pub fn endpoint(&self) -> &str {
        self.bundle.paths.first().map_or("/mcp", String::as_str)
    }

    /// Whether the MCP endpoint is at this path.
    pub fn is_endpoint(&self, path: &str) -> bool {
        self.bundle.paths.iter().any(|endpoint| endpoint == path)
    }
}

/// The bundle in force.
#[derive(Debug)]
pub struct Store {
    view: ArcSwapOption<View>,
    changes: tokio::sync::watch::Sender<u64>,
    /// Keeps two sources from taking in at the same time; readers never wait for it.
    taking: Mutex<()>,
    began: Instant,
    confirmed: AtomicU64,
    namespace: String,
    server: String,
    metrics: Arc<Metrics>,
}

impl Store {
    /// Without a bundle, for this server.
    pub fn new(
        namespace: impl Into<String>,
        server: impl Into<String>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            view: ArcSwapOption::empty(),
            changes: tokio::sync::watch::Sender::new(0),
            taking: Mutex::new(()),
            began: Instant::now(),
            confirmed: AtomicU64::new(0),
            namespace: namespace.into(),
            server: server.into(),
            metrics,
        }
    }

    /// The bundle in force.
    pub fn view(&self) -> Option<Arc<View>> {
        self.view.load_full()
    }

    /// Tells of every new bundle.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Namespace and name of the server.
    pub fn server(&self) -> (&str, &str) {
        (&self.namespace, &self.server)
    }

    /// Takes a bundle in, unless a newer one is in force.
    pub fn offer(&self, text: &str, source: Source) -> Result<Offered, Error> {
        let result = self.take(text);
        let outcome = match &result {
            Ok(Offered::Taken) => ReloadResult::Taken,
            Ok(Offered::Known) => ReloadResult::Known,
            Ok(Offered::Older) => ReloadResult::Older,
            Err(_) => ReloadResult::Refused,
        };
        self.metrics.reloaded(source, outcome);
        result
    }

    fn take(&self, text: &str) -> Result<Offered, Error> {
        let bundle = Bundle::from_json(text)?;
        if (bundle.namespace.as_str(), bundle.server.as_str()) != self.server() {
            return Err(Error::OtherServer {
                found: format!("{}/{}", bundle.namespace, bundle.server),
                expected: format!("{}/{}", self.namespace, self.server),
            });
        }
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = bundle.sequence;
        match self.view.load().as_ref().map(|view| view.bundle.sequence) {
            Some(known) if known == sequence => return Ok(Offered::Known),
            Some(known) if known > sequence => return Ok(Offered::Older),
            Some(_) | None => {}
        }
        let view = View::new(bundle)?;
        tracing::info!(sequence, revision = %view.revision, "access bundle in force");
        self.view.store(Some(Arc::new(view)));
        self.metrics.sequence(sequence);
        self.changes.send_replace(sequence);
        Ok(Offered::Taken)
    }

    /// Notes that the source that counts was reachable just now.
    pub fn confirm(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.confirmed.store(millis, Ordering::Relaxed);
    }

    /// How long ago that was.
    pub fn age(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(
            self.confirmed.load(Ordering::Relaxed),
        ))
    }

    /// Whether the bundle could not be confirmed for longer than its policy allows.
    pub fn is_stale(&self, view: &View) -> bool {
        self.freshness(view).is_none()
    }

    /// How long the bundle may still decide without being confirmed again; `None` when it may not any more.
    pub fn freshness(&self, view: &View) -> Option<Duration> {
        Duration::from_secs(view.bundle.max_staleness_seconds).checked_sub(self.age())
    }
}

/// Whether the caller's token is in `Authorization`, which has a scheme before it.
pub fn has_scheme(header: &HeaderName) -> bool {
    *header == AUTHORIZATION
}

#[cfg(test)]
mod tests {
    use access::Settings;
    use api::{MCPServer, MCPServerSpec};

    use super::*;

    fn bundle(sequence: u64) -> Bundle {
        let mut settings = Settings::new("team-a", "weather");
        settings.hosts = vec![
            "MCP.example.com".to_owned(),
            "other.example.com:8443".to_owned(),
        ];
        settings.origins = vec!["https://app.example.com".to_owned()];
        let server = MCPServer::new("weather", MCPServerSpec::default());
        access::compile(&settings, &server, &[], &[], jiff::Timestamp::UNIX_EPOCH)
            .with_sequence(sequence)
    }

    fn store() -> Store {
        Store::new("team-a", "weather", Arc::new(Metrics::new().0))
    }

    #[test]
    fn the_newest_bundle_wins_whatever_the_order() {
        let store = store();
        let offer = |sequence| {
            store
                .offer(&bundle(sequence).to_json(), Source::File)
                .unwrap()
        };
        assert_eq!(offer(3), Offered::Taken);
        assert_eq!(offer(2), Offered::Older);
        assert_eq!(offer(3), Offered::Known);
        assert_eq!(offer(4), Offered::Taken);
        assert_eq!(store.view().unwrap().bundle.sequence, 4);
    }

    #[test]
    fn what_is_no_bundle_of_this_server_leaves_the_last_good_one() {
        let store = store();
        store.offer(&bundle(1).to_json(), Source::File).unwrap();
        let other = bundle(9)
            .to_json()
            .replace("\"server\":\"weather\"", "\"server\":\"other\"");
        let header = bundle(9)
            .to_json()
            .replace("X-MCP-Human-ID", "not a header");
        for text in ["", "{}", &other, &header] {
            assert!(store.offer(text, Source::Api).is_err(), "{text}");
        }
        assert_eq!(store.view().unwrap().bundle.sequence, 1);
    }

    #[test]
    fn hosts_are_the_services_names_and_the_bundles() {
        let view = View::new(bundle(1)).unwrap();
        for host in [
            "weather",
            "weather:80",
            "weather.team-a",
            "weather.team-a.svc:8091",
            "Weather.team-a.svc.cluster.local.",
            "mcp.example.com",
            "mcp.example.com:443",
            "other.example.com:8443",
        ] {
            assert!(view.is_own_host(host), "{host}");
        }
        for host in [
            "",
            "localhost",
            "127.0.0.1:8091",
            "other.example.com",
            "weather.team-b",
            "mcp.example.com.evil.test",
        ] {
            assert!(!view.is_own_host(host), "{host}");
        }
    }
}
