//! MCP0310 host-access: a volume reaches into the node, or hands out a token of a service account.

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0310", "host-access", SERVER, Class::PolicyOn)
        .summary("a volume reaches into the node, or hands out a token of a service account")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.workload.as_ref().is_some_and(|workload| workload.forbid_host_access.is_some())),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    if relaxed(context) {
        return;
    }
    for (index, volume) in spec.volumes.iter().enumerate() {
        if let Some(host_path) = &volume.host_path {
            report
                .at(format!("spec.volumes[{index}].hostPath"))
                .given(&host_path.path)
                .must("must not be used: it reaches into the node")
                .hint("use an emptyDir, a ConfigMap, a Secret or a PersistentVolumeClaim");
        }
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for (source, projection) in sources.enumerate() {
            if projection.service_account_token.is_some() {
                report
                    .at(format!("spec.volumes[{index}].projected.sources[{source}].serviceAccountToken"))
                    .must("must not be used: it hands the pod's token to the server")
                    .hint("serverToken: true gives the server a token of its service account");
            }
        }
    }
}

/// Some policy allows host access and none forbids it.
fn relaxed(context: &Context<'_>) -> bool {
    let says = |forbidden| {
        context
            .selected()
            .any(|spec| spec.workload.as_ref().is_some_and(|workload| workload.forbid_host_access == Some(forbidden)))
    };
    says(false) && !says(true)
}
