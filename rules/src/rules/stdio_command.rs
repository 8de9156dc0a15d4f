//! MCP0313 stdio-command: `transport: stdio` without `command`: the entry point is not read from the image yet.

use api::Transport;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0313", "stdio-command", SERVER, Class::Structural)
        .summary("`transport: stdio` without `command`: the entry point is not read from the image yet"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    if effective.transport == Transport::Stdio && spec.image.is_some() && spec.command.is_empty() {
        report
            .at("spec.command")
            .must("must be given with transport: stdio: this version does not read the entry point from the image")
            .hint("command: [\"/server\"], as the ENTRYPOINT of the image's Dockerfile says");
    }
}
