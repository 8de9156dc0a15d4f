//! MCP0106 override-form: `registryOverride` is no `host[:port][/path]`, or set together with `useProvisionedRegistry`.

use crate::parse::entry;
use crate::parse::url::quotable;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0106", "override-form", SERVER, Class::Structural)
        .summary("`registryOverride` is no `host[:port][/path]`, or set together with `useProvisionedRegistry`"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let Some(registry) = &spec.registry_override else { return };
    if spec.use_provisioned_registry == Some(true) {
        report
            .at("spec.registryOverride")
            .given(quotable(registry))
            .judging(registry)
            .must("must not be set together with useProvisionedRegistry")
            .hint("take one of the two away");
    }
    if let Err(error) = entry::check(registry) {
        let draft = report.at("spec.registryOverride").given(quotable(registry)).judging(registry).must(error.requirement());
        if let Some(meant) = entry::meant(registry) {
            draft.hint(format!("registryOverride: {meant}"));
        }
    }
}
