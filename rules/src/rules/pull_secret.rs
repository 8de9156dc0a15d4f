//! MCP0108 pull-secret: a pull secret does not exist, or is not of a type that registries are asked with.

use crate::parse::near::meant;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0108", "pull-secret", SERVER, Class::Warning)
        .summary("a pull secret does not exist, or is not of a docker type")
        .needs(&[Need::Secrets]),
    check,
};

/// Types of Secrets that the kubelet takes credentials of registries from, each with the key it reads.
const TYPES: [(&str, &str); 2] =
    [("kubernetes.io/dockerconfigjson", ".dockerconfigjson"), ("kubernetes.io/dockercfg", ".dockercfg")];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    if effective.image_pull_secrets.is_empty() {
        return;
    }
    let Some(secrets) = context.secrets(report) else { return };
    for (index, name) in effective.image_pull_secrets.iter().enumerate() {
        let field = if spec.image_pull_secrets.is_empty() {
            "spec.imagePullSecrets".to_owned()
        } else {
            format!("spec.imagePullSecrets[{index}]")
        };
        let create = || {
            format!("kubectl create secret docker-registry {name} --docker-server=HOST --docker-username=USER -n {}", context.namespace)
        };
        let Some(secret) = secrets.get(name) else {
            let draft = report.at(field).given(name);
            draft.must(format!("is no Secret of namespace '{}'", context.namespace));
            let docker = secrets.iter().filter(|(_, secret)| key_of(&secret.kind).is_some());
            match meant(name, docker.map(|(name, _)| name.as_str())) {
                Some(near) => draft.hint(format!("did you mean '{near}'?")),
                None => draft.hint(create()),
            };
            continue;
        };
        match key_of(&secret.kind) {
            None => {
                report
                    .at(field)
                    .given(name)
                    .judging(&secret.kind)
                    .must(format!("is a Secret of type '{}', not kubernetes.io/dockerconfigjson", secret.kind))
                    .hint(create());
            }
            Some(key) if !secret.keys.contains(key) => {
                report.at(field).given(name).must(format!("has no key '{key}', which its type asks for")).hint(create());
            }
            Some(_) => {}
        }
    }
}

fn key_of(kind: &str) -> Option<&'static str> {
    TYPES.iter().find(|(known, _)| *known == kind).map(|(_, key)| *key)
}
