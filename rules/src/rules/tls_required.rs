//! MCP0209 tls-required: no TLS Secret with `ingress.requireTLS`; or the Secret is missing or of another type: a warning.

use crate::effective::Ingress;
use crate::parse::near::meant;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0209", "tls-required", SERVER, Class::Policy)
        .summary("no TLS Secret with `ingress.requireTLS`; or the Secret does not exist or is of another type: a warning")
        .needs(&[Need::Policies, Need::Secrets])
        .mentioned_by(|spec| spec.ingress.as_ref().is_some_and(|ingress| ingress.require_tls == Some(true))),
    check,
};

/// The type of a Secret with a certificate, and the keys that it has.
const TYPE: &str = "kubernetes.io/tls";
const KEYS: [&str; 2] = ["tls.crt", "tls.key"];
/// Annotations by which cert-manager makes the Secret once the Ingress is there.
const ISSUERS: [&str; 2] = ["cert-manager.io/cluster-issuer", "cert-manager.io/issuer"];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    let Some(ingress) = &effective.ingress else { return };
    if let Some(secret) = &ingress.tls_secret {
        return judge(context, ingress, secret, report);
    }
    let Some(policies) = context.policies(report) else { return };
    if let Some((policy, _)) = policies.first(|spec| spec.ingress.as_ref()?.require_tls.filter(|required| *required)) {
        report
            .at("spec.ingressTLSSecret")
            .must(format!("must be given: MCPPolicy '{policy}' asks for TLS"))
            .hint(format!("ingressTLSSecret: {}-tls, a Secret of type {TYPE}", context.name_in_hints()));
    }
}

fn judge(context: &Context<'_>, ingress: &Ingress, name: &str, report: &mut Report) {
    const FIELD: &str = "spec.ingressTLSSecret";
    if ISSUERS.iter().any(|issuer| ingress.annotations.contains_key(*issuer)) {
        return;
    }
    let Some(secrets) = context.secrets(report) else { return };
    let create = || format!("kubectl create secret tls {name} --cert=FILE --key=FILE -n {}", context.namespace);
    let Some(secret) = secrets.get(name) else {
        let draft = report.at(FIELD).given(name);
        draft.must(format!("is no Secret of namespace '{}': clients get another certificate", context.namespace)).warning();
        let others = secrets.iter().filter(|(_, secret)| secret.kind == TYPE).map(|(name, _)| name.as_str());
        match meant(name, others) {
            Some(near) => draft.hint(format!("ingressTLSSecret: {near}")),
            None => draft.hint(create()),
        };
        return;
    };
    let lacking = KEYS.into_iter().find(|key| !secret.keys.contains(*key));
    if secret.kind != TYPE {
        let draft = report.at(FIELD).given(name).judging(&secret.kind);
        draft.must(format!("is a Secret of type '{}', not {TYPE}", secret.kind)).hint(create()).warning();
    } else if let Some(key) = lacking {
        report.at(FIELD).given(name).must(format!("is a Secret without key '{key}'")).hint(create()).warning();
    }
}
