//! MCP0601 unknown-server: the server does not exist (yet) in this namespace.

use crate::parse::near::meant;

use super::{Class, Context, Kind, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0601", "unknown-server", &[Kind::Grant, Kind::Session], Class::Warning)
        .summary("the server does not exist (yet) in this namespace")
        .needs(&[Need::Servers]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let reference = context.grant().map(|spec| &spec.server_ref).or(context.session().map(|spec| &spec.server_ref));
    let Some(reference) = reference else { return };
    let Some(servers) = context.other_servers(report) else { return };
    let names: Vec<&str> = servers.map(|server| server.name.as_str()).collect();
    if !names.contains(&reference.name.as_str()) {
        let draft = report.at("spec.serverRef.name").given(&reference.name);
        draft.must(format!("is no MCPServer of namespace '{}' (yet)", context.namespace));
        if let Some(name) = meant(&reference.name, names) {
            draft.hint(format!("did you mean '{name}'?"));
        }
    }
}
