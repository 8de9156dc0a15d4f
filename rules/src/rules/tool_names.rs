//! MCP0501 tool-names: a tool's name is empty, too long, has odd characters, or is there twice.

use std::collections::BTreeSet;

use crate::parse::name::is_tool_name;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0501", "tool-names", SERVER, Class::Structural)
        .summary("a tool's name is empty, too long, has odd characters, or is there twice"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let mut seen = BTreeSet::new();
    for (index, tool) in spec.tools.iter().enumerate() {
        let field = format!("spec.tools[{index}].name");
        if !is_tool_name(&tool.name) {
            report.at(field).given(&tool.name).must("must be 1 to 128 letters, digits, '_', '-', '.' and '/'");
        } else if !seen.insert(tool.name.as_str()) {
            report.at(field).given(&tool.name).must("must not be there twice").hint("take one of the two away");
        }
    }
}
