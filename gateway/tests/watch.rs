//! The bundle by a real API server: `KUBECTL_MCP_TEST_KUBECONFIG` names one.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
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

    namespaces
        .delete(&namespace, &DeleteParams::default())
        .await
        .unwrap();
}

async fn follow(maps: &Api<ConfigMap>, namespace: &str, kubeconfig: &std::path::Path) {
    let mut world = World::new();
    namespace.clone_into(&mut world.settings.namespace);
    let mut stand = Stand::watching(world, kubeconfig);
    let name = access_config_map(SERVER);
    let publish = async |text: String| {
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { BUNDLE_KEY: text } });
        maps.patch(
            &name,
            &PatchParams::apply("test").force(),
            &Patch::Apply(map),
        )
        .await
        .unwrap();
    };
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
    publish(first.clone()).await;
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
    publish(second).await;
    let revoked = || async { stand.post("alice", &[], LIST).await.reason() == "session_revoked" };
    let took = stand.until("the revocation acts", revoked).await;
    println!("revoked after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");

    // An older bundle, or none, changes nothing.
    publish(first).await;
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
