//! The webhook's own certificates when something goes wrong with them, on a real API server, with the rights that
//! `setup` gives the webhook's ServiceAccount. A load through the API server says whether anybody noticed.
#![allow(clippy::print_stdout, reason = "the test run shows the figures")]

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use tests::{Balancer, Environment, Server, eventually};
use webhook::certificates::authority::Authority;
use webhook::certificates::contents::{
    CERTIFICATE_KEY, Contents, NEXT_CERTIFICATE_KEY, PREVIOUS_KEY, PRIVATE_KEY,
};

use crate::fleet::{Load, Registered, Replica, SYSTEM, asked_in, base64, service_account, summary};
use crate::platform::{Platform, Turn, WEBHOOK_LABEL};

pub(crate) const CONFIGURATION: &str = "mcp-webhook";
const SECRET: &str = "mcp-webhook-ca";

/// Two webhooks that make their own certificates, behind one address, and the turn to have them.
struct Fleet {
    replicas: [Replica; 2],
    environment: &'static Environment,
    _balancer: Balancer,
    _registered: Registered<'static>,
    _folder: tempfile::TempDir,
    _turn: Turn,
}

impl Fleet {
    /// Starts it over a Secret that holds `contents`, or over none.
    fn start(contents: Option<&Contents>) -> Self {
        let turn = Turn::wait();
        let platform = Platform::bare();
        let environment = &platform.environment;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kubeconfig = service_account(platform, folder.path());
        forget(environment);
        if let Some(contents) = contents {
            platform.apply(&secret_object(contents));
        }
        let balancer = Balancer::start();
        let registered =
            Registered::new(platform, CONFIGURATION, balancer.port, WEBHOOK_LABEL, None);
        let url = format!("--url=https://127.0.0.1:{}", balancer.port);
        let start = || Replica::start(environment, &[&url, "--drain=1s"], &kubeconfig);
        let replicas = [start(), start()];
        for replica in &replicas {
            balancer.add(replica.port, Some(replica.admin));
        }
        Self {
            replicas,
            environment,
            _balancer: balancer,
            _registered: registered,
            _folder: folder,
            _turn: turn,
        }
    }

    /// Waits until the API server asks it about objects of the namespace.
    fn serve(&self, namespace: &str) {
        asked_in(
            self.environment,
            namespace,
            WEBHOOK_LABEL,
            &[&self.replicas[0], &self.replicas[1]],
        );
    }
}

/// Deletes the Secret and the lease of the test before.
pub(crate) fn forget(environment: &Environment) {
    for what in [format!("secret/{SECRET}"), format!("lease/{CONFIGURATION}")] {
        environment
            .kubectl(&["delete", &what, "-n", SYSTEM, "--ignore-not-found"])
            .expect_ok();
    }
}

pub(crate) fn secret_object(contents: &Contents) -> Value {
    let secret = Secret {
        data: Some(contents.entries()),
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    };
    let mut object = serde_json::to_value(secret).expect("a Secret is JSON");
    object["metadata"] = json!({"name": SECRET, "namespace": SYSTEM});
    object
}

fn decoded(value: &Value) -> Option<String> {
    let text = base64::engine::general_purpose::STANDARD.decode(value.as_str()?);
    String::from_utf8(text.ok()?).ok()
}

/// An entry of the CA Secret.
pub(crate) fn entry(environment: &Environment, key: &str) -> Option<String> {
    let secret = environment.get(&["secret", SECRET, "-n", SYSTEM])?;
    decoded(&secret["data"][key])
}

/// The bundle of the first webhook of a configuration.
pub(crate) fn bundle(environment: &Environment, kind: &str) -> Option<String> {
    let configuration = environment.get(&[kind, CONFIGURATION])?;
    decoded(&configuration["webhooks"][0]["clientConfig"]["caBundle"])
}

pub(crate) const KINDS: [&str; 2] = [
    "mutatingwebhookconfiguration",
    "validatingwebhookconfiguration",
];

fn expect_event(environment: &Environment, reason: &str) {
    eventually(&format!("the event {reason}"), || {
        let events = environment
            .get(&["events", "-n", SYSTEM])
            .ok_or("no answer")?;
        let ours =
            |event: &Value| event["reason"] == reason && event["involvedObject"]["name"] == SECRET;
        let found = events["items"]
            .as_array()
            .is_some_and(|items| items.iter().any(ours));
        if found {
            Ok(())
        } else {
            Err("there is none".to_owned())
        }
    });
}

/// Waits until the CA is back beside a successor, then until the successor is signed with: by both replicas.
fn expect_handover(fleet: &Fleet, first: &str) {
    let environment = fleet.environment;
    let next = eventually("the CA in use is written back with a successor", || {
        let current = entry(environment, CERTIFICATE_KEY).ok_or("no Secret")?;
        if current != first {
            return Err("another CA".to_owned());
        }
        entry(environment, NEXT_CERTIFICATE_KEY).ok_or_else(|| "no successor".to_owned())
    });
    eventually("the successor takes over", || {
        let current = entry(environment, CERTIFICATE_KEY).ok_or("no Secret")?;
        if current == next {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    });
    assert_eq!(entry(environment, PREVIOUS_KEY).as_deref(), Some(first));
    for replica in &fleet.replicas {
        let server = Server::trusting(replica.port, next.as_bytes());
        eventually("every replica signs with it", || {
            server
                .connect()
                .map(drop)
                .map_err(|error| error.to_string())
        });
    }
    for kind in KINDS {
        let bundle = bundle(environment, kind).unwrap_or_default();
        assert!(
            bundle.contains(first) && bundle.contains(&next),
            "{kind} trusts both"
        );
    }
}

#[test]
fn a_deleted_ca_secret_is_written_back_and_followed_by_a_new_ca_without_a_failed_call() {
    let fleet = Fleet::start(None);
    let environment = fleet.environment;
    environment.with_namespace("deleted", |namespace| {
        fleet.serve(namespace);
        let first = entry(environment, CERTIFICATE_KEY).expect("there is a CA");
        let load = Load::start(environment, namespace, 40);
        environment
            .kubectl(&["delete", "secret", SECRET, "-n", SYSTEM])
            .expect_ok();
        expect_handover(&fleet, &first);
        let tally = load.end();
        println!(
            "{}",
            summary("a deleted CA Secret, until the new CA is in use", &tally)
        );
        tally.expect_clean(500);
        expect_event(environment, "CertificateAuthorityRestored");
        expect_event(environment, "CertificateAuthorityRotated");
        for which in ["ca", "leaf"] {
            let name =
                format!("mcp_webhook_certificate_not_after_seconds{{certificate=\"{which}\"}}");
            let ends = fleet.replicas[0].metric(&name);
            assert!(ends.is_some_and(|ends| ends > 1e9), "{which}: {ends:?}");
        }
    });
}

#[test]
fn rubbish_in_the_ca_secret_is_replaced_by_the_ca_in_use_without_a_failed_call() {
    let fleet = Fleet::start(None);
    let environment = fleet.environment;
    environment.with_namespace("rubbish", |namespace| {
        fleet.serve(namespace);
        let first = entry(environment, CERTIFICATE_KEY).expect("there is a CA");
        let load = Load::start(environment, namespace, 40);
        for key in [PRIVATE_KEY, CERTIFICATE_KEY] {
            let rubbish =
                json!({"data": {key: base64(b"rubbish"), NEXT_CERTIFICATE_KEY: null}}).to_string();
            environment
                .kubectl(&[
                    "patch",
                    "secret",
                    SECRET,
                    "-n",
                    SYSTEM,
                    "--type=merge",
                    "-p",
                    &rubbish,
                ])
                .expect_ok();
            eventually("the CA in use is written back", || {
                let current = entry(environment, CERTIFICATE_KEY);
                let key = entry(environment, PRIVATE_KEY).unwrap_or_default();
                if current.as_deref() == Some(first.as_str()) && key.contains("PRIVATE KEY") {
                    Ok(())
                } else {
                    Err(format!("{current:?}"))
                }
            });
        }
        let tally = load.end();
        println!("{}", summary("rubbish in the CA Secret, twice", &tally));
        tally.expect_clean(50);
        expect_event(environment, "CertificateAuthorityRestored");
    });
}

#[test]
fn a_ca_bundle_that_was_edited_or_emptied_is_put_back() {
    let fleet = Fleet::start(None);
    let environment = fleet.environment;
    environment.with_namespace("edited", |namespace| {
        fleet.serve(namespace);
        let stranger = Authority::generate(Timestamp::now())
            .expect("a CA")
            .root()
            .pem();
        let field = "/webhooks/0/clientConfig/caBundle";
        let edit = json!([{"op": "replace", "path": field, "value": base64(stranger.as_bytes())}]);
        let empty = json!([{"op": "remove", "path": field}]);
        for kind in KINDS {
            let good = bundle(environment, kind).expect("there is a bundle");
            for patch in [&edit, &empty] {
                let patch = patch.to_string();
                environment
                    .kubectl(&["patch", kind, CONFIGURATION, "--type=json", "-p", &patch])
                    .expect_ok();
                eventually("the bundle is put back", || {
                    let now = bundle(environment, kind);
                    if now.as_deref() == Some(good.as_str()) {
                        Ok(())
                    } else {
                        Err(format!("{now:?}"))
                    }
                });
            }
        }
        fleet.serve(namespace);
    });
}

#[test]
fn a_ca_that_has_ended_is_replaced_and_calls_work_again() {
    let long_ago = Timestamp::now() - SignedDuration::from_hours(24 * 365 * 3);
    let ended = Contents::sole(Authority::generate(long_ago).expect("a CA"));
    let fleet = Fleet::start(Some(&ended));
    let environment = fleet.environment;
    environment.with_namespace("ended", |namespace| {
        fleet.serve(namespace);
        let current = entry(environment, CERTIFICATE_KEY).expect("there is a CA");
        assert_ne!(current, ended.current.root().pem());
        for kind in KINDS {
            assert_eq!(
                bundle(environment, kind).as_deref(),
                Some(current.as_str()),
                "{kind}"
            );
        }
        expect_event(environment, "CertificateAuthorityEnded");
    });
}
