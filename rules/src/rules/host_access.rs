//! MCP0310 host-access: a volume or the pod template reaches into the node, around the gateway, or beyond what a template is for.

use k8s_openapi::api::core::v1::Volume;
use serde_json::Value;

use crate::finding::{escape, fingerprint};
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
    let raw = context.raw("volumes").and_then(Value::as_array);
    for (index, volume) in spec.volumes.iter().enumerate() {
        let mut found = faults(volume);
        found.extend(raw.and_then(|volumes| volumes.get(index)).into_iter().flat_map(others));
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

const INSTEAD: &str = "use an emptyDir, a ConfigMap, a Secret or a PersistentVolumeClaim";

/// What a volume may be, as far as nothing more is said of it below.
const SOURCES: [&str; 8] =
    ["configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "downwardAPI", "ephemeral", "image"];

/// Sources of which [`faults`] says more.
const JUDGED: [&str; 4] = ["hostPath", "flexVolume", "gitRepo", "csi"];

/// Sources that are not in the list, those that this version does not know among them.
fn others(volume: &Value) -> impl Iterator<Item = Fault<'_>> {
    let keys = volume.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str());
    let other = |key: &str| key != "name" && !SOURCES.contains(&key) && !JUDGED.contains(&key);
    keys.filter(move |key| other(key)).map(|key| {
        const MUST: &str = "must not be used: the node would mount what nobody was asked about";
        (escape(key), None, MUST, INSTEAD)
    })
}

fn faults(volume: &Volume) -> Vec<Fault<'_>> {
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
    if let Some(csi) = &volume.csi {
        const MUST: &str = "must not be used: a driver on the node hands out what nobody was asked about, Secrets among it";
        found.push(("csi".to_owned(), Some(&csi.driver), MUST, INSTEAD));
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
