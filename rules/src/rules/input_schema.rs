//! MCP0806 input-schema: the schema of a tool's arguments is no JSON Schema of type object within the bounds.

use crate::parse::json_schema::{self, MOST_BYTES};

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0806", "input-schema", &[Kind::Tool], Class::Structural).summary(
        "`inputSchema` is no JSON Schema 2020-12 of type object, refers to another document, or is deeper or larger than \
         the bounds",
    ),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.tool() else { return };
    let own = spec.input_schema.as_ref().map(|schema| ("spec.inputSchema".to_owned(), schema));
    let entries = spec.tools.iter().flatten().enumerate();
    let entries = entries
        .filter_map(|(index, tool)| Some((format!("spec.tools[{index}].inputSchema"), tool.input_schema.as_ref()?)));
    for (field, schema) in own.into_iter().chain(entries) {
        let size = serde_json::to_string(schema).map_or(usize::MAX, |text| text.len());
        if size > MOST_BYTES {
            report.at(field).judging(&size.to_string()).must(format!(
                "must be at most {MOST_BYTES} bytes as JSON, and has {size}"
            ));
            continue;
        }
        for fault in json_schema::faults(schema) {
            let draft = report.at(format!("{field}{}", fault.path));
            if let Some(given) = &fault.given {
                draft.given(given);
            }
            draft.must(fault.requirement);
            if let Some(hint) = fault.hint {
                draft.hint(hint);
            }
        }
    }
}
