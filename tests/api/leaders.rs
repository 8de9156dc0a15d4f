//! Two processes that both believe to lead, in every order of their reads and writes, on a real API server: whoever
//! comes last must not leave a bundle behind that lacks the CA which replicas sign with.

use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tests::Environment;
use webhook::certificates::announce::Announcer;
use webhook::certificates::authority::Authority;
use webhook::certificates::contents::{
    CERTIFICATE_KEY, Contents, NEXT_CERTIFICATE_KEY, PREVIOUS_KEY,
};
use webhook::certificates::publish::{Publisher, Seen};
use webhook::certificates::rotation::{Known, Moment, SETTLE};

use crate::certificates::{CONFIGURATION, KINDS, bundle, entry, forget, secret_object};
use crate::fleet::{Registered, SYSTEM, base64};
use crate::platform::{Platform, Turn, WEBHOOK_LABEL};

/// One of two leaders, and what it last read.
struct Leader {
    publisher: Publisher,
    seen: Option<Seen>,
}

/// What a leader does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    Read(usize),
    Write(usize),
}
use Act::{Read, Write};

/// All orders of two leaders that each read and then write.
const ORDERS: [[Act; 4]; 6] = [
    [Read(0), Write(0), Read(1), Write(1)],
    [Read(0), Read(1), Write(0), Write(1)],
    [Read(0), Read(1), Write(1), Write(0)],
    [Read(1), Read(0), Write(0), Write(1)],
    [Read(1), Read(0), Write(1), Write(0)],
    [Read(1), Write(1), Read(0), Write(0)],
];

struct Scene {
    environment: &'static Environment,
    runtime: tokio::runtime::Runtime,
    client: Client,
    _registered: Registered<'static>,
    _turn: Turn,
}

impl Scene {
    fn new() -> Self {
        let turn = Turn::wait();
        let platform = Platform::bare();
        let environment = &platform.environment;
        platform
            .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}));
        forget(environment);
        // Nobody listens there, and no namespace has the label.
        let registered = Registered::new(platform, CONFIGURATION, 1, WEBHOOK_LABEL, None);
        // Another test of this process may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let file = Kubeconfig::read_from(&environment.kubeconfig).expect("a kubeconfig");
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(file, &options).await;
            Client::try_from(config.expect("a configuration")).expect("a client")
        });
        Self {
            environment,
            runtime,
            client,
            _registered: registered,
            _turn: turn,
        }
    }

    fn leader(&self, known: Option<&Contents>) -> Leader {
        let memory = Known::default();
        memory.store(known.cloned().map(Arc::new));
        let announcer = Arc::new(Announcer::new(self.client.clone(), SYSTEM, "leader"));
        Leader {
            publisher: Publisher::new(self.client.clone(), SYSTEM, memory, announcer),
            seen: None,
        }
    }

    fn act(&self, leaders: &mut [Leader], act: Act, now: Moment) {
        self.runtime.block_on(async {
            match act {
                Read(at) => {
                    leaders[at].seen = Some(leaders[at].publisher.read().await.expect("it reads"));
                }
                Write(at) => {
                    let seen = leaders[at].seen.take().expect("it read before");
                    leaders[at]
                        .publisher
                        .act(seen, now)
                        .await
                        .expect("it writes or gives way");
                }
            }
        });
    }

    /// Every bundle trusts the CAs in these entries of the Secret, as far as they are there.
    fn expect_trust(&self, keys: &[&str], when: &str) {
        let roots: Vec<_> = keys
            .iter()
            .filter_map(|key| entry(self.environment, key))
            .collect();
        assert!(!roots.is_empty(), "{when}: there is no CA");
        for kind in KINDS {
            let bundle = bundle(self.environment, kind).unwrap_or_default();
            for root in &roots {
                assert!(
                    bundle.contains(root.as_str()),
                    "{when}: {kind} lacks a CA of the Secret"
                );
            }
        }
    }

    fn edit_bundles(&self) {
        let stranger = Authority::generate(Timestamp::now())
            .expect("a CA")
            .root()
            .pem();
        let edit = json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": base64(stranger.as_bytes())}]);
        for kind in KINDS {
            self.environment
                .kubectl(&[
                    "patch",
                    kind,
                    CONFIGURATION,
                    "--type=json",
                    "-p",
                    &edit.to_string(),
                ])
                .expect_ok();
        }
    }

    /// Runs an order: whoever came last, the CA that replicas sign with is trusted. Then both look once more, and the
    /// one that they will sign with is trusted too.
    fn run(&self, leaders: &mut [Leader; 2], order: [Act; 4], now: [Moment; 2], what: &str) {
        for act in order {
            let (Read(at) | Write(at)) = act;
            self.act(leaders, act, now[at]);
        }
        self.expect_trust(&[CERTIFICATE_KEY], &format!("{what}, {order:?}"));
        for at in [0, 1] {
            self.act(leaders, Read(at), now[at]);
            self.act(leaders, Write(at), now[at]);
        }
        let when = format!("{what}, {order:?} and another look");
        self.expect_trust(&[CERTIFICATE_KEY, NEXT_CERTIFICATE_KEY], &when);
    }
}

fn now() -> Moment {
    Moment::now()
}

fn later(days: i64) -> Moment {
    let hours = SignedDuration::from_hours(24 * days);
    Moment {
        wall: Timestamp::now() + hours,
        steady: Instant::now(),
    }
}

fn made() -> Contents {
    Contents::sole(Authority::generate(Timestamp::now()).expect("a CA"))
}

#[test]
fn two_leaders_that_both_find_no_secret_agree_on_one_ca() {
    let scene = Scene::new();
    for order in ORDERS {
        forget(scene.environment);
        let mut leaders = [scene.leader(None), scene.leader(None)];
        scene.run(&mut leaders, order, [now(), now()], "without a Secret");
    }
}

#[test]
fn two_leaders_that_both_write_back_a_lost_ca_agree_on_its_successor() {
    let scene = Scene::new();
    for order in ORDERS {
        forget(scene.environment);
        let known = made();
        let mut leaders = [scene.leader(Some(&known)), scene.leader(Some(&known))];
        scene.run(&mut leaders, order, [now(), now()], "after a loss");
        let current = entry(scene.environment, CERTIFICATE_KEY);
        assert_eq!(current, Some(known.current.root().pem()));
    }
}

/// The dangerous case: one leader makes a successor known while the other puts an edited bundle back, computed from the
/// Secret as it was before.
#[test]
fn a_leader_that_is_behind_does_not_take_the_successor_out_of_the_bundle() {
    let scene = Scene::new();
    for order in ORDERS {
        Platform::bare().apply(&secret_object(&made()));
        scene.edit_bundles();
        let mut leaders = [scene.leader(None), scene.leader(None)];
        // For the second leader the CA is due.
        scene.run(&mut leaders, order, [now(), later(500)], "with a successor");
        let successor = entry(scene.environment, NEXT_CERTIFICATE_KEY).expect("it was due");
        promote(&scene, &mut leaders, &successor, order);
        forget(scene.environment);
    }
}

/// The second leader promotes the successor while the first, which read before that, puts an edited bundle back.
fn promote(scene: &Scene, leaders: &mut [Leader; 2], successor: &str, order: [Act; 4]) {
    let begin = later(500);
    let settled = Moment {
        steady: begin.steady + SETTLE,
        ..begin
    };
    // A look that sees the bundle published begins the wait.
    scene.act(leaders, Read(1), begin);
    scene.act(leaders, Write(1), begin);
    scene.act(leaders, Read(1), settled);
    scene.edit_bundles();
    scene.act(leaders, Read(0), now());
    scene.act(leaders, Write(1), settled);
    scene.act(leaders, Write(0), now());
    let current = entry(scene.environment, CERTIFICATE_KEY);
    assert_eq!(
        current.as_deref(),
        Some(successor),
        "promoted after {order:?}"
    );
    let keys = [CERTIFICATE_KEY, PREVIOUS_KEY];
    scene.expect_trust(&keys, &format!("promoted after {order:?}"));
}

/// What it computed from the Secret of long ago meets a conflict, not the bundle of today.
#[test]
fn a_leader_that_slept_through_a_rotation_does_not_write_the_bundle_of_before() {
    let scene = Scene::new();
    Platform::bare().apply(&secret_object(&made()));
    scene.edit_bundles();
    let mut leaders = [scene.leader(None), scene.leader(None)];
    scene.act(&mut leaders, Read(0), now());
    let begin = later(500);
    let settled = Moment {
        steady: begin.steady + SETTLE,
        ..begin
    };
    for moment in [begin, begin, settled] {
        scene.act(&mut leaders, Read(1), moment);
        scene.act(&mut leaders, Write(1), moment);
    }
    assert!(
        entry(scene.environment, PREVIOUS_KEY).is_some(),
        "the successor was promoted"
    );
    scene.act(&mut leaders, Write(0), now());
    scene.expect_trust(&[CERTIFICATE_KEY, PREVIOUS_KEY], "after the sleeper wrote");
    forget(scene.environment);
}
