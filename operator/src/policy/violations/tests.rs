//! What is judged when, and what the figures then say.

use api::{MCPAccessGrant, MCPAgentSession, MCPServer};
use kube::runtime::reflector::store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;

/// A cluster without an API server: the caches, and what writes into them.
struct Cluster {
    servers: (Store<MCPServer>, Writer<MCPServer>),
    grants: (Store<MCPAccessGrant>, Writer<MCPAccessGrant>),
    sessions: (Store<MCPAgentSession>, Writer<MCPAgentSession>),
    policies: BTreeMap<String, Arc<MCPPolicy>>,
    namespaces: BTreeMap<String, Arc<Namespace>>,
    ledger: Ledger,
}

impl Cluster {
    fn new() -> Self {
        Self {
            servers: store(),
            grants: store(),
            sessions: store(),
            policies: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            ledger: Ledger::default(),
        }
    }

    fn namespace(&mut self, name: &str, team: &str) {
        let object = json!({"metadata": {"name": name, "labels": {"team": team}}});
        self.namespaces
            .insert(name.to_owned(), Arc::new(parsed(object)));
    }

    fn policy(&mut self, name: &str, generation: i64, spec: &Value) {
        let object = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy",
            "metadata": {"name": name, "uid": name, "generation": generation}, "spec": spec,
            "status": {"violations": generation},
        });
        self.policies
            .insert(name.to_owned(), Arc::new(parsed(object)));
    }

    fn server(&mut self, name: &str, generation: i64, image: &str) {
        let object = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
            "metadata": {"name": name, "namespace": "team-a", "uid": name, "generation": generation,
                         "resourceVersion": generation.to_string()},
            "spec": {"image": image, "ingressHost": "a.example.com"},
        });
        self.servers
            .1
            .apply_watcher_event(&Event::Apply(parsed(object)));
    }

    fn grant(&mut self, name: &str, trust: &str) {
        let object = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
            "metadata": {"name": name, "namespace": "team-a", "uid": name, "generation": 1},
            "spec": {"serverRef": {"name": "s"}, "subject": {"humanID": "alice"}, "maxTrust": trust,
                     "allowedSideEffects": ["read"]},
        });
        self.grants
            .1
            .apply_watcher_event(&Event::Apply(parsed(object)));
    }

    /// How many objects were judged.
    fn count(&mut self) -> usize {
        let policies: Vec<_> = self.policies.values().cloned().collect();
        let namespaces: Vec<_> = self.namespaces.values().cloned().collect();
        let stores = (&self.servers.0, &self.grants.0, &self.sessions.0);
        let due = self
            .ledger
            .look(&policies, &namespaces, stores.0, stores.1, stores.2);
        let judged = due.len();
        self.ledger.judged.extend(judge(due));
        judged
    }

    /// Namespaces and violations of a policy.
    fn figures(&self, policy: &str) -> (usize, usize) {
        let figures = self.ledger.figures()[policy];
        (figures.namespaces, figures.violations)
    }
}

fn parsed<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

fn registries(registry: &str) -> Value {
    json!({"images": {"allowedRegistries": [registry]}})
}

#[test]
fn only_what_changed_is_judged_again() {
    let mut cluster = Cluster::new();
    cluster.namespace("team-a", "a");
    cluster.namespace("team-b", "b");
    cluster.policy("p", 1, &registries("ghcr.io/acme"));
    cluster.server("good", 1, "ghcr.io/acme/x:1");
    cluster.server("bad", 1, "ghcr.io/evil/x:1");
    cluster.grant("g", "high");
    assert_eq!((cluster.count(), cluster.figures("p")), (3, (2, 1)));
    assert_eq!(cluster.count(), 0, "nothing changed");

    cluster.server("bad", 2, "ghcr.io/acme/x:2");
    assert_eq!((cluster.count(), cluster.figures("p")), (1, (2, 0)));

    // The operator's own write to a policy's status is no change.
    cluster.policy("p", 1, &registries("ghcr.io/acme"));
    assert_eq!(cluster.count(), 0);

    // A policy of another team's namespace concerns nobody here.
    let team_b =
        json!({"namespaceSelector": {"matchLabels": {"team": "b"}}, "access": {"maxTrust": "low"}});
    cluster.policy("b", 1, &team_b);
    assert_eq!((cluster.count(), cluster.figures("b")), (0, (1, 0)));

    cluster.policy("p", 2, &registries("quay.io"));
    assert_eq!((cluster.count(), cluster.figures("p")), (3, (2, 2)));

    // The namespace changes hands.
    cluster.namespace("team-a", "b");
    assert_eq!((cluster.count(), cluster.figures("b")), (3, (2, 1)));

    cluster.policies.remove("b");
    assert_eq!(cluster.count(), 3);
    assert!(!cluster.ledger.figures().contains_key("b"));
}

#[test]
fn what_is_gone_or_going_breaks_nothing() {
    let mut cluster = Cluster::new();
    cluster.namespace("team-a", "a");
    cluster.policy("p", 1, &registries("quay.io"));
    cluster.server("one", 1, "ghcr.io/evil/x:1");
    cluster.server("two", 1, "ghcr.io/evil/x:1");
    cluster.count();
    assert_eq!(cluster.figures("p"), (1, 2));
    let mut going: MCPServer = cluster.servers.0.state()[0].as_ref().clone();
    going.metadata.deletion_timestamp = Some(parsed(json!("2026-06-01T12:00:00Z")));
    cluster
        .servers
        .1
        .apply_watcher_event(&Event::Apply(going.clone()));
    cluster.count();
    assert_eq!(cluster.figures("p"), (1, 1));
    cluster.servers.1.apply_watcher_event(&Event::Delete(going));
    cluster.count();
    assert_eq!(
        (cluster.figures("p"), cluster.ledger.judged.len()),
        ((1, 1), 1)
    );
}

#[test]
fn a_policy_is_told_of_only_when_its_figures_changed() {
    let mut cluster = Cluster::new();
    cluster.namespace("team-a", "a");
    cluster.policy("p", 1, &registries("quay.io"));
    cluster.policy("q", 1, &json!({}));
    let tally = Tally::default();
    cluster.count();
    assert_eq!(tally.take(cluster.ledger.figures()), ["p", "q"]);
    assert!(tally.take(cluster.ledger.figures()).is_empty());
    cluster.server("bad", 1, "ghcr.io/evil/x:1");
    cluster.count();
    assert_eq!(tally.take(cluster.ledger.figures()), ["p"]);
    let mut newer = cluster.policies["p"].as_ref().clone();
    assert_eq!(
        tally.figures(&newer).map(|figures| figures.violations),
        Some(1)
    );
    newer.metadata.generation = Some(2);
    assert_eq!(
        tally.figures(&newer),
        None,
        "counted for another generation"
    );
}
