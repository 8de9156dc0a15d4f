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
        let modes = spec.access.as_ref()?.allowed_auth_modes.as_ref()?;
        (!modes.contains(&mode)).then_some(modes)
    });
    if let Some((policy, modes)) = refusing {
        let draft = report.at("spec.auth.mode").given(mode);
        draft.must(format!("must be a mode that MCPPolicy '{policy}' allows"));
        if let Some(first) = modes.first() {
            draft.hint(format!("mode: {first}"));
        }
    } else if !context.selected().any(lists) && matches!(mode, AuthMode::None | AuthMode::Header) {
        let message = match mode {
            AuthMode::None => "lets everybody call who can reach the server",
            _ => "believes whoever can set the headers",
        };
        report.at("spec.auth.mode").given(mode).must(message).hint("mode: session").warning();
    }
}

fn lists(spec: &MCPPolicySpec) -> bool {
    spec.access.as_ref().is_some_and(|access| access.allowed_auth_modes.is_some())
}
