//! MCP0905 policy-contradiction: a default is refused by a list of the same policy.

use crate::parse::host::Host;

use super::{Class, Context, Meta, POLICY, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0905", "policy-contradiction", POLICY, Class::Structural)
        .summary("a default is refused by a list of the same policy"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.policy() else { return };
    let (Some(defaults), Some(ingress)) = (&spec.defaults, &spec.ingress) else { return };
    if let (Some(host), Some(allowed)) = (&defaults.ingress_host, &ingress.allowed_hosts)
        && let Ok(parsed) = Host::parse(host)
        && !allowed.iter().any(|entry| parsed.matches(entry))
    {
        report
            .at("spec.defaults.ingressHost")
            .given(host)
            .must("must be one of ingress.allowedHosts of the same policy")
            .hint(format!("add '{host}' to ingress.allowedHosts"));
    }
    if let (Some(class), Some(allowed)) = (&defaults.ingress_class, &ingress.allowed_classes)
        && !allowed.contains(class)
    {
        report
            .at("spec.defaults.ingressClass")
            .given(class)
            .must("must be one of ingress.allowedClasses of the same policy")
            .hint(format!("add '{}' to ingress.allowedClasses", crate::finding::escape(class)));
    }
}
