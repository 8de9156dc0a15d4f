//! MCP0310 host-access: a volume or the pod template reaches into the node, around the gateway, or beyond what a template is for.

use k8s_openapi::api::core::v1::Volume;

use crate::finding::fingerprint;
use crate::template::excesses;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0310", "host-access", SERVER, Class::PolicyOn)
        .summary(
            "a volume reaches into the node or hands out a token; or `podTemplate` says more than labels, annotations, \
             scheduling, a stricter `securityContext` of `server` and further containers",
        )
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.workload.as_ref().is_some_and(|workload| workload.forbid_host_access.is_some())),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let relaxing = context
        .selected()
        .relaxing(|spec| spec.workload.as_ref().is_some_and(|workload| workload.forbid_host_access == Some(false)));
    for (index, volume) in spec.volumes.iter().enumerate() {
        let found = faults(volume);
        if found.is_empty() {
            continue;
        }
        let judged = fingerprint(&serde_json::to_string(volume).unwrap_or_default());
        for (field, value, must, hint) in found {
            let draft = report.at(format!("spec.volumes[{index}].{field}")).judging(&judged);
            draft.must(must).hint(hint).relaxed_by(relaxing.clone());
            if let Some(value) = value {
                draft.given(value);
            }
        }
    }
    for excess in context.raw("podTemplate").map(excesses).unwrap_or_default() {
        let draft = report.at(excess.field).must(excess.must).judging(&excess.judged);
        if let Some(value) = excess.value {
            draft.given(value);
        }
        if let Some(hint) = excess.hint {
            draft.hint(hint);
        }
        if excess.isolation {
            draft.structural();
        } else {
            draft.relaxed_by(relaxing.clone());
        }
    }
}

/// Field below the volume, what was given, what it must be, and what to write instead.
type Fault<'a> = (String, Option<&'a str>, &'static str, &'static str);

fn faults(volume: &Volume) -> Vec<Fault<'_>> {
    const INSTEAD: &str = "use an emptyDir, a ConfigMap, a Secret or a PersistentVolumeClaim";
    let mut found: Vec<Fault<'_>> = Vec::new();
    if let Some(host_path) = &volume.host_path {
        found.push(("hostPath".to_owned(), Some(&host_path.path), "must not be used: it reaches into the node", INSTEAD));
    }
    if let Some(flex) = &volume.flex_volume {
        found.push(("flexVolume".to_owned(), Some(&flex.driver), "must not be used: it runs a program on the node", INSTEAD));
    }
    if volume.git_repo.is_some() {
        found.push(("gitRepo".to_owned(), None, "must not be used: it runs git on the node", INSTEAD));
    }
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    for (source, projection) in sources.enumerate() {
        let path = format!("projected.sources[{source}]");
        if projection.service_account_token.is_some() {
            found.push((
                format!("{path}.serviceAccountToken"),
                None,
                "must not be used: it hands the pod's token to the server",
                "serverToken: true gives the server a token of its service account",
            ));
        }
        if projection.pod_certificate.is_some() {
            found.push((
                format!("{path}.podCertificate"),
                None,
                "must not be used: it hands the pod's identity to the server",
                "take it away",
            ));
        }
    }
    found
}
