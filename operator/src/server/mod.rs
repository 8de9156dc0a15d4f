//! MCPServer: dereference -> validate -> build -> apply -> status.
//!
//! *dereference* looks up what the spec names, *validate* judges it by the rules of admission, *build* makes the
//! wanted objects of it (pure), *apply* brings the cluster there, *status* says what came of it.

mod applied;
pub mod build;
pub mod session_key;
mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use api::MCPServer;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::apply;
use crate::context::Context;
use crate::reconcile::{self, Reason, StatusError};

/// Why a reconcile did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object could not be brought to what is wanted.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// The status could not be written.
    #[error(transparent)]
    Status(#[from] StatusError),
}

impl Reason for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Apply(apply::Error::Conflict { .. }) => "name_conflict",
            Self::Apply(apply::Error::Read { .. }) => "read_failed",
            Self::Apply(apply::Error::Write { .. }) => "write_failed",
            Self::Apply(apply::Error::Delete { .. }) => "delete_failed",
            Self::Apply(apply::Error::Serialise { .. }) => "serialise_failed",
            Self::Status(error) => error.reason(),
        }
    }
}

/// How long to wait before a server that is not ready is looked at again, should no watch say so.
const NOT_READY: Duration = Duration::from_secs(15);

/// How often the status of a server with pins is compared with what its gateway found.
const COMPARE: Duration = Duration::from_secs(60);

/// A second line behind the watches: nobody stays wrong for longer than this. It writes nothing when nothing changed.
const RESYNC: Duration = Duration::from_secs(10 * 60);

/// Reconciles servers until the queue ends.
pub async fn run(context: Arc<Context>, triggers: UnboundedReceiver<ObjectRef<MCPServer>>) {
    let cache = context.caches.servers.clone();
    let config = Config::default().concurrency(context.settings.workers);
    let reconcile = |server: Arc<MCPServer>, context: Arc<Context>| async move {
        reconcile(&server, &context).await
    };
    reconcile::run(context, cache, triggers, config, reconcile).await;
}

async fn reconcile(server: &MCPServer, context: &Context) -> Result<Action, Error> {
    if server.metadata.deletion_timestamp.is_some() || context.is_ending(server) {
        return Ok(Action::await_change());
    }
    let verdict = validate::validate(server, context);
    let (outcome, next) = match &verdict {
        Ok(valid) => {
            let wanted = build::build(valid);
            let result = Box::pin(applied::apply(context, valid, wanted)).await;
            let next = valid.next_change();
            (result.map(Some), next)
        }
        Err(_) => (
            applied::refresh_access(context, server)
                .await
                .map(|()| None),
            None,
        ),
    };
    let error = match outcome {
        Ok(applied) => {
            let ready = status::write(
                context,
                server,
                &verdict,
                status::Seen::Applied(applied.as_ref()),
            )
            .await?;
            let wait = if ready || verdict.is_err() {
                next
            } else {
                Some(next.map_or(NOT_READY, |n| n.min(NOT_READY)))
            };
            let resync = if status::compares_definitions(&verdict) {
                COMPARE
            } else {
                RESYNC
            };
            return Ok(Action::requeue(
                wait.map_or(resync, |wait| wait.min(resync)),
            ));
        }
        Err(error) => error,
    };
    status::write(context, server, &verdict, status::Seen::Failed(&error)).await?;
    Err(error.into())
}
