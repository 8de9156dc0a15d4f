//! MCP0302 name-too-long: the name is no DNS label, or a derived name would be too long.

use api::names::DERIVED_SUFFIXES;

use crate::parse::name::{MAX_LABEL, is_dns_1035};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0302", "name-too-long", SERVER, Class::Structural)
        .summary("the name is no DNS label, or a derived name would be too long"),
    check,
};

/// The longest name from which every derived name is still a DNS label.
fn longest() -> usize {
    let suffix = DERIVED_SUFFIXES.iter().map(|suffix| suffix.len()).max().unwrap_or_default();
    MAX_LABEL - suffix - 1
}

fn check(context: &Context<'_>, report: &mut Report) {
    let name = context.name;
    if name.is_empty() {
        return;
    }
    let longest = longest();
    if !is_dns_1035(&name.chars().take(MAX_LABEL).collect::<String>()) {
        report
            .at("metadata.name")
            .given(name)
            .must("must be lower-case letters, digits and '-', begin with a letter and not end with '-'");
    } else if name.len() > longest {
        report.at("metadata.name").given(name).must(format!(
            "must be at most {longest} characters long: names such as '<name>-upstream' are derived from it"
        ));
    }
}
