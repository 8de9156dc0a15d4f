//! MCP0502 misclassified: a tool whose name sounds destructive is marked `read`, or needs less trust than its side effect suggests.

use api::{SideEffect, Trust};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0502", "misclassified", SERVER, Class::Warning)
        .summary("a tool whose name sounds destructive is marked `read`, or needs less trust than its side effect suggests"),
    check,
};

/// Words that a reading tool does not have in its name.
const HARSH: [&str; 15] = [
    "delete", "drop", "destroy", "remove", "purge", "truncate", "wipe", "kill", "exec", "execute", "shell", "terminate",
    "revoke", "erase", "overwrite",
];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    for (index, tool) in spec.tools.iter().enumerate() {
        let effect = tool.side_effect.unwrap_or_default();
        let trust = tool.required_trust.unwrap_or_default();
        if effect == SideEffect::Read
            && let Some(word) = words(&tool.name).split(' ').find_map(|part| HARSH.into_iter().find(|word| part == *word))
        {
            report
                .at(format!("spec.tools[{index}].sideEffect"))
                .given(effect)
                .judging(&tool.name)
                .must(format!("is read, and the name has '{word}' in it"))
                .hint("sideEffect: destructive");
        } else if effect == SideEffect::Destructive && trust == Trust::Low {
            report
                .at(format!("spec.tools[{index}].requiredTrust"))
                .given(trust)
                .judging(&tool.name)
                .must("is low for a destructive tool")
                .hint("requiredTrust: high");
        }
    }
}

/// The words of a name in snake, kebab or camel case, in lower case with spaces between them.
fn words(name: &str) -> String {
    let mut spaced = String::new();
    let mut lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && lower {
            spaced.push(' ');
        }
        lower = c.is_ascii_lowercase();
        spaced.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
    }
    spaced
}
