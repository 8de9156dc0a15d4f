//! The bundle by the API: a list and then watches of one ConfigMap, which is all that the gateway's Role allows.
//!
//! Every watch ends within [`WATCH`], and one that says nothing for longer is given up, so a connection that died
//! silently is noticed.

use std::sync::Arc;
use std::time::Duration;

use api::names::{BUNDLE_KEY, access_config_map};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, Config};

use super::{Source, Store};

/// How long one watch lasts.
const WATCH: u32 = 25;
/// After how long without any word a connection is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// The first and the longest pause after an error.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// Why a round of watching ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the ConfigMap {name} cannot be read: {source}")]
    List { name: String, source: kube::Error },
    #[error("the ConfigMap {name} cannot be watched: {source}")]
    Watch { name: String, source: kube::Error },
    #[error("the API server said nothing for {SILENCE:?}")]
    Silent,
}

/// A client of the cluster in which the gateway runs; outside of any cluster, of the kubeconfig's.
pub async fn client() -> anyhow::Result<Client> {
    let mut config = match Config::incluster() {
        Ok(config) => config,
        Err(_) => Config::infer().await?,
    };
    config.read_timeout = Some(SILENCE);
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(Client::try_from(config)?)
}

/// Follows the ConfigMap for ever. `read` is called after every successful read.
pub async fn follow(store: Arc<Store>, client: Client, mut read: impl FnMut()) {
    let (namespace, server) = store.server();
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let name = access_config_map(server);
    let mut pause = BACKOFF.0;
    let mut failing = false;
    loop {
        let mut succeeded = || {
            store.confirm();
            read();
        };
        match round(&store, &api, &name, &mut succeeded).await {
            Ok(()) => {
                pause = BACKOFF.0;
                failing = false;
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "the access bundle is not followed by the API, the last good one stays in force");
                }
                failing = true;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
        }
    }
}

/// One list, and watches from there until one of them says that it must be listed again.
async fn round(
    store: &Store,
    api: &Api<ConfigMap>,
    name: &str,
    succeeded: &mut impl FnMut(),
) -> Result<(), Error> {
    let field = format!("metadata.name={name}");
    let list = api
        .list(&ListParams::default().fields(&field))
        .await
        .map_err(|source| Error::List {
            name: name.to_owned(),
            source,
        })?;
    for map in &list.items {
        take(store, map);
    }
    succeeded();
    let mut version = list
        .metadata
        .resource_version
        .unwrap_or_else(|| "0".to_owned());
    loop {
        let params = WatchParams::default().fields(&field).timeout(WATCH);
        let watch = api.watch(&params, &version).await;
        let mut events = watch
            .map_err(|source| Error::Watch {
                name: name.to_owned(),
                source,
            })?
            .boxed();
        succeeded();
        loop {
            let event = tokio::time::timeout(SILENCE, events.next())
                .await
                .map_err(|_| Error::Silent)?;
            match event {
                Some(Ok(WatchEvent::Added(map) | WatchEvent::Modified(map))) => {
                    take(store, &map);
                    succeeded();
                    version = map.metadata.resource_version.unwrap_or(version);
                }
                Some(Ok(WatchEvent::Deleted(map))) => {
                    tracing::warn!(
                        name,
                        "the access bundle was deleted, the last good one stays in force"
                    );
                    version = map.metadata.resource_version.unwrap_or(version);
                }
                Some(Ok(WatchEvent::Bookmark(mark))) => {
                    succeeded();
                    version = mark.metadata.resource_version;
                }
                // Usually 410: too old to go on from there.
                Some(Ok(WatchEvent::Error(_))) => return Ok(()),
                Some(Err(source)) => {
                    return Err(Error::Watch {
                        name: name.to_owned(),
                        source,
                    });
                }
                None => break,
            }
        }
    }
}

fn take(store: &Store, map: &ConfigMap) {
    let Some(text) = map.data.as_ref().and_then(|data| data.get(BUNDLE_KEY)) else {
        tracing::warn!(
            key = BUNDLE_KEY,
            "the ConfigMap of the access bundle lacks its key"
        );
        return;
    };
    if let Err(error) = store.offer(text, Source::Api) {
        tracing::warn!(%error, "the access bundle is refused, the last good one stays in force");
    }
}
