//! The bundle by a real API server: `KUBECTL_MCP_TEST_KUBECONFIG` names one.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use api::names::{BUNDLE_KEY, access_config_map};
use http::StatusCode;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

#[tokio::test]
async fn the_config_map_is_followed_and_a_revocation_acts_within_a_second() {
    let Some(path) = std::env::var_os("KUBECTL_MCP_TEST_KUBECONFIG").map(PathBuf::from) else {
        println!(
            "left out because KUBECTL_MCP_TEST_KUBECONFIG does not name the kubeconfig of a test cluster"
        );
        return;
    };
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let kubeconfig = Kubeconfig::read_from(&path).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    let client = Client::try_from(config).unwrap();
    let namespace = format!("gateway-watch-{}", std::process::id());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let new: Namespace =
        serde_json::from_value(json!({ "metadata": { "name": namespace } })).unwrap();
    namespaces
        .create(&PostParams::default(), &new)
        .await
        .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);

    follow(&maps, &namespace, &path).await;
    restart_after_a_revocation(&maps, &namespace, &path).await;
    cut(&maps, &namespace, &path).await;

    namespaces
        .delete(&namespace, &DeleteParams::default())
        .await
        .unwrap();
}

/// A bundle as the operator writes it.
async fn publish(maps: &Api<ConfigMap>, text: String) {
    let name = access_config_map(SERVER);
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { BUNDLE_KEY: text } });
    let params = PatchParams::apply("test").force();
    maps.patch(&name, &params, &Patch::Apply(map))
        .await
        .unwrap();
}

fn world(namespace: &str) -> World {
    let mut world = World::new();
    namespace.clone_into(&mut world.settings.namespace);
    world
}

/// The kubelet brings a change into the mounted file up to a minute later than the API has it.
async fn restart_after_a_revocation(
    maps: &Api<ConfigMap>,
    namespace: &str,
    kubeconfig: &std::path::Path,
) {
    let mut world = world(namespace);
    world.mounted = Some(world.json());
    for session in &mut world.sessions {
        session.spec.revoked = true;
    }
    publish(maps, world.json()).await;
    let stand = Stand::watching(world, kubeconfig);
    let decided = || async {
        match stand.try_post("alice", LIST).await.as_deref() {
            None | Some("policy_unavailable") => false,
            Some("session_revoked") => true,
            Some(other) => panic!("decided by the older bundle: {other}"),
        }
    };
    stand.until("the gateway decides", decided).await;
    for _ in 0..50 {
        assert!(decided().await);
    }
}

/// With the way to the API server cut, the bundle decides for as long as its policy says, and no longer.
async fn cut(maps: &Api<ConfigMap>, namespace: &str, kubeconfig: &std::path::Path) {
    let (way, open, port) = Way::to_api_server(kubeconfig).await;
    let mut world = world(namespace);
    world.settings.ceilings.max_staleness = Duration::from_secs(30);
    // Newer than what was published before.
    (0..9).for_each(|_| drop(world.json()));
    publish(maps, world.json()).await;
    let stand = Stand::watching(world, &way.kubeconfig(kubeconfig, port));
    let reason = async || stand.try_post("alice", LIST).await;
    let known = || async { reason().await.as_deref() == Some("upstream_unavailable") };
    stand.until("the bundle is in force", known).await;
    open.send_replace(false);
    let began = std::time::Instant::now();
    let stale = || async {
        match reason().await.as_deref() {
            Some("policy_stale") => true,
            Some("upstream_unavailable") => false,
            other => panic!("{other:?}"),
        }
    };
    stand.until("the bundle is too old", stale).await;
    let took = began.elapsed();
    println!("denied {took:?} after the cut");
    open.send_replace(true);
    stand.until("the bundle is confirmed again", known).await;
}

/// A way to the API server that can be cut: then nothing is passed any more, and nothing is closed.
struct Way(tempfile::TempDir);

impl Way {
    async fn to_api_server(
        kubeconfig: &std::path::Path,
    ) -> (Self, tokio::sync::watch::Sender<bool>, u16) {
        let read = Kubeconfig::read_from(kubeconfig).unwrap();
        let cluster = read.clusters[0].cluster.as_ref().unwrap();
        let server = cluster.server.as_deref().unwrap();
        let address = server.strip_prefix("https://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, opened) = tokio::sync::watch::channel(true);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&address).await else {
                    continue;
                };
                let (near, far) = (near.into_split(), far.into_split());
                tokio::spawn(pass(near.0, far.1, opened.clone()));
                tokio::spawn(pass(far.0, near.1, opened.clone()));
            }
        });
        (Self(tempfile::tempdir().unwrap()), open, port)
    }

    /// A kubeconfig that takes this way.
    fn kubeconfig(&self, original: &std::path::Path, port: u16) -> PathBuf {
        let mut config = Kubeconfig::read_from(original).unwrap();
        let cluster = config.clusters[0].cluster.as_mut().unwrap();
        cluster.server = Some(format!("https://127.0.0.1:{port}"));
        let path = self.0.path().join("kubeconfig");
        std::fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
        path
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut open: tokio::sync::watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if open.wait_for(|open| *open).await.is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}

async fn follow(maps: &Api<ConfigMap>, namespace: &str, kubeconfig: &std::path::Path) {
    let mut stand = Stand::watching(world(namespace), kubeconfig);
    let name = access_config_map(SERVER);
    // Not ready, and no decision, as long as there is no bundle.
    stand
        .until("the admin port answers", || async {
            stand.admin("/livez").await.status == StatusCode::OK
        })
        .await;
    assert!(stand.admin("/readyz").await.body.contains("access bundle"));
    assert_eq!(
        stand.post("alice", &[], LIST).await.reason(),
        "policy_unavailable"
    );

    let first = stand.world.json();
    publish(maps, first.clone()).await;
    let known =
        || async { stand.post("alice", &[], LIST).await.reason() == "upstream_unavailable" };
    stand.until("the bundle is in force", known).await;
    assert!(!stand.admin("/readyz").await.body.contains("access bundle"));

    stand
        .world
        .sessions
        .iter_mut()
        .for_each(|s| s.spec.revoked = true);
    let second = stand.world.json();
    publish(maps, second).await;
    let revoked = || async { stand.post("alice", &[], LIST).await.reason() == "session_revoked" };
    let took = stand.until("the revocation acts", revoked).await;
    println!("revoked after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");

    // An older bundle, or none, changes nothing.
    publish(maps, first).await;
    let older = || async {
        stand
            .admin("/metrics")
            .await
            .body
            .contains(r#"source="api",result="older"} 1"#)
    };
    stand.until("the older bundle is counted", older).await;
    maps.delete(&name, &DeleteParams::default()).await.unwrap();
    assert!(revoked().await);
}
