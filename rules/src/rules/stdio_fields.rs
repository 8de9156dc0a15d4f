//! MCP0314 stdio-fields: `port`, `path` or no gateway with `transport: stdio`, or `stdio` with another transport.

use api::Transport;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0314", "stdio-fields", SERVER, Class::Structural)
        .summary("`port`, `path` or no gateway with `transport: stdio`, or a `stdio` block with another transport"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    if effective.transport == Transport::Stdio {
        for (field, given) in [("port", spec.port.map(|port| port.to_string())), ("path", spec.path.clone())] {
            if let Some(given) = given {
                report
                    .at(format!("spec.{field}"))
                    .given(given)
                    .must("must not be set with transport: stdio: such a server listens on nothing")
                    .hint(format!("take {field} away, or write transport: streamable-http"));
            }
        }
        if !effective.gateway.enabled {
            report
                .at("spec.gateway.enabled")
                .given(false)
                .must("must not be false with transport: stdio: such a server listens on nothing")
                .hint("take gateway.enabled away, or write transport: streamable-http");
        }
    } else if spec.stdio.is_some() {
        report
            .at("spec.stdio")
            .judging(effective.transport.as_str())
            .must(format!("must not be set with transport: {}", effective.transport.as_str()))
            .hint("transport: stdio, or take stdio away");
    }
}
