//! MCP0703 lifetime: the session ends in the past, or beyond what the server or a policy allows.

use std::time::Duration;

use crate::context::known;
use crate::effective::MAX_SESSION_LIFETIME;

use super::{Class, Context, Meta, Need, Plain, Report, SESSION, say};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0703", "lifetime", SESSION, Class::Structural)
        .summary("the session ends in the past, or beyond what the server or a policy allows")
        .needs(&[Need::Time, Need::Servers, Need::Policies])
        .never_ratchets(),
    check,
};

/// How far the clock of whoever wrote the session may be ahead.
const SLACK: Duration = Duration::from_secs(60);

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.session() else { return };
    if !context.creating() {
        return;
    }
    let Some(now) = context.now(report) else { return };
    let expires = spec.expires_at.0;
    if expires <= now {
        report.at("spec.expiresAt").given(expires).must("must be in the future");
        return;
    }
    // Whatever the server says, the policies' limit holds, and one's own default where nobody knows the server.
    let servers = known(&context.facts.servers, Need::Servers, report).is_some();
    let policies = context.policies(report).is_some();
    let server = context.facts.server(context.namespace, &spec.server_ref.name);
    let ceiling = context.selected().shortest(|access| access.max_session_lifetime.as_ref()).map(|(_, most)| most);
    let own = server.map_or(MAX_SESSION_LIFETIME, |server| server.max_session_lifetime);
    let most = match (ceiling.filter(|_| policies), servers) {
        (Some(ceiling), true) => ceiling.min(own),
        (Some(ceiling), false) => ceiling,
        (None, true) => own,
        (None, false) => return,
    };
    if now.checked_add(most + SLACK).is_ok_and(|latest| expires > latest) {
        report
            .at("spec.expiresAt")
            .given(expires)
            .must(format!("must be at most {} from now, the longest life of a session of this server", say(most)))
            .hint(format!("kubectl mcp session create --for {}", say(most)));
    }
}
