//! MCP0602 empty-subject: the subject names nobody, or only a self-declared `agentID`.

use super::{Class, Context, GRANT, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0602", "empty-subject", GRANT, Class::Structural)
        .summary("the subject names nobody, or only a self-declared `agentID`"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.grant() else { return };
    if spec.subject.names_somebody() {
        return;
    }
    let message = if spec.subject.agent_id.is_some() {
        "must name somebody beside agentID, which every caller can claim"
    } else {
        "must name somebody: humanID, teamID, serviceAccount or group"
    };
    report.at("spec.subject").must(message).hint("humanID: alice@example.com");
}
