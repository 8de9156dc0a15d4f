//! MCP0912 terminating: the spec of an object that is being deleted was changed.

use crate::check::is_terminating;

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0912", "terminating", &Kind::ALL, Class::Structural)
        .summary("the spec of an object that is being deleted was changed")
        .never_ratchets()
        .terminating(),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(old) = context.old else { return };
    if is_terminating(old) && context.object.get("spec") != old.get("spec") {
        report
            .at("spec")
            .must("must not change: the object is being deleted")
            .hint("wait until it is gone, then make a new one");
    }
}
