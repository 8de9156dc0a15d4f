//! Brings the floor of one policy to what is wanted: by server-side apply, nothing when nothing changed, and never over
//! an object that is not the policy's.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use api::conditions::{self, Wanted};
use api::{MCPPolicy, names};
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::build;
use super::scope::Action;
use crate::apply::{APPLIED, covers, fingerprint};
use crate::context::Context;
use crate::reconcile::said;

/// Why a policy's floor is not as it should be.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// An object of that name exists and is not this policy's. It is neither adopted nor deleted.
    #[error(
        "{kind} {name} exists and does not belong to this policy; look at it with: kubectl get {kind} {name} -o yaml"
    )]
    Taken { kind: String, name: String },
    /// The API server did not do what was asked.
    #[error("cannot {verb} {kind} {name}: {}", said(source))]
    Call {
        verb: &'static str,
        kind: String,
        name: String,
        source: Box<kube::Error>,
    },
    /// The object could not be put into JSON.
    #[error("cannot serialise {kind} {name}: {source}")]
    Serialise {
        kind: String,
        name: String,
        source: serde_json::Error,
    },
}

impl Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "NameConflict",
            Self::Call { .. } => "WriteFailed",
            Self::Serialise { .. } => "Unserialisable",
        }
    }
}

/// How the floor of a policy stands.
pub(in crate::policy) struct Held {
    /// The condition `FloorReady`.
    pub(in crate::policy) condition: Wanted,
    /// When to try again what failed.
    pub(in crate::policy) retry: Option<Duration>,
}

/// Brings the floor of a policy to what it says now.
pub(in crate::policy) async fn hold(policy: &Arc<MCPPolicy>, context: &Context) -> Held {
    let key = format!("floor of MCPPolicy {}", policy.name_any());
    let (status, reason, message, retry) = match put(policy, context).await {
        Ok(held) => {
            context.backoff.succeeded(&key);
            let (status, reason, message) = told(&held);
            (status, reason, message, None)
        }
        Err(error) => {
            let wait = context.backoff.failed(&key);
            tracing::warn!(policy = policy.name_any(), %error, ?wait, "the floor is not in place");
            (false, error.reason(), error.to_string(), Some(wait))
        }
    };
    let condition = Wanted {
        type_: conditions::FLOOR_READY,
        status: status.into(),
        reason,
        message,
    };
    Held { condition, retry }
}

/// What is there says whether the API server understands it.
fn told(held: &[Arc<ValidatingAdmissionPolicy>]) -> (bool, &'static str, String) {
    let names: Vec<String> = held.iter().map(|one| one.name_any()).collect();
    let warning = held.iter().find_map(|one| {
        let checked = one.status.as_ref()?.type_checking.as_ref()?;
        let first = checked.expression_warnings.as_ref()?.first()?;
        let line = first.warning.lines().next().unwrap_or_default();
        Some(format!("{}: {}: {line}", one.name_any(), first.field_ref))
    });
    match warning {
        Some(warning) => (false, "ExpressionWarnings", warning),
        None if names.is_empty() => (
            true,
            "NothingToHold",
            "the policy says nothing that the API server could hold by itself".to_owned(),
        ),
        None => (
            true,
            "Applied",
            format!(
                "the API server holds what it can by itself, also without the webhook: {}",
                names.join(", ")
            ),
        ),
    }
}

async fn put(
    policy: &Arc<MCPPolicy>,
    context: &Context,
) -> Result<Vec<Arc<ValidatingAdmissionPolicy>>, Error> {
    let parts = build::parts(policy, &context.policies());
    let (policies, bindings) = (&context.caches.floors, &context.caches.floor_bindings);
    let mut held = Vec::new();
    for action in Action::ALL {
        if let Some(part) = parts.iter().find(|part| part.action == action) {
            held.push(ensure(context, policy, policies, part.policy.clone()).await?);
            ensure(context, policy, bindings, part.binding.clone()).await?;
        } else {
            let name = build::name(&policy.name_any(), action);
            remove(context, policy, bindings, &name).await?;
            remove(context, policy, policies, &name).await?;
        }
    }
    Ok(held)
}

fn owns<K: Resource>(policy: &MCPPolicy, object: &K) -> bool {
    let owners = object.owner_references();
    owners.iter().any(|owner| {
        Some(&owner.uid) == policy.metadata.uid.as_ref() && owner.controller == Some(true)
    })
}

async fn ensure<K>(
    context: &Context,
    policy: &MCPPolicy,
    cache: &Store<K>,
    mut wanted: K,
) -> Result<Arc<K>, Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + 'static,
{
    let (kind, name) = (K::kind(&()).into_owned(), wanted.name_any());
    let serialise = |k: &K| {
        serde_json::to_value(k).map_err(|source| Error::Serialise {
            kind: kind.clone(),
            name: name.clone(),
            source,
        })
    };
    let failed = |verb| {
        let (kind, name) = (kind.clone(), name.clone());
        move |error| Error::Call {
            verb,
            kind,
            name,
            source: Box::new(error),
        }
    };
    let hash = fingerprint(&serialise(&wanted)?);
    wanted.annotations_mut().insert(APPLIED.to_owned(), hash);
    let api: Api<K> = Api::all(context.client.clone());
    let live = match cache.get(&ObjectRef::new(&name)) {
        Some(live) => Some(live),
        None => api
            .get_opt(&name)
            .await
            .map_err(failed("read"))?
            .map(Arc::new),
    };
    if let Some(live) = live {
        if !owns(policy, live.as_ref()) {
            return Err(Error::Taken { kind, name });
        }
        if covers(&serialise(live.as_ref())?, &serialise(&wanted)?) {
            return Ok(live);
        }
        // An object that was deleted and made again by somebody in between is another one: the write then fails.
        wanted.meta_mut().uid = live.uid();
    }
    let params = PatchParams::apply(names::OPERATOR).force();
    let written = api
        .patch(&name, &params, &Patch::Apply(&wanted))
        .await
        .map_err(failed("write"))?;
    context.metrics.wrote(&kind);
    Ok(Arc::new(written))
}

async fn remove<K>(
    context: &Context,
    policy: &MCPPolicy,
    cache: &Store<K>,
    name: &str,
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + 'static,
{
    let Some(live) = cache.get(&ObjectRef::new(name)) else {
        return Ok(());
    };
    if !owns(policy, live.as_ref()) || live.meta().deletion_timestamp.is_some() {
        return Ok(());
    }
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: live.uid(),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    let api: Api<K> = Api::all(context.client.clone());
    match api.delete(name, &params).await {
        Ok(_) => context.metrics.wrote(&K::kind(&())),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
        Err(source) => {
            return Err(Error::Call {
                verb: "delete",
                kind: K::kind(&()).into_owned(),
                name: name.to_owned(),
                source: Box::new(source),
            });
        }
    }
    Ok(())
}
