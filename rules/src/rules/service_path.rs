//! MCP0810 service-path: a path that requests are sent to, or taken at, says more than a path.

use crate::parse::request_path::{self, Fault};

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0810", "service-path", &[Kind::Tool, Kind::Prompt, Kind::Resource], Class::Structural).summary(
        "a path of a Service or of plain HTTP has a scheme, `..`, `//`, a line break, something encoded, or a query",
    ),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    for (field, path) in paths(context) {
        let Err(fault) = request_path::check(path) else { continue };
        let draft = report.at(field).given(path);
        draft.must(fault.requirement());
        if fault == Fault::Query {
            draft.hint("what a caller gives goes by a property of inputSchema, or by a parameter with 'in: query'");
        } else if let Some(meant) = request_path::meant(path) {
            draft.hint(format!("did you mean '{meant}'?"));
        }
    }
}

/// Every path that the object says, and where.
fn paths<'a>(context: &'a Context<'_>) -> Vec<(String, &'a str)> {
    let mut paths = Vec::new();
    let mut add = |field: String, path: &'a Option<String>| paths.extend(path.as_deref().map(|path| (field, path)));
    if let Some(spec) = context.tool() {
        add("spec.service.path".to_owned(), &spec.service.path);
        add("spec.ingressPath".to_owned(), &spec.ingress_path);
        for (index, tool) in spec.tools.iter().flatten().enumerate() {
            add(format!("spec.tools[{index}].path"), &tool.path);
            add(format!("spec.tools[{index}].ingressPath"), &tool.ingress_path);
        }
    }
    if let Some(spec) = context.prompt() {
        add("spec.ingressPath".to_owned(), &spec.ingress_path);
    }
    let operations = context.resource().and_then(|spec| spec.operations.as_deref()).unwrap_or_default();
    for (index, operation) in operations.iter().enumerate() {
        add(format!("spec.operations[{index}].service.path"), &operation.service.path);
    }
    let outside = operations.iter().enumerate();
    paths.extend(outside.map(|(index, operation)| {
        (format!("spec.operations[{index}].ingressPath"), operation.ingress_path.as_str())
    }));
    paths
}
