//! MCP0708 others-session: somebody else's session is changed or deleted, or a revoked one deleted, without the verb `revoke`.

use crate::facts::Operation;
use crate::questions::revoke;

use super::{Class, Context, Meta, Need, Plain, Report, SESSION};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0708", "others-session", SESSION, Class::Structural)
        .summary("somebody else's session is changed or deleted, or a revoked one deleted, without the verb `revoke`")
        .needs(&[Need::Requester])
        .never_ratchets()
        .deletions(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let (new, old) = match context.operation {
        Operation::Delete => (None, context.object),
        Operation::Update => match context.old {
            Some(old) => (Some(context.object), old),
            None => return,
        },
        Operation::Create | Operation::Live => return,
    };
    let Some(requester) = context.requester(report) else { return };
    let Some(question) = revoke(new, old, requester, context.facts) else { return };
    match context.facts.answers.get(&question) {
        Some(true) => {}
        Some(false) => {
            let message = if new.is_none() {
                "may not be deleted: it is somebody else's or was revoked, and that needs the verb revoke on mcpagentsessions"
            } else {
                "may not be changed: it is somebody else's, and that needs the verb revoke on mcpagentsessions"
            };
            report.at("metadata.name").given(context.name).must(message).forbidden();
        }
        None => report.unchecked(Need::Requester),
    }
}
