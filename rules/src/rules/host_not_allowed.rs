//! MCP0204 host-not-allowed: the host is outside `ingress.allowedHosts`; `*.x` stands for exactly one label.

use crate::parse::host::Host;
use crate::parse::near::nearest;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0204", "host-not-allowed", SERVER, Class::Policy)
        .summary("the host is outside `ingress.allowedHosts`; `*.x` stands for exactly one label")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.ingress.as_ref().is_some_and(|ingress| ingress.allowed_hosts.is_some())),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    let Some(host) = effective.ingress.as_ref().and_then(|ingress| ingress.host.as_ref()) else { return };
    let Some(policies) = context.policies(report) else { return };
    let Ok(parsed) = Host::parse(host) else { return };
    let refusing = policies.first(|spec| {
        let entries = spec.ingress.as_ref()?.allowed_hosts.as_ref()?;
        (!entries.iter().any(|entry| parsed.matches(entry))).then_some(entries)
    });
    let Some((policy, entries)) = refusing else { return };
    let draft = report.at("spec.ingressHost").given(host);
    match nearest(host, entries.iter().map(String::as_str)) {
        None => draft.must(format!("must not be set: MCPPolicy '{policy}' allows no host")),
        Some(entry) => draft
            .must(format!("must be an allowed host; nearest entry is '{entry}' in MCPPolicy '{policy}'"))
            .hint(format!("ingressHost: {}", replacement(host, entry))),
    };
}

/// A host that the entry covers, with the first label of the one that was given.
fn replacement(host: &str, entry: &str) -> String {
    match entry.strip_prefix("*.") {
        Some(suffix) => format!("{}.{suffix}", host.split('.').next().unwrap_or_default().replace('*', "mcp")),
        None => entry.to_owned(),
    }
}
