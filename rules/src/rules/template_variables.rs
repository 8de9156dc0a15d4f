//! MCP0807 template-variables: the variables that a prompt's text uses and those that it declares differ.

use std::collections::{BTreeMap, BTreeSet};

use crate::parse::near::meant;
use crate::parse::placeholder::{self, Fault};

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0807", "template-variables", &[Kind::Prompt], Class::Structural)
        .summary("a variable is used in `template` and not declared, or declared twice; one that is declared and not used: a warning"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.prompt() else { return };
    let mut declared = BTreeMap::new();
    for (index, variable) in spec.variables.iter().enumerate() {
        let field = format!("spec.variables[{index}].name");
        if declared.insert(variable.name.as_str(), index).is_some() {
            report.at(field).given(&variable.name).must("must not be there twice").hint("take one of the two away");
        }
    }
    let found = placeholder::of_template(&spec.template);
    let used: BTreeSet<&str> = found.iter().filter_map(|found| found.as_ref().ok().copied()).collect();
    let unused: Vec<&str> = declared.keys().copied().filter(|name| !name.is_empty() && !used.contains(name)).collect();
    let readable = found.iter().all(Result::is_ok);
    let mut undeclared = BTreeSet::new();
    for found in found {
        match found {
            Ok(name) => {
                if !declared.contains_key(name) && undeclared.insert(name) {
                    let draft = report.at("spec.template").given(format!("{{{{{name}}}}}"));
                    draft.must("must be a variable that spec.variables declares");
                    match only(&unused).or_else(|| meant(name, declared.keys().copied())) {
                        Some(meant) => draft.hint(format!("did you mean {{{{{meant}}}}}?")),
                        None => draft.hint(format!("add to spec.variables: - name: {name}")),
                    };
                }
            }
            Err(Fault::Open(text)) => {
                report.at("spec.template").given(text).must("must have a '}}' for every '{{'");
            }
            Err(Fault::Name(text)) => {
                report
                    .at("spec.template")
                    .given(text)
                    .must("must have nothing but the name of a variable between '{{' and '}}': letters, digits and '_'")
                    .hint("there are no conditions, loops or filters: declare a variable for what differs");
            }
        }
    }
    // A text that cannot be read may use any of them.
    for name in unused.into_iter().filter(|_| readable) {
        report
            .at(format!("spec.variables[{}].name", declared[name]))
            .given(name)
            .must("is a variable that the template does not use")
            .hint(format!("write {{{{{name}}}}} into spec.template, or take the variable away"))
            .warning();
    }
}

/// The one that is left over is the one that was meant.
fn only<'a>(unused: &[&'a str]) -> Option<&'a str> {
    if let [name] = unused { Some(name) } else { None }
}
