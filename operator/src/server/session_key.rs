//! The key of a server's MCP sessions: made once, by nothing but a `create`. The operator has no right to read Secrets
//! and needs none; who has the key is the server's gateways, into whose pods it is mounted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::names;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};

use super::build;
use super::validate::Valid;
use crate::context::Context;
use crate::reconcile::said;

/// How long a Secret that was there is taken to be there. Only the operator, the garbage collector and the namespace
/// controller may delete it (MCP0909).
const TRUSTED: Duration = Duration::from_secs(3600);
/// A server that is younger may have met the Secret of one that had its name and is being collected.
const SETTLED: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// The servers whose Secret is there, by uid, and until when that need not be asked again.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<String, Instant>>);

impl Known {
    fn has(&self, uid: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(uid).is_some_and(|until| Instant::now() < *until)
    }

    fn add(&self, uid: String) {
        let now = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, until| now < *until);
        known.insert(uid, now + TRUSTED);
    }
}

/// Why the Secret could not be made.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the system gave no random numbers: {0}")]
    Random(getrandom::Error),
    #[error("{}", said(.0))]
    Write(Box<kube::Error>),
}

/// Makes the Secret unless it is there. One that is there stays as it is: with another key, every MCP session would end.
///
/// No server waits for it: without a key, a gateway has one that ends with its process.
pub(super) async fn ensure(context: &Context, valid: &Valid) {
    let uid = &valid.owner.reference.uid;
    if !valid.effective.gateway.enabled || context.session_keys.has(uid) {
        return;
    }
    if let Err(error) = create(context, valid).await {
        let (namespace, server) = (&valid.effective.namespace, &valid.effective.name);
        tracing::warn!(%namespace, %server, %error, "no Secret with a key: MCP sessions end with their gateway");
    }
}

async fn create(context: &Context, valid: &Valid) -> Result<(), Error> {
    let uid = valid.owner.reference.uid.clone();
    let mut key = [0; names::SESSION_KEY_BYTES];
    getrandom::fill(&mut key).map_err(Error::Random)?;
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &valid.owner.namespace);
    let params = PostParams {
        field_manager: Some(names::OPERATOR.to_owned()),
        ..PostParams::default()
    };
    match api.create(&params, &build::secret(valid, key)).await {
        Ok(_) => {
            context.metrics.wrote("Secret");
            context.session_keys.add(uid);
        }
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            let made = valid.server.creation_timestamp();
            if made.is_some_and(|made| jiff::Timestamp::now().duration_since(made.0) > SETTLED) {
                context.session_keys.add(uid);
            }
        }
        Err(error) => return Err(Error::Write(Box::new(error))),
    }
    Ok(())
}
