//! MCPPolicy: says in its status which namespaces it speaks of, and how many live servers violate it.

use std::sync::Arc;
use std::time::Duration;

use api::conditions::{self, Wanted};
use api::{MCPPolicy, PolicyStatus};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use rules::PolicySet;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::context::Context;
use crate::reconcile::{self, StatusError};

/// Many servers change together; the counts need not follow each of them.
const DEBOUNCE: Duration = Duration::from_secs(1);

/// Reconciles policies until the queue ends.
pub async fn run(context: Arc<Context>, triggers: UnboundedReceiver<ObjectRef<MCPPolicy>>) {
    let cache = context.caches.policies.clone();
    let config = Config::default().concurrency(1).debounce(DEBOUNCE);
    reconcile::run(context, cache, triggers, config, reconcile).await;
}

async fn reconcile(policy: Arc<MCPPolicy>, context: Arc<Context>) -> Result<Action, StatusError> {
    let status = status(&policy, &context);
    if policy.status.as_ref() != Some(&status) {
        let api = Api::all(context.client.clone());
        reconcile::write_status(&context, &api, policy.as_ref(), &status).await?;
    }
    Ok(Action::await_change())
}

fn status(policy: &Arc<MCPPolicy>, context: &Context) -> PolicyStatus {
    let selects = |namespace: &str| {
        !PolicySet::select(
            std::slice::from_ref(policy),
            namespace,
            &context.namespace_labels(namespace),
        )
        .is_empty()
    };
    let matched = context
        .caches
        .namespaces
        .state()
        .iter()
        .filter(|n| selects(&n.name_any()))
        .count();
    let violations = context
        .caches
        .servers
        .state()
        .iter()
        .filter(|server| {
            let namespace = server.namespace().unwrap_or_default();
            let mut facts = context.facts(Some(&namespace));
            facts.policies = vec![Arc::clone(policy)].into();
            let json = serde_json::to_value(server.as_ref()).unwrap_or_default();
            selects(&namespace) && rules::check(Some(&json), None, &facts).is_refused()
        })
        .count();
    let before = policy.status.clone().unwrap_or_default();
    let json = serde_json::to_value(policy.as_ref()).unwrap_or_default();
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
        message: error.unwrap_or_else(|| "the policy is understood".to_owned()),
    };
    let generation = policy.metadata.generation;
    PolicyStatus {
        observed_generation: generation,
        matched_namespaces: i32::try_from(matched).ok(),
        violations: i32::try_from(violations).ok(),
        conditions: conditions::merge(
            &before.conditions,
            vec![wanted],
            generation,
            Timestamp::now(),
        ),
    }
}
