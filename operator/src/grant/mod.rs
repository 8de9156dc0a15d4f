//! MCPAccessGrant: says in its status whether it decides anything. The decision itself is in the server's bundle.

use std::sync::Arc;

use api::conditions::{self, Wanted};
use api::{GrantStatus, MCPAccessGrant};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::context::Context;
use crate::reconcile::{self, StatusError, until};

/// Reconciles grants until the queue ends.
pub async fn run(context: Arc<Context>, triggers: UnboundedReceiver<ObjectRef<MCPAccessGrant>>) {
    let cache = context.caches.grants.clone();
    let config = Config::default().concurrency(context.settings.workers);
    reconcile::run(context, cache, triggers, config, reconcile).await;
}

async fn reconcile(
    grant: Arc<MCPAccessGrant>,
    context: Arc<Context>,
) -> Result<Action, StatusError> {
    let (status, next) = status(&grant, &context, Timestamp::now());
    if grant.status.as_ref() != Some(&status) {
        let api = Api::namespaced(
            context.client.clone(),
            &grant.namespace().unwrap_or_default(),
        );
        reconcile::write_status(&context, &api, grant.as_ref(), &status).await?;
    }
    Ok(next.map_or_else(Action::await_change, |at| Action::requeue(until(at))))
}

/// What stands in the status, and when the clock alone changes it.
fn status(
    grant: &MCPAccessGrant,
    context: &Context,
    now: Timestamp,
) -> (GrantStatus, Option<Timestamp>) {
    let namespace = grant.namespace().unwrap_or_default();
    let name = &grant.spec.server_ref.name;
    let generation = grant.metadata.generation;
    let before = grant.status.clone().unwrap_or_default();
    let merge = |effective: bool, reason, message| {
        let wanted = Wanted {
            type_: conditions::EFFECTIVE,
            status: effective.into(),
            reason,
            message,
        };
        conditions::merge(&before.conditions, vec![wanted], generation, now)
    };
    let Some(server) = context
        .caches
        .servers
        .get(&ObjectRef::new(name).within(&namespace))
    else {
        let message = format!("there is no MCPServer {name} in namespace {namespace}");
        let conditions = merge(false, "ServerNotFound", message);
        return (
            GrantStatus {
                observed_generation: generation,
                conditions,
                ..GrantStatus::default()
            },
            None,
        );
    };
    let effective = rules::effective(&server, &context.policy_set(&namespace));
    let settings = access::Settings::from(&effective);
    let report = access::grant_status(grant, &server, &settings, now);
    let status = GrantStatus {
        observed_generation: generation,
        matched_tools: Some(report.matched_tools),
        dead_rules: report.dead_rules,
        conditions: merge(report.effective, report.reason, report.message),
    };
    (status, report.expires_at)
}
