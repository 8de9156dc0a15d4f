//! One server, one caller with a session, and as many grants as a test wants.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "shared by two tests"
)]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows only test functions as tests"
)]

use std::sync::Arc;

use access::{Bundle, Caller, Settings};
use api::{
    Decision, Effect, MCPAccessGrant, MCPAccessGrantSpec, MCPAgentSession, MCPAgentSessionSpec,
    MCPServer, ServerRef, SideEffect, Subject, Tool, ToolRule, Trust,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub struct World {
    pub settings: Settings,
    pub server: MCPServer,
    pub grants: Vec<Arc<MCPAccessGrant>>,
    pub session: MCPAgentSession,
}

pub fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

pub fn time(at: Timestamp) -> Time {
    Time(at)
}

pub fn tool(name: &str, trust: Trust, side_effect: SideEffect) -> Tool {
    Tool {
        name: name.to_owned(),
        required_trust: Some(trust),
        side_effect: Some(side_effect),
        ..Tool::default()
    }
}

pub fn rule(
    grant: &mut MCPAccessGrant,
    name: &str,
    decision: Decision,
    required_trust: Option<Trust>,
) {
    grant.spec.tool_rules.push(ToolRule {
        name: name.to_owned(),
        decision,
        required_trust,
    });
}

pub fn human(grant: &mut MCPAccessGrant, name: &str) {
    grant.spec.subject.human_id = Some(name.to_owned());
}

impl World {
    pub fn new() -> Self {
        let mut server = MCPServer::new("weather", api::MCPServerSpec::default());
        server.metadata.namespace = Some("team-a".to_owned());
        server.spec.tools = vec![
            tool("echo", Trust::Low, SideEffect::Read),
            tool("add", Trust::Low, SideEffect::Read),
            tool("write", Trust::Medium, SideEffect::Write),
            tool("wipe", Trust::High, SideEffect::Destructive),
        ];
        let mut session = MCPAgentSession::new(
            "alice-1",
            MCPAgentSessionSpec {
                server_ref: ServerRef {
                    name: "weather".to_owned(),
                },
                subject: Subject {
                    human_id: Some("alice".to_owned()),
                    ..Subject::default()
                },
                consented_trust: Trust::Low,
                expires_at: Time(now() + SignedDuration::from_hours(1)),
                revoked: false,
                token_hash: access::token_hash("mcps_alice"),
                upstream_token_secret_ref: None,
            },
        );
        session.metadata.namespace = Some("team-a".to_owned());
        session.metadata.creation_timestamp = Some(Time(now()));
        Self {
            settings: Settings::new("team-a", "weather"),
            server,
            grants: Vec::new(),
            session,
        }
    }

    /// Adds a grant to alice that allows reading; `change` makes of it what the test wants.
    pub fn allow(&mut self, name: &str, change: impl FnOnce(&mut MCPAccessGrant)) {
        let mut grant = MCPAccessGrant::new(
            name,
            MCPAccessGrantSpec {
                server_ref: ServerRef {
                    name: "weather".to_owned(),
                },
                effect: Effect::Allow,
                subject: Subject {
                    human_id: Some("alice".to_owned()),
                    ..Subject::default()
                },
                allowed_side_effects: vec![SideEffect::Read],
                ..MCPAccessGrantSpec::default()
            },
        );
        grant.metadata.namespace = Some("team-a".to_owned());
        grant.metadata.creation_timestamp = Some(Time(now()));
        change(&mut grant);
        self.grants.push(Arc::new(grant));
    }

    pub fn bundle(&self) -> Bundle {
        access::compile(
            &self.settings,
            &self.server,
            &self.grants,
            &[Arc::new(self.session.clone())],
            now(),
        )
    }

    /// The holder of the session, whatever became of the session.
    pub fn caller(&self) -> Caller {
        let mut live = self.session.clone();
        live.spec.revoked = false;
        let bundle = access::compile(&self.settings, &self.server, &[], &[Arc::new(live)], now());
        Caller::of_session(&bundle.sessions[0])
    }
}
