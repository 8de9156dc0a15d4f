//! MCP0402 unenforced: direct mode while authentication, policy, sessions, rate limits, tool trust or an audit are set.

use api::{AuditSink, Auth, AuthMode};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0402", "unenforced", SERVER, Class::Structural)
        .summary("direct mode while authentication, policy, sessions, rate limits, tool trust or an audit are set"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    if effective.gateway.enabled {
        return;
    }
    let open = Auth { mode: Some(AuthMode::None), ..Auth::default() };
    let set = [
        ("spec.auth", spec.auth.as_ref().is_some_and(|auth| *auth != open)),
        ("spec.policy", spec.policy.is_some()),
        ("spec.session", spec.session.is_some()),
        ("spec.rateLimits", !spec.rate_limits.is_empty()),
        ("spec.audit", spec.audit.as_ref().is_some_and(|audit| audit.sink != Some(AuditSink::Off))),
    ];
    for (field, _) in set.into_iter().filter(|(_, set)| *set) {
        refuse(field.to_owned(), report);
    }
    for (index, tool) in spec.tools.iter().enumerate() {
        for (name, set) in
            [("requiredTrust", tool.required_trust.is_some()), ("scopes", !tool.scopes.is_empty()), ("pin", tool.pin.is_some())]
        {
            if set {
                refuse(format!("spec.tools[{index}].{name}"), report);
            }
        }
    }
}

fn refuse(field: String, report: &mut Report) {
    report
        .at(field)
        .must("must not be set with gateway.enabled: false: without the gateway nobody enforces it")
        .hint("take it away, or take gateway.enabled away");
}
