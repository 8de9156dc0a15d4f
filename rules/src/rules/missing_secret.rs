//! MCP0309 missing-secret: a Secret, a ConfigMap or a key of one that the server names does not exist.

use std::collections::BTreeSet;

use crate::parse::near::meant;
use crate::references::{REDIS_PASSWORD, Reference, Source, of_server};

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0309", "missing-secret", SERVER, Class::Warning)
        .summary("a Secret, a ConfigMap or a key of one that the server names does not exist")
        .needs(&[Need::Secrets, Need::ConfigMaps]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    // What may be missing is nobody's mistake; of Redis MCP0811 speaks.
    let references = of_server(spec).into_iter();
    let (secrets, maps): (Vec<Reference>, Vec<Reference>) = references
        .filter(|reference| !reference.optional && !reference.field.starts_with(REDIS_PASSWORD))
        .partition(|reference| reference.source == Source::Secret);
    if !secrets.is_empty()
        && let Some(known) = context.secrets(report)
    {
        let keys = |name: &str| known.get(name).map(|secret| secret.keys.iter().map(String::as_str).collect());
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        for reference in &secrets {
            judge(context, reference, &names, &keys, report);
        }
    }
    if !maps.is_empty()
        && let Some(known) = context.config_maps(report)
    {
        let keys = |name: &str| known.get(name).map(|data| data.keys().map(String::as_str).collect());
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        for reference in &maps {
            judge(context, reference, &names, &keys, report);
        }
    }
}

fn judge<'a>(
    context: &Context<'_>,
    reference: &Reference,
    names: &[&str],
    keys: &dyn Fn(&str) -> Option<BTreeSet<&'a str>>,
    report: &mut Report,
) {
    let kind = reference.source.as_str();
    let Some(keys) = keys(&reference.name) else {
        let draft = report.at(&reference.field).given(&reference.name);
        draft.must(format!("is no {kind} of namespace '{}': the server cannot start without it", context.namespace));
        match meant(&reference.name, names.iter().copied()) {
            Some(near) => draft.hint(format!("did you mean '{near}'?")),
            None => draft.hint(create(context, reference)),
        };
        return;
    };
    for (field, key) in &reference.keys {
        if !keys.contains(key.as_str()) {
            let draft = report.at(field).given(key).judging(&reference.name);
            draft.must(format!("is no key of {kind} '{}'", reference.name));
            if let Some(near) = meant(key, keys.iter().copied()) {
                draft.hint(format!("key: {near}"));
            }
        }
    }
}

fn create(context: &Context<'_>, reference: &Reference) -> String {
    let what = match reference.source {
        Source::Secret => "secret generic",
        Source::ConfigMap => "configmap",
    };
    let key = reference.keys.first().map_or("KEY", |(_, key)| key.as_str());
    format!("kubectl create {what} {} --from-file={key}=FILE -n {}", reference.name, context.namespace)
}
