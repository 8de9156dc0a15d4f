//! MCP0107 no-provisioned-registry: `useProvisionedRegistry` and no policy gives a registry.

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0107", "no-provisioned-registry", SERVER, Class::Structural)
        .summary("`useProvisionedRegistry` and no policy gives a registry")
        .needs(&[Need::Policies]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    if spec.use_provisioned_registry != Some(true) {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    if policies.registry().is_none() {
        report
            .at("spec.useProvisionedRegistry")
            .given(true)
            .must("must not be true: no MCPPolicy for this namespace has a registry")
            .hint("name the registry in image, or ask a platform engineer to set spec.registry.host of an MCPPolicy");
    }
}
