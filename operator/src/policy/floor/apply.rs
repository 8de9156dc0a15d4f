//! Brings the floor of one policy to what is wanted: by server-side apply, nothing when nothing changed, and never over
//! an object that is not the policy's.

use std::sync::Arc;
use std::time::Duration;

use api::MCPPolicy;
use api::conditions::{self, Wanted};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::{Resource as _, ResourceExt as _};

use super::build;
use super::scope::Action;
use crate::apply::{Error, Owner, ensure_of_cluster, remove_of_cluster};
use crate::context::Context;

/// One word for the condition.
fn reason(error: &Error) -> &'static str {
    match error {
        Error::Conflict { .. } => "NameConflict",
        Error::Read { .. } | Error::Write { .. } | Error::Delete { .. } => "WriteFailed",
        Error::Serialise { .. } => "Unserialisable",
    }
}

/// The sentence for the condition. A policy is of the cluster, and is not renamed for an object that is in its way.
fn message(error: &Error) -> String {
    match error {
        Error::Conflict { kind, name, .. } => format!(
            "{kind} {name} exists and does not belong to this policy; look at it with: kubectl get {kind} {name} -o yaml"
        ),
        Error::Read { .. }
        | Error::Write { .. }
        | Error::Delete { .. }
        | Error::Serialise { .. } => error.to_string(),
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
            let (reason, error) = (reason(&error), message(&error));
            tracing::warn!(policy = policy.name_any(), %error, ?wait, "the floor is not in place");
            (false, reason, error, Some(wait))
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
    // A policy without a uid is not in the cluster, and nothing can belong to it.
    let Some(reference) = policy.controller_owner_ref(&()) else {
        return Ok(Vec::new());
    };
    let owner = Owner {
        namespace: String::new(),
        reference,
    };
    let parts = build::parts(policy, &context.policies());
    let (policies, bindings) = (&context.caches.floors, &context.caches.floor_bindings);
    let mut held = Vec::new();
    for action in Action::ALL {
        if let Some(part) = parts.iter().find(|part| part.action == action) {
            held.push(ensure_of_cluster(context, policies, &owner, part.policy.clone()).await?);
            ensure_of_cluster(context, bindings, &owner, part.binding.clone()).await?;
        } else {
            let name = build::name(&policy.name_any(), action);
            remove_of_cluster(context, bindings, &owner, &name).await?;
            remove_of_cluster(context, policies, &owner, &name).await?;
        }
    }
    Ok(held)
}
