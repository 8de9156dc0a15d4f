//! MCP0408 rate-limit: a limit that lets nothing through, that names no tool or one in vain, or that counts subjects nobody knows.

use api::{AuthMode, RateLimit, RateLimitScope};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0408", "rate-limit", SERVER, Class::Structural).summary(
        "a rate limit of zero, of scope `tool` without a tool or a tool with another scope, or per subject with `auth.mode: none`",
    ),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    for (index, limit) in spec.rate_limits.iter().enumerate() {
        let field = |name: &str| format!("spec.rateLimits[{index}].{name}");
        for (name, number) in [("requests", Some(limit.requests)), ("burst", limit.burst)] {
            if let Some(number) = number.filter(|number| *number < 1) {
                report
                    .at(field(name))
                    .given(number)
                    .must("must be at least 1: nothing would ever be let through")
                    .hint(format!("{name}: 1"));
            }
        }
        tool(limit, &field, report);
        if limit.scope == RateLimitScope::Subject && effective.auth.mode == AuthMode::None {
            report
                .at(field("scope"))
                .given("subject")
                .must("must not be subject with auth.mode none: nobody knows who calls")
                .hint("scope: server");
        }
    }
}

fn tool(limit: &RateLimit, field: &dyn Fn(&str) -> String, report: &mut Report) {
    match (limit.scope, &limit.tool) {
        (RateLimitScope::Tool, None) => {
            report
                .at(field("tool"))
                .must("must be given with scope tool")
                .hint("tool: the name of a tool, or scope: server");
        }
        (RateLimitScope::Server | RateLimitScope::Subject, Some(tool)) => {
            report
                .at(field("tool"))
                .given(tool)
                .must("must not be set with another scope than tool: the limit would hold for all tools")
                .hint("scope: tool");
        }
        (RateLimitScope::Tool, Some(_)) | (RateLimitScope::Server | RateLimitScope::Subject, None) => {}
    }
}
