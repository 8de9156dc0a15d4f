//! MCP0208 unknown-class: the ingress class is outside `ingress.allowedClasses`; or it does not exist: a warning.

use crate::context::known;
use crate::finding::escape;
use crate::parse::near::nearest;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0208", "unknown-class", SERVER, Class::Policy)
        .summary("the ingress class is outside `ingress.allowedClasses`; or it does not exist: a warning")
        .needs(&[Need::Policies, Need::IngressClasses])
        .mentioned_by(|spec| spec.ingress.as_ref().is_some_and(|ingress| ingress.allowed_classes.is_some())),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let Some(ingress) = &effective.ingress else { return };
    let class = &ingress.class;
    let refusing = context.selected().first(|spec| {
        let entries = spec.ingress.as_ref()?.allowed_classes.as_ref()?;
        (!entries.contains(class)).then_some(entries)
    });
    if let Some((policy, entries)) = refusing {
        let draft = report.at("spec.ingressClass").given(class);
        let default = if spec.ingress_class.is_none() { format!("; '{class}' is the default") } else { String::new() };
        draft.must(format!("must be a class that MCPPolicy '{policy}' allows{default}"));
        if let Some(entry) = nearest(class, entries.iter().map(String::as_str)) {
            draft.hint(format!("ingressClass: {entry}"));
        }
        return;
    }
    let Some(known) = known(&context.facts.ingress_classes, Need::IngressClasses, report) else { return };
    if !known.contains(class) {
        // A warning has no room for the value, and nobody wrote the default.
        let default = if spec.ingress_class.is_none() { ", the default," } else { "" };
        let draft = report.at("spec.ingressClass").judging(class).warning();
        draft.must(format!("'{}'{default} is no IngressClass of this cluster", escape(class)));
        if let Some(name) = nearest(class, known.iter().map(String::as_str)) {
            draft.hint(format!("ingressClass: {name}"));
        }
    }
}
