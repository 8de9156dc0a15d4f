//! MCP0211 both-paths: `ingressPath` and `publicPathPrefix` are both set: the first wins.

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0211", "both-paths", SERVER, Class::Warning)
        .summary("`ingressPath` and `publicPathPrefix` are both set: the first wins"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    if let (Some(path), Some(prefix)) = (&spec.ingress_path, &spec.public_path_prefix) {
        report
            .at("spec.publicPathPrefix")
            .given(prefix)
            .must(format!("has no effect: ingressPath '{}' wins", crate::finding::escape(path)))
            .hint("take publicPathPrefix away");
    }
}
