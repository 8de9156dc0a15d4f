//! MCP0808 path-parameters: the `{param}`s of a path and the parameters that are declared differ.

use std::collections::BTreeSet;

use api::{ParameterPlace, ResourceOperation, ToolView};
use serde_json::{Map, Value};

use crate::parse::near::meant;
use crate::parse::placeholder::{self, Fault};

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0808", "path-parameters", &[Kind::Tool, Kind::Resource], Class::Structural).summary(
        "the `{param}`s of a path and the declared parameters differ: those of a tool are required properties of its \
         `inputSchema`",
    ),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    if let Some(spec) = context.tool() {
        for tool in spec.views() {
            let entry = tool.index.and_then(|index| spec.tools.as_deref()?.get(index));
            judge_tool(&tool, entry.is_some_and(|entry| entry.path.is_none()), report);
        }
    }
    let operations = context.resource().and_then(|spec| spec.operations.as_deref()).unwrap_or_default();
    for (index, operation) in operations.iter().enumerate() {
        judge_operation(&format!("spec.operations[{index}]"), operation, report);
    }
}

/// The arguments of a tool come by its `inputSchema`, so a parameter must be one that a caller has to give. `shared`: its
/// path is the Service's, which other tools have too, so that it is the schema that lacks something.
fn judge_tool(tool: &ToolView<'_>, shared: bool, report: &mut Report) {
    let entry = tool.index.map(|index| format!("spec.tools[{index}]"));
    let place = |name: &str| match &entry {
        Some(entry) if name == "path" && shared => format!("{entry}.inputSchema"),
        Some(entry) => format!("{entry}.{name}"),
        None if name == "path" => "spec.service.path".to_owned(),
        None => format!("spec.{name}"),
    };
    let paths = [(tool.path, place("path")), (tool.ingress_path, place("ingressPath"))];
    for (path, field) in paths {
        let Some(path) = path else { continue };
        for name in parameters(path, &field, report).names {
            property(&name, &field, tool.input_schema, report);
        }
    }
}

fn property(name: &str, field: &str, schema: Option<&Map<String, Value>>, report: &mut Report) {
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let required = schema.and_then(|schema| schema.get("required")).and_then(Value::as_array);
    let is_required = required.is_some_and(|names| names.iter().any(|required| required == name));
    if properties.is_none_or(|properties| !properties.contains_key(name)) {
        let draft = report.at(field).given(format!("{{{name}}}"));
        draft.must("must be a property of the tool's inputSchema");
        let known = properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str));
        match meant(name, known) {
            Some(meant) => draft.hint(format!("did you mean {{{meant}}}?")),
            None => draft.hint(format!("add to inputSchema.properties: {name}: {{type: string}}")),
        };
    } else if !is_required {
        report
            .at(field)
            .given(format!("{{{name}}}"))
            .must("must be required by the tool's inputSchema: without it there is no path")
            .hint(format!("inputSchema.required: [{name}]"));
    }
}

fn judge_operation(field: &str, operation: &ResourceOperation, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (index, parameter) in operation.parameters.iter().enumerate() {
        if !seen.insert((&parameter.name, parameter.in_)) {
            let field = format!("{field}.parameters[{index}].name");
            report.at(field).given(&parameter.name).must("must not be there twice in one place").hint("take one of the two away");
        }
    }
    let names = |place: Option<ParameterPlace>| -> Vec<&str> {
        let of_place = |in_: ParameterPlace| place.is_none_or(|place| place == in_);
        operation.parameters.iter().filter(|p| of_place(p.in_)).map(|p| p.name.as_str()).collect()
    };
    let outside_field = format!("{field}.ingressPath");
    let outside = parameters(&operation.ingress_path, &outside_field, report);
    undeclared(&outside.names, &outside_field, &names(None), "must be one of the parameters", report);
    let inside_field = format!("{field}.service.path");
    let inside = parameters(operation.service.path.as_deref().unwrap_or("/"), &inside_field, report);
    let of_path = names(Some(ParameterPlace::Path));
    undeclared(&inside.names, &inside_field, &of_path, "must be one of the parameters with 'in: path'", report);
    // A path that cannot be read may have any of them.
    if !outside.readable || !inside.readable {
        return;
    }
    for (index, parameter) in operation.parameters.iter().enumerate() {
        if parameter.in_ != ParameterPlace::Path || parameter.name.is_empty() {
            continue;
        }
        let name = &parameter.name;
        let at = format!("{field}.parameters[{index}].name");
        if !inside.names.contains(name) {
            report
                .at(at)
                .given(name)
                .must("must stand in service.path, as a parameter with 'in: path'")
                .hint(format!("write {{{name}}} into service.path, or 'in: query'"));
        } else if !outside.names.contains(name) {
            report
                .at(at)
                .given(name)
                .must("must stand in ingressPath too: from there its value comes")
                .hint(format!("write {{{name}}} into ingressPath"));
        }
    }
}

fn undeclared(used: &BTreeSet<String>, field: &str, declared: &[&str], message: &str, report: &mut Report) {
    for name in used.iter().filter(|name| !declared.contains(&name.as_str())) {
        let draft = report.at(field).given(format!("{{{name}}}"));
        draft.must(message);
        let unused: Vec<&str> = declared.iter().copied().filter(|declared| !used.contains(*declared)).collect();
        let only = if let [name] = unused.as_slice() { Some(*name) } else { None };
        match only.or_else(|| meant(name, declared.iter().copied())) {
            Some(meant) => draft.hint(format!("did you mean {{{meant}}}?")),
            None => draft.hint(format!("add to parameters: {{name: {name}, in: path, required: true}}")),
        };
    }
}

/// The parameters of a path.
struct Parameters {
    names: BTreeSet<String>,
    /// All its braces are in order.
    readable: bool,
}

/// The parameters of a path; what is wrong with its braces is said.
fn parameters(path: &str, field: &str, report: &mut Report) -> Parameters {
    let mut names = BTreeSet::new();
    let found = placeholder::of_path(path);
    let readable = found.iter().all(Result::is_ok);
    for found in found {
        match found {
            Ok(name) if !names.insert(name.to_owned()) => {
                report.at(field).given(format!("{{{name}}}")).must("must not stand in one path twice");
            }
            Ok(_) => {}
            Err(Fault::Open(text)) => {
                report.at(field).given(text).must("must have a '}' for every '{', and none without");
            }
            Err(Fault::Name(text)) => {
                report
                    .at(field)
                    .given(text)
                    .must("must have the name of a parameter between '{' and '}': letters, digits, '_', '-' and '.'");
            }
        }
    }
    Parameters { names, readable }
}
