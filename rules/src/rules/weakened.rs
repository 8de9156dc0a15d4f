//! MCP0410 weakened: a server is made looser than it was by somebody without the verb `weaken`.

use crate::facts::Operation;
use crate::weakening::{Since, Weakening, question, weakening};

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0410", "weakened", SERVER, Class::PolicyOn)
        .summary(
            "who may call, who a caller is, what is noted or limited is made looser than it was, or, where live grants name the \
             server, than the default or than it was when they were given, without the verb `weaken` on it",
        )
        .needs(&[Need::Policies, Need::Grants, Need::Requester])
        .never_ratchets(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let old = match context.operation {
        Operation::Create => None,
        Operation::Update => match context.old {
            Some(old) => Some(old),
            None => return,
        },
        Operation::Delete | Operation::Live => return,
    };
    let loosened = match weakening(context.object, old, context.facts) {
        Weakening::Nothing => return,
        Weakening::Unknown => return report.unchecked(Need::Grants),
        Weakening::Loosens(loosened) => loosened,
    };
    if context.requester(report).is_none() {
        return;
    }
    let question = question(context.object, context.facts);
    match context.facts.answers.get(&question) {
        Some(true) => return,
        Some(false) => {}
        None => return report.unchecked(Need::Requester),
    }
    for change in loosened {
        let (before, why) = match change.since {
            Since::Before => ("it was", ""),
            Since::Default => ("the default", ": live grants name this server already"),
            Since::Granted => ("it was when it was granted", ""),
        };
        report
            .at(change.field)
            .given(change.given)
            .must(format!(
                "must not be looser than {before} ({}) without the verb weaken on mcpservers/{}{why}",
                change.was, question.name
            ))
            .hint(format!(
                "somebody with the verb weaken on mcpservers/{} in namespace {} can do it, such as a cluster administrator",
                question.name, question.namespace
            ))
            .forbidden();
    }
}
