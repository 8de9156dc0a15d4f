//! MCP0610 immutable-ref: `serverRef` or `subject` of a grant was changed.

use crate::finding::escape;

use super::{Class, Context, GRANT, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0610", "immutable-ref", GRANT, Class::Structural)
        .summary("`serverRef` or `subject` of a grant was changed")
        .never_ratchets(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let (Some(new), Some(old)) = (context.grant(), context.old_grant()) else { return };
    let hint = "make a new grant and delete this one";
    if new.server_ref != old.server_ref {
        report
            .at("spec.serverRef.name")
            .given(&new.server_ref.name)
            .must(format!("must stay '{}'", escape(&old.server_ref.name)))
            .hint(hint);
    }
    if new.subject != old.subject {
        report.at("spec.subject").given(&new.subject).must(format!("must stay '{}'", escape(&old.subject.to_string()))).hint(hint);
    }
}
