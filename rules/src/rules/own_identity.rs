//! MCP0701 own-identity: the subject is not the requester himself, and he may not impersonate.

use crate::finding::escape;
use crate::questions::impersonate;
use crate::subject::is_one_principal;

use super::{Class, Context, Meta, Need, Plain, Report, SESSION};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0701", "own-identity", SESSION, Class::Structural)
        .summary("the subject is not the requester himself, and he may not impersonate")
        .needs(&[Need::Requester, Need::Policies])
        .never_ratchets(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.session() else { return };
    if !context.creating() {
        return;
    }
    let subject = &spec.subject;
    if let Some(group) = &subject.group {
        report.at("spec.subject.group").given(group).must("must not be set: a session is one person's or one service account's");
    } else if !is_one_principal(subject) {
        report
            .at("spec.subject")
            .given(subject)
            .must("must name exactly one of humanID and serviceAccount")
            .hint("kubectl mcp session create writes the session for whoever runs it");
    }
    let Some(requester) = context.requester(report) else { return };
    let Some(question) = impersonate(context.object, requester, context.facts) else { return };
    if !is_one_principal(subject) {
        return;
    }
    match context.facts.answers.get(&question) {
        Some(true) => {}
        Some(false) => {
            report
                .at("spec.subject")
                .given(subject)
                .must(format!(
                    "must be '{}', who asks: a session for somebody else needs the verb impersonate on mcpagentsessions",
                    escape(&requester.username)
                ))
                .forbidden();
        }
        None => report.unchecked(Need::Requester),
    }
}
