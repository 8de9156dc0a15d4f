//! MCP0911 schema: a value that the CRD schema does not take.

use api::MCPToolSpec;

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0911", "schema", &Kind::ALL, Class::Structural)
        .summary("a value that the CRD schema does not take"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    for violation in context.violations().iter().filter(|violation| !violation.unknown) {
        let draft = report.at(&violation.path);
        if let Some(value) = &violation.value {
            draft.given(value);
        }
        draft.must(&violation.message);
        if let Some(hint) = &violation.hint {
            draft.hint(hint);
        }
    }
    if let Some(spec) = context.tool() {
        tool(spec, report);
    }
}

/// What the expressions of an MCPTool's schema say, in their words: no other rule judges how a tool is written.
fn tool(spec: &MCPToolSpec, report: &mut Report) {
    match (&spec.name, &spec.tools) {
        (Some(_), None) | (None, Some(_)) => {}
        (Some(name), Some(_)) => {
            report
                .at("spec")
                .judging("both")
                .must("must have exactly one of name and tools")
                .hint(format!("add to spec.tools: - name: {name}"));
        }
        (None, None) => {
            report
                .at("spec")
                .judging("neither")
                .must("must have exactly one of name and tools")
                .hint("name: NAME, for one tool of the Service");
        }
    }
    let single = [("inputSchema", spec.input_schema.is_some()), ("ingressPath", spec.ingress_path.is_some())];
    for (field, given) in single {
        if given && spec.tools.is_some() {
            report
                .at(format!("spec.{field}"))
                .judging(field)
                .must("must not be set beside tools: it belongs to their entries")
                .hint(format!("write it into spec.tools[].{field}"));
        }
    }
}
