//! MCP0602 empty-subject: the subject names nobody, or only a self-declared `agentID`, or a denial names an agent.

use api::Effect;

use super::{Class, Context, GRANT, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0602", "empty-subject", GRANT, Class::Structural)
        .summary("the subject names nobody, or only a self-declared `agentID`; or effect `Deny` names an `agentID`"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.grant() else { return };
    if let (Effect::Deny, Some(agent)) = (spec.effect, &spec.subject.agent_id) {
        report
            .at("spec.subject.agentID")
            .given(agent)
            .must("must not be set with effect Deny: an agent says its own name, so whoever is denied says another")
            .hint("take agentID away: the denial then holds whatever agent the subject uses");
    }
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
