//! MCP0706 no-grant: no grant covers the subject: every call will be denied.

use api::Effect;

use crate::context::known;
use crate::questions::impersonate;
use crate::subject::{covers, is_live};

use super::{Class, Context, Meta, Need, Plain, Report, SESSION};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0706", "no-grant", SESSION, Class::Warning)
        .summary("no grant covers the subject: every call will be denied")
        .needs(&[Need::Grants, Need::Requester]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.session() else { return };
    if !context.creating() {
        return;
    }
    let Some(grants) = known(&context.facts.grants, Need::Grants, report) else { return };
    let Some(requester) = context.requester(report) else { return };
    let own = impersonate(context.object, requester, context.facts).is_none();
    let groups: &[String] = if own { &requester.groups } else { &[] };
    let granted = grants.iter().any(|grant| {
        grant.metadata.namespace.as_deref() == Some(context.namespace)
            && grant.spec.effect == Effect::Allow
            && grant.spec.server_ref == spec.server_ref
            && is_live(grant, context.facts.now.get().copied())
            && covers(&grant.spec.subject, &spec.subject, groups)
    });
    if !granted {
        report
            .at("spec.subject")
            .given(&spec.subject)
            .must("has no grant for this server: every call will be denied")
            .hint("ask for one: kubectl mcp grant create");
    }
}
