//! What the webhooks add to a request through the API server.

use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tests::Environment;

use crate::platform::FIXTURES;

const CREATES: usize = 500;

/// Two rows: a namespace that the webhooks are not asked about, and one that they are.
pub(crate) fn table(environment: &Environment, object: &Value) -> String {
    let (without, with) = runtime().block_on(async {
        let client = client(environment, None).await;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        // In turns, so that whatever else the machine does falls on both.
        for round in 0..CREATES + 20 {
            for (namespace, times) in [("bench-without", &mut without), ("bench-0", &mut with)] {
                let took = create(&client, object, namespace).await;
                if round >= 20 {
                    times.push(took);
                }
            }
        }
        (without, with)
    });
    let (without, with) = (summary(without), summary(with));
    let added = with.0.as_secs_f64() - without.0.as_secs_f64();
    format!(
        "| | median ms | p95 ms |\n|---|---|---|\n| no webhook | {} | {} |\n| mutating and validating | {} | {} |\nadded to the median: {:.2} ms",
        ms(without.0),
        ms(without.1),
        ms(with.0),
        ms(with.1),
        added * 1e3
    )
}

fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

fn summary(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 95 / 100])
}

/// Creates servers, 32 at a time, past the webhook: what is measured is what it keeps of them.
pub(crate) fn create_many(
    environment: &Environment,
    count: usize,
    server: &(dyn Fn(&str, usize) -> Value + Sync),
) {
    use futures::StreamExt as _;
    runtime().block_on(async {
        let client = client(environment, Some(FIXTURES)).await;
        futures::stream::iter(0..count)
            .for_each_concurrent(32, |index| {
                let client = client.clone();
                async move {
                    let object = server("many", index);
                    let namespace = object["metadata"]["namespace"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned();
                    let object: DynamicObject = serde_json::from_value(object).expect("an object");
                    let api = servers(&client, &namespace);
                    api.create(&PostParams::default(), &object)
                        .await
                        .expect("it is created");
                }
            })
            .await;
    });
}

async fn create(client: &Client, object: &Value, namespace: &str) -> Duration {
    let mut object = object.clone();
    object["metadata"]["namespace"] = namespace.into();
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let started = Instant::now();
    servers(client, namespace)
        .create(&dry, &object)
        .await
        .expect("it would be created");
    started.elapsed()
}

fn servers(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = kube::core::ApiResource::erase::<api::MCPServer>(&());
    Api::namespaced_with(client.clone(), namespace, &kind)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn client(environment: &Environment, user: Option<&str>) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig =
        Kubeconfig::read_from(&environment.kubeconfig).expect("the kubeconfig is there");
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("the kubeconfig can be used");
    if let Some(user) = user {
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
    }
    Client::try_from(config).expect("a client")
}
