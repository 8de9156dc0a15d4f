//! MCP0707 upstream-secret: the Secret or the key with a session's upstream token is not there.

use crate::finding::escape;
use crate::parse::near::meant;

use super::{Class, Context, Meta, Need, Plain, Report, SESSION};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0707", "upstream-secret", SESSION, Class::Warning)
        .summary("the Secret or the key that `upstreamTokenSecretRef` names is not there")
        .needs(&[Need::Secrets]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(reference) = context.session().and_then(|spec| spec.upstream_token_secret_ref.as_ref()) else { return };
    let Some(secrets) = context.secrets(report) else { return };
    let Some(secret) = secrets.get(&reference.name) else {
        let draft = report.at("spec.upstreamTokenSecretRef.name").given(&reference.name);
        draft.must(format!("is no Secret of namespace '{}' (yet): calls would go without the token", context.namespace));
        match meant(&reference.name, secrets.keys().map(String::as_str)) {
            Some(name) => draft.hint(format!("did you mean '{}'?", escape(name))),
            None => draft.hint(format!(
                "kubectl create secret generic {} -n {} --from-file={}=FILE",
                escape(&reference.name),
                context.namespace,
                escape(&reference.key)
            )),
        };
        return;
    };
    if !secret.keys.contains(&reference.key) {
        let draft = report.at("spec.upstreamTokenSecretRef.key").given(&reference.key);
        draft.must(format!("is no key of Secret '{}': calls would go without the token", escape(&reference.name)));
        if let Some(key) = meant(&reference.key, secret.keys.iter().map(String::as_str)) {
            draft.hint(format!("key: {}", escape(key)));
        }
    }
}
