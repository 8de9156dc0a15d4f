//! MCP0301 one-source: not exactly one of `image`, `toolSelector` and `remote`.

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0301", "one-source", SERVER, Class::Structural)
        .summary("not exactly one of `image`, `toolSelector` and `remote`"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let given: Vec<&str> =
        ["image", "toolSelector", "remote"].into_iter().filter(|field| context.raw(field).is_some()).collect();
    match given.as_slice() {
        [_] => {}
        [] => {
            report
                .at("spec.image")
                .must("must be given: a server has exactly one of image, toolSelector and remote")
                .hint("image: registry.example.com/team/server:1.2.3");
        }
        several => {
            report
                .at("spec")
                .judging(&several.join(","))
                .must(format!("must have exactly one of image, toolSelector and remote, and has {}", several.join(" and ")));
        }
    }
    if context.raw("remote").is_some() && context.raw("remote.url").is_some() == context.raw("remote.service").is_some() {
        report.at("spec.remote").must("must have exactly one of url and service").hint("take the other away");
    }
}
