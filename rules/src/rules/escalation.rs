//! MCP0607 escalation: somebody gives more than he holds, or lifts a denial, without the verb `grant`.

use crate::escalation::grant;
use crate::facts::Operation;

use super::{Class, Context, GRANT, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0607", "escalation", GRANT, Class::Structural)
        .summary("somebody gives more than he holds, or lifts a denial, without the verb `grant` on the server")
        .needs(&[Need::Requester])
        .never_ratchets()
        .deletions(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let (new, old) = match context.operation {
        Operation::Create => (Some(context.object), None),
        Operation::Update => (Some(context.object), context.old),
        Operation::Delete => (None, Some(context.object)),
        Operation::Live => return,
    };
    let Some(requester) = context.requester(report) else { return };
    let Some(question) = grant(new, old, requester, context.facts) else { return };
    match context.facts.answers.get(&question) {
        Some(true) => {}
        Some(false) => {
            let (field, verb) = match (new, old) {
                (Some(_), None) => ("spec", "give more than you hold yourself"),
                (Some(_), Some(_)) => ("spec", "widen a grant or lift a denial"),
                (None, _) => ("metadata.name", "lift a denial"),
            };
            report
                .at(field)
                .must(format!("may not be written by you: to {verb} needs the verb grant on mcpservers/{}", question.name))
                .hint(format!(
                    "somebody with the role kubectl-mcp-granter in namespace {} can do it",
                    question.namespace
                ))
                .forbidden();
        }
        None => report.unchecked(Need::Requester),
    }
}
