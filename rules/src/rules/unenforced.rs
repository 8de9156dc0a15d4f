//! MCP0402 unenforced: direct mode while authentication, policy, sessions, rate limits or tool trust are set.

use api::{Auth, AuthMode};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0402", "unenforced", SERVER, Class::Structural)
        .summary("direct mode while authentication, policy, sessions, rate limits or tool trust are set"),
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
    ];
    for (field, _) in set.into_iter().filter(|(_, set)| *set) {
        refuse(field.to_owned(), report);
    }
    for (index, tool) in spec.tools.iter().enumerate() {
        if tool.required_trust.is_some() {
            refuse(format!("spec.tools[{index}].requiredTrust"), report);
        }
    }
}

fn refuse(field: String, report: &mut Report) {
    report
        .at(field)
        .must("must not be set with gateway.enabled: false: without the gateway nobody enforces it")
        .hint("take it away, or take gateway.enabled away");
}
