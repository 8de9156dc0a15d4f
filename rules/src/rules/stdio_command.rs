//! MCP0313 stdio-command: `transport: stdio` without `command`: the entry point must be read from the image.

use api::Transport;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0313", "stdio-command", SERVER, Class::Warning)
        .summary("`transport: stdio` without `command`: the entry point must be read from the image"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    if effective.transport == Transport::Stdio && spec.image.is_some() && spec.command.is_empty() {
        report
            .at("spec.command")
            .must("is not given: with transport stdio the entry point must be read from the image, which may fail")
            .hint("command: [\"/server\"], as the ENTRYPOINT of the image's Dockerfile says");
    }
}
