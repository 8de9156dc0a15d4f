//! MCP0302 name-too-long: there is no name, or it is no DNS label, or a derived name would be too long.

use crate::parse::meant::label;
use crate::parse::name::{MAX_LABEL, is_dns_1035, longest_name};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0302", "name-too-long", SERVER, Class::Structural)
        .summary("there is no name, or it is no DNS label, or a derived name would be too long"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let name = context.name;
    if context.is_nameless() {
        report.at("metadata.name").must("must be given").hint(format!("name: {}", context.name_in_hints()));
    }
    if name.is_empty() {
        return;
    }
    let longest = longest_name();
    if !is_dns_1035(&name.chars().take(MAX_LABEL).collect::<String>()) {
        let draft = report.at("metadata.name").given(name);
        draft.must("must be lower-case letters, digits and '-', begin with a letter and not end with '-'");
        if let Some(meant) = label(name, longest) {
            draft.hint(format!("name: {meant}"));
        }
    } else if name.len() > longest {
        report.at("metadata.name").given(name).must(format!(
            "must be at most {longest} characters long: names such as '<name>-upstream' are derived from it"
        ));
    }
}
