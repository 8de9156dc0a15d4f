//! MCP0307 env-names: a name in `env` is invalid, reserved, or there twice.

use std::collections::BTreeSet;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0307", "env-names", SERVER, Class::Structural)
        .summary("a name in `env` is invalid, reserved, or there twice"),
    check,
};

/// What the gateway's own variables begin with.
const RESERVED: &str = "MCP_GATEWAY_";

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let mut seen = BTreeSet::new();
    for (index, variable) in spec.env.iter().enumerate() {
        let name = variable.name.as_str();
        let field = format!("spec.env[{index}].name");
        if !is_name(name) {
            report.at(field).given(name).must("must be letters, digits, '_', '-' and '.', and not begin with a digit");
        } else if name.starts_with(RESERVED) {
            report.at(field).given(name).must(format!("must not begin with {RESERVED}, which is the gateway's"));
        } else if !seen.insert(name) {
            report.at(field).given(name).must("must not be there twice").hint("take one of the two away");
        }
    }
}

fn is_name(name: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphabetic() || b"_.-".contains(&b);
    name.bytes().next().is_some_and(first) && name.bytes().all(|b| first(b) || b.is_ascii_digit())
}
