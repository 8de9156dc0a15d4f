//! What the reconcilers of all kinds share: the loop with its metrics and its backoff, and writing a status.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::names;
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::context::Context;
use crate::watch::queue;

/// An error that knows its word for the metric: one of a closed list.
pub trait Reason: std::error::Error {
    /// The word.
    fn reason(&self) -> &'static str;
}

/// A status could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the status of {kind} {name}: {}", said(source))]
pub struct StatusError {
    kind: String,
    name: String,
    source: Box<kube::Error>,
}

impl Reason for StatusError {
    fn reason(&self) -> &'static str {
        "status_failed"
    }
}

/// Reconciles the objects of a cache, each when a trigger names it, until the triggers end. A failure is tried again
/// with exponential backoff per object.
pub async fn run<K, F, Fut, E>(
    context: Arc<Context>,
    cache: Store<K>,
    triggers: UnboundedReceiver<ObjectRef<K>>,
    config: Config,
    reconcile: F,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    F: Fn(Arc<K>, Arc<Context>) -> Fut,
    Fut: Future<Output = Result<Action, E>> + Send + 'static,
    E: Reason + Send + 'static,
{
    let measured = |object: Arc<K>, context: Arc<Context>| {
        let work = reconcile(Arc::clone(&object), Arc::clone(&context));
        Box::pin(async move {
            let began = Instant::now();
            let result = work.await;
            let outcome = result.as_ref().map_or_else(Reason::reason, |_| "ok");
            context
                .metrics
                .reconciled(K::kind(&()).as_ref(), outcome, began.elapsed());
            if result.is_ok() {
                context.backoff.succeeded(&key(object.as_ref()));
            }
            result
        })
    };
    let retry = |object: Arc<K>, error: &E, context: Arc<Context>| {
        let key = key(object.as_ref());
        let wait = context.backoff.failed(&key);
        tracing::warn!(object = key, %error, ?wait, "reconcile failed");
        Action::requeue(wait)
    };
    applier(measured, retry, context, cache, queue(triggers), config)
        .for_each(|_| std::future::ready(()))
        .await;
}

fn key<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!(
        "{}/{}/{}",
        K::kind(&()),
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

/// Writes a status by server-side apply. An object that is gone, or was made again under its name, is no error: the
/// next event tells.
pub async fn write_status<K>(
    context: &Context,
    api: &Api<K>,
    object: &K,
    status: &impl Serialize,
) -> Result<(), StatusError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let (kind, name) = (K::kind(&()), object.name_any());
    let patch = json!({
        "apiVersion": K::api_version(&()), "kind": kind,
        "metadata": { "name": name, "uid": object.uid() }, "status": status,
    });
    match api
        .patch_status(
            &name,
            &PatchParams::apply(names::OPERATOR).force(),
            &Patch::Apply(&patch),
        )
        .await
    {
        Ok(_) => context.metrics.wrote(&format!("{kind}/status")),
        Err(kube::Error::Api(e)) if e.code == 404 || e.code == 409 => {}
        Err(source) => {
            return Err(StatusError {
                kind: kind.into_owned(),
                name,
                source: Box::new(source),
            });
        }
    }
    Ok(())
}

/// What the API server said, without the rest of its answer.
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// How long until a moment, and a little more, so that it has passed by then.
pub fn until(at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
        + Duration::from_millis(250)
}
