//! MCP0321 secret-reference: a Secret is newly named that the requester himself may not get.

use crate::facts::Operation;
use crate::questions::newly_given;

use super::{Class, Context, Kind, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0321", "secret-reference", &[Kind::Server, Kind::Session], Class::Structural)
        .summary("a Secret is newly named that the requester himself may not get, and that is not labelled for the server")
        .needs(&[Need::Requester])
        .never_ratchets(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    if !matches!(context.operation, Operation::Create | Operation::Update) {
        return;
    }
    let (named, before) = context.secrets_named();
    for (reference, question) in newly_given(context.object, named, &before, context.facts) {
        if context.requester(report).is_none() {
            return;
        }
        let which = if question.name.is_empty() { "secrets".to_owned() } else { format!("secrets/{}", question.name) };
        match context.facts.answers.get(&question) {
            Some(true) => {}
            Some(false) => {
                report
                    .at(reference.field)
                    .given(&reference.name)
                    .must(format!(
                        "must not be named by somebody without the verb get on {which} in namespace '{}': whoever writes a \
                         server reads what it is given",
                        question.namespace
                    ))
                    .hint("somebody who may get the Secret can write this, or give you the right")
                    .forbidden();
            }
            None => report.unchecked(Need::Requester),
        }
    }
}
