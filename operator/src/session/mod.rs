//! MCPAgentSession: says in its status whether it is active, expired or revoked. Whether its token is taken is decided
//! by the server's bundle.

use std::sync::Arc;

use api::conditions::{self, Wanted};
use api::{MCPAgentSession, SessionPhase, SessionStatus};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::context::Context;
use crate::reconcile::{self, StatusError, until};

/// Reconciles sessions until the queue ends.
pub async fn run(context: Arc<Context>, triggers: UnboundedReceiver<ObjectRef<MCPAgentSession>>) {
    let cache = context.caches.sessions.clone();
    let config = Config::default().concurrency(context.settings.workers);
    reconcile::run(context, cache, triggers, config, reconcile).await;
}

async fn reconcile(
    session: Arc<MCPAgentSession>,
    context: Arc<Context>,
) -> Result<Action, StatusError> {
    let now = Timestamp::now();
    let twin = older_twin(&session, &context);
    let status = status(&session, twin.as_deref(), now);
    if session.status.as_ref() != Some(&status) {
        let api = Api::namespaced(
            context.client.clone(),
            &session.namespace().unwrap_or_default(),
        );
        reconcile::write_status(&context, &api, session.as_ref(), &status).await?;
    }
    let end = session.spec.expires_at.0;
    Ok(if end > now {
        Action::requeue(until(end))
    } else {
        Action::await_change()
    })
}

/// The name of an older session with the same token for the same server: that one counts.
fn older_twin(session: &MCPAgentSession, context: &Context) -> Option<String> {
    let age = |s: &MCPAgentSession| (s.creation_timestamp().map(|t| t.0), s.name_any());
    let namespace = session.namespace().unwrap_or_default();
    context
        .caches
        .sessions_of(&namespace, &session.spec.server_ref.name)
        .into_iter()
        .filter(|other| {
            other.spec.token_hash == session.spec.token_hash && age(other) < age(session)
        })
        .map(|other| other.name_any())
        .min()
}

/// What stands in the status. Pure.
fn status(session: &MCPAgentSession, twin: Option<&str>, now: Timestamp) -> SessionStatus {
    let phase = if session.spec.revoked {
        SessionPhase::Revoked
    } else if session.spec.expires_at.0 <= now {
        SessionPhase::Expired
    } else {
        SessionPhase::Active
    };
    let (accepted, reason, message) = match twin {
        None => (true, "Accepted", "the token is this session's".to_owned()),
        Some(twin) => (
            false,
            "TokenTaken",
            format!("the older session {twin} has the same token; make a new session"),
        ),
    };
    let generation = session.metadata.generation;
    let before = session.status.clone().unwrap_or_default();
    let wanted = Wanted {
        type_: conditions::ACCEPTED,
        status: accepted.into(),
        reason,
        message,
    };
    SessionStatus {
        observed_generation: generation,
        phase: Some(phase),
        conditions: conditions::merge(&before.conditions, vec![wanted], generation, now),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session(revoked: bool) -> MCPAgentSession {
        serde_json::from_value(json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAgentSession",
            "metadata": {"name": "s", "namespace": "n", "generation": 2},
            "spec": {"serverRef": {"name": "w"}, "subject": {"humanID": "alice"}, "tokenHash": "00", "revoked": revoked,
                     "expiresAt": "2030-01-01T00:00:00Z"}
        }))
        .unwrap()
    }

    #[test]
    fn the_phase_follows_the_clock_and_a_revocation_wins() {
        let before = "2029-12-31T23:59:59Z".parse().unwrap();
        let after = "2030-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(
            status(&session(false), None, before).phase,
            Some(SessionPhase::Active)
        );
        assert_eq!(
            status(&session(false), None, after).phase,
            Some(SessionPhase::Expired)
        );
        assert_eq!(
            status(&session(true), None, before).phase,
            Some(SessionPhase::Revoked)
        );
    }

    #[test]
    fn a_session_with_the_token_of_an_older_one_is_not_accepted() {
        let status = status(&session(false), Some("first"), Timestamp::UNIX_EPOCH);
        assert_eq!(status.conditions[0].status, "False");
        assert!(status.conditions[0].message.contains("first"));
    }
}
