//! Years of rotations on a clock that the test moves: real TLS handshakes between clients that know a bundle and
//! replicas that learn of a new CA each in its own time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustls::client::Resumption;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::super::rotation::{OVERLAP, Rotation, SETTLE, Step};
use super::*;

/// How long a client may go on with the bundle before the present one: API servers learn by watch.
const LAG: u64 = 50;

/// Seconds since [`now`].
#[derive(Clone, Debug, Default)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn wall(&self) -> Timestamp {
        after(i64::try_from(self.seconds()).unwrap())
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.wall().as_second()).unwrap();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// A replica: its follower, and the configuration that its HTTPS server really has.
struct Replica {
    follower: Follower,
    server: Arc<ServerConfig>,
}

impl Replica {
    fn new() -> Self {
        let follower = follower();
        let server = daemon::tls::server_config(follower.certificate.clone()).unwrap();
        Self {
            follower,
            server: Arc::new(server),
        }
    }

    fn look(&mut self, at: &Contents, now: Timestamp) {
        self.follower.take(&secret(at), now).unwrap();
        self.follower.renew(now).unwrap();
    }
}

/// The Secret, what the API server's watchers are told, and everybody who lives by it.
struct World {
    clock: Clock,
    start: Instant,
    rotation: Rotation,
    contents: Contents,
    /// Every bundle that was ever published, with the second in which it was.
    bundles: Vec<(u64, ByteString)>,
    /// Every content of the Secret.
    secrets: Vec<(u64, Contents)>,
    replicas: [Replica; 2],
    promotions: u32,
    handshakes: u32,
}

impl World {
    fn new() -> Self {
        let contents = Contents::sole(made());
        let mut world = Self {
            clock: Clock::default(),
            start: Instant::now(),
            rotation: Rotation::default(),
            bundles: vec![(0, contents.bundle())],
            secrets: vec![(0, contents.clone())],
            contents,
            replicas: [Replica::new(), Replica::new()],
            promotions: 0,
            handshakes: 0,
        };
        world.look(0);
        world
    }

    /// One look of the leader, and the writes that follow from it.
    fn lead(&mut self) {
        let seconds = self.clock.seconds();
        let now = Moment {
            wall: self.clock.wall(),
            steady: self.start + Duration::from_secs(seconds),
        };
        let found = Ok(Some(self.contents.clone()));
        let (contents, step) = self.rotation.plan(found, None, true, now).unwrap();
        let Some(step) = step else {
            return;
        };
        self.promotions += u32::from(matches!(step, Step::Promoted));
        self.bundles.push((seconds, contents.bundle()));
        self.secrets.push((seconds, contents.clone()));
        self.contents = contents;
    }

    /// The first replica sees the Secret as it is, the second as it was `late` seconds ago.
    fn look(&mut self, late: u64) {
        let now = self.clock.wall();
        let then = self.clock.seconds().saturating_sub(late);
        let old = self.secrets.iter().rfind(|(since, _)| *since <= then);
        let old = old.unwrap().1.clone();
        self.replicas[0].look(&self.contents, now);
        self.replicas[1].look(&old, now);
    }

    /// The bundle in force `ago` seconds ago.
    fn bundle(&self, ago: u64) -> ByteString {
        let then = self.clock.seconds().saturating_sub(ago);
        let found = self.bundles.iter().rfind(|(since, _)| *since <= then);
        found.unwrap().1.clone()
    }

    /// Both replicas, each met by a client with the newest bundle and by one that has not heard of it yet.
    fn shake_hands(&mut self) {
        for bundle in [self.bundle(0), self.bundle(LAG)] {
            for at in 0..self.replicas.len() {
                let met = handshake(&self.replicas[at].server, &bundle, &self.clock);
                assert_eq!(met, Ok(()), "replica {at}, second {}", self.clock.seconds());
                self.handshakes += 1;
            }
        }
    }

    fn advance(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn is_rotating(&self) -> bool {
        self.contents.next.is_some() || self.contents.previous.is_some()
    }
}

/// A whole handshake in memory: the client's verdict.
fn handshake(
    server: &Arc<ServerConfig>,
    bundle: &ByteString,
    clock: &Clock,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&bundle.0) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let name = ServerName::try_from("a.test").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        receive(&wire, |bytes| server.read_tls(bytes));
        // What the client did not like, the server hears as an alert.
        let heard = server.process_new_packets();
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        receive(&wire, |bytes| client.read_tls(bytes));
        client.process_new_packets()?;
        heard?;
    }
    Ok(())
}

fn receive(mut wire: &[u8], mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>) {
    while !wire.is_empty() {
        read(&mut wire).unwrap();
    }
}

#[test]
fn three_rotations_fail_no_handshake_of_clients_and_replicas_that_learn_late() {
    let mut world = World::new();
    let mut retired = 0;
    while retired < 3 {
        let rotating = world.is_rotating();
        let settling = world.contents.next.is_some();
        let fresh = world.secrets.last().unwrap().0 + 2 * LAG > world.clock.seconds();
        world.advance(match (rotating, settling || fresh) {
            (true, true) => 5,
            (true, false) => 300,
            // Not a divisor of a leaf's life, so renewals come at different moments.
            (false, _) => 40 * 3600,
        });
        world.lead();
        // The second replica is cut off from the API server for most of the overlap.
        world.look(OVERLAP.as_secs() - 600);
        world.shake_hands();
        retired += u32::from(rotating && !world.is_rotating());
    }
    assert_eq!(world.promotions, 3);
    assert!(
        world.handshakes > 1000,
        "only {} handshakes",
        world.handshakes
    );
}

/// The client that pins bundle N is turned away only when it slept through the whole rotation, and the one that pins
/// N+1 never: what keeps the first test from passing for nothing.
#[test]
fn a_pinned_bundle_is_good_for_the_rotation_around_it_and_no_longer() {
    let mut world = World::new();
    let before = world.bundle(0);
    let years = Duration::from_secs(86_400 * 500).as_secs();
    world.advance(years);
    world.lead();
    world.look(0);
    let staged = world.bundle(0);
    let meets = |world: &World, bundle: &ByteString| {
        handshake(&world.replicas[0].server, bundle, &world.clock)
    };
    assert_eq!(meets(&world, &before), Ok(()));
    assert_eq!(meets(&world, &staged), Ok(()));

    world.lead();
    world.advance(SETTLE.as_secs());
    world.lead();
    assert_eq!(world.promotions, 1);
    assert_eq!(meets(&world, &before), Ok(()), "nobody has switched yet");
    world.look(0);
    assert!(meets(&world, &before).is_err());
    assert_eq!(meets(&world, &staged), Ok(()));

    world.lead();
    world.advance(OVERLAP.as_secs());
    world.lead();
    assert!(!world.is_rotating());
    assert_eq!(meets(&world, &staged), Ok(()));
    let after = world.bundle(0);
    assert_eq!(meets(&world, &after), Ok(()));
}

#[test]
fn a_leaf_that_nobody_renews_is_refused_after_seven_days() {
    let mut world = World::new();
    world.advance(7 * 86_400 - 3600);
    let bundle = world.bundle(0);
    let server = Arc::clone(&world.replicas[0].server);
    assert_eq!(handshake(&server, &bundle, &world.clock), Ok(()));
    world.advance(2 * 3600);
    assert!(handshake(&server, &bundle, &world.clock).is_err());
    world.look(0);
    assert_eq!(handshake(&server, &bundle, &world.clock), Ok(()));
}
