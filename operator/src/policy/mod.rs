//! MCPPolicy: says in its status which namespaces it speaks of, and how many live objects break it.

mod floor;
pub mod violations;

use std::sync::Arc;

use api::conditions::{self, Wanted};
use api::{MCPPolicy, PolicyStatus};
use jiff::Timestamp;
use kube::api::Api;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::context::Context;
use crate::reconcile::{self, StatusError};
use violations::{Figures, Recount, Tally};

/// Reconciles policies until the queue ends.
pub async fn run(
    context: Arc<Context>,
    triggers: UnboundedReceiver<ObjectRef<MCPPolicy>>,
    recount: Recount,
) {
    let cache = context.caches.policies.clone();
    let config = Config::default().concurrency(1);
    let tally = Arc::new(Tally::default());
    let counted = Arc::clone(&tally);
    let reconcile = move |policy, context| reconcile(policy, context, Arc::clone(&counted));
    tokio::join!(
        reconcile::run(Arc::clone(&context), cache, triggers, config, reconcile),
        violations::run(&context.caches, &tally, recount),
    );
}

async fn reconcile(
    policy: Arc<MCPPolicy>,
    context: Arc<Context>,
    tally: Arc<Tally>,
) -> Result<Action, StatusError> {
    let floor = floor::hold(&policy, &context).await;
    let next = floor
        .retry
        .map_or_else(Action::await_change, Action::requeue);
    // Whoever counts calls again when it is done, so the status speaks of one generation only.
    let Some(figures) = tally.figures(&policy) else {
        return Ok(next);
    };
    let status = status(&policy, figures, &context, floor.condition);
    if policy.status.as_ref() != Some(&status) {
        let api = Api::all(context.client.clone());
        reconcile::write_status(&context, &api, policy.as_ref(), &status).await?;
    }
    Ok(next)
}

fn status(policy: &MCPPolicy, figures: Figures, context: &Context, floor: Wanted) -> PolicyStatus {
    let before = policy.status.clone().unwrap_or_default();
    let json = serde_json::to_value(policy).unwrap_or_default();
    let findings = rules::check(Some(&json), None, &context.facts(None));
    let error = findings.errors().next().map(ToString::to_string);
    let wanted = Wanted {
        type_: conditions::ACCEPTED,
        status: error.is_none().into(),
        reason: if error.is_none() {
            "Accepted"
        } else {
            "Invalid"
        },
        message: match (error, figures.namespaces) {
            (Some(error), _) => error,
            (None, 0) => "the policy is understood, and selects no namespace now".to_owned(),
            (None, _) => "the policy is understood".to_owned(),
        },
    };
    let generation = policy.metadata.generation;
    PolicyStatus {
        observed_generation: generation,
        matched_namespaces: i32::try_from(figures.namespaces).ok(),
        violations: i32::try_from(figures.violations).ok(),
        conditions: conditions::merge(
            &before.conditions,
            vec![wanted, floor],
            generation,
            Timestamp::now(),
        ),
    }
}
