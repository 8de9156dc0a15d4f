//! MCP0104 digest-required: no digest with `images.requireDigest`.

use crate::policy::PolicySet;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0104", "digest-required", SERVER, Class::Policy)
        .summary("no digest with `images.requireDigest`")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.images.as_ref().is_some_and(|images| images.require_digest == Some(true))),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    if effective.image.is_none() {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    let (Some(policy), Some((resolved, image))) = (asking(policies), context.image()) else { return };
    if image.digest().is_none() {
        report
            .at("spec.image")
            .given(resolved)
            .must(format!("must name a digest: MCPPolicy '{policy}' asks for it"))
            .hint("image: name@sha256:... as the registry prints it after a push");
    }
}

/// The first policy that asks for digests.
pub(super) fn asking(policies: &PolicySet) -> Option<&str> {
    let asking = policies.first(|spec| spec.images.as_ref()?.require_digest.filter(|required| *required));
    asking.map(|(policy, _)| policy)
}
