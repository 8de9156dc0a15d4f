//! MCP0704 unrevoke: a revoked session is to live again.

use super::{Class, Context, Meta, Plain, Report, SESSION};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0704", "unrevoke", SESSION, Class::Structural)
        .summary("a revoked session is to live again")
        .never_ratchets(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let (Some(new), Some(old)) = (context.session(), context.old_session()) else { return };
    if old.revoked && !new.revoked {
        report.at("spec.revoked").given(false).must("must stay true").hint("make a new session");
    }
}
