//! MCP0403 auth-mode: the mode is outside `access.allowedAuthModes`; `none` and `header` are a warning without a list.

use api::{AuthMode, MCPPolicySpec};

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0403", "auth-mode", SERVER, Class::Policy)
        .summary("the mode is outside `access.allowedAuthModes`; `none` and `header` are a warning without a list")
        .needs(&[Need::Policies])
        .mentioned_by(lists),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    let mode = effective.auth.mode;
    if !effective.gateway.enabled {
        return;
    }
    context.policies(report);
    let refusing = context.selected().first(|spec| {
        let modes = modes_of(spec)?;
        (!modes.contains(&mode)).then_some(modes)
    });
    if let Some((policy, modes)) = refusing {
        let draft = report.at("spec.auth.mode").given(mode);
        draft.must(format!("must be a mode that MCPPolicy '{policy}' allows"));
        let fits = |mode: &AuthMode| {
            !context.selected().any(|spec| modes_of(spec).is_some_and(|modes| !modes.contains(mode)))
        };
        // A mode that needs nothing else besides comes first.
        let alone = |mode: &&AuthMode| matches!(mode, AuthMode::OAuth | AuthMode::Header);
        draft.hint(match modes.iter().filter(|mode| fits(mode)).min_by_key(alone) {
            Some(mode) => format!("mode: {mode}"),
            None => "ask a platform engineer to add session to access.allowedAuthModes".to_owned(),
        });
    } else if !context.selected().any(lists) && matches!(mode, AuthMode::None | AuthMode::Header) {
        let message = match mode {
            AuthMode::None => "lets everybody call who can reach the server",
            _ => "believes whoever can set the headers",
        };
        report.at("spec.auth.mode").given(mode).must(message).hint("mode: session").warning();
    }
}

fn lists(spec: &MCPPolicySpec) -> bool {
    modes_of(spec).is_some()
}

fn modes_of(spec: &MCPPolicySpec) -> Option<&[AuthMode]> {
    spec.access.as_ref()?.allowed_auth_modes.as_deref()
}
