//! MCP0212 wildcard-host: a wildcard or single-label host, one of an internal suffix, or one that reads like an address.

use crate::parse::host::Host;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0212", "wildcard-host", SERVER, Class::PolicyOn)
        .summary("a wildcard or single-label host, one of an internal suffix, or one that reads like an address")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.ingress.as_ref().is_some_and(|ingress| ingress.allow_wildcard_hosts.is_some())),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    let Some(text) = effective.ingress.as_ref().and_then(|ingress| ingress.host.as_ref()) else { return };
    let Ok(host) = Host::parse(text) else { return };
    let internal;
    let message = if host.is_wildcard() {
        "must not be a wildcard: it would claim the hosts of others"
    } else if host.ends_in_a_number() {
        "must not end in a number: some clients would read it as an address"
    } else if host.is_single_label() {
        "must have at least two labels, such as mcp.example.com"
    } else if let Some(suffix) = host.internal_suffix() {
        internal = format!("must not end in '{suffix}', which names the inside of a cluster or a site");
        &internal
    } else {
        return;
    };
    let draft = report.at("spec.ingressHost").given(text).must(message);
    if host.is_wildcard() {
        draft.relaxed_by(context.selected().relaxing(|spec| {
            spec.ingress.as_ref().is_some_and(|ingress| ingress.allow_wildcard_hosts == Some(true))
        }));
    }
}
