//! MCP0207 unsafe-annotation: an ingress annotation outside `ingress.allowedAnnotations`, by default all but a few harmless ones.

use api::MCPPolicySpec;

use crate::finding::escape;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0207", "unsafe-annotation", SERVER, Class::PolicyOn)
        .summary("an ingress annotation outside `ingress.allowedAnnotations`, by default all but a few harmless ones")
        .needs(&[Need::Policies])
        .mentioned_by(lists),
    check,
};

/// What a server may say where no policy lists annotations: names of issuers and entry points, switches that only make
/// it stricter, and what deployment tools leave. Everything else may rewrite, inject configuration, or change
/// authentication, middlewares or backends, on hosts that others share.
pub const HARMLESS: [&str; 11] = [
    "cert-manager.io/cluster-issuer",
    "cert-manager.io/issuer",
    "cert-manager.io/issuer-kind",
    "cert-manager.io/issuer-group",
    "traefik.ingress.kubernetes.io/router.entrypoints",
    "traefik.ingress.kubernetes.io/router.tls",
    "nginx.ingress.kubernetes.io/ssl-redirect",
    "nginx.ingress.kubernetes.io/force-ssl-redirect",
    "app.kubernetes.io/*",
    "argocd.argoproj.io/*",
    "meta.helm.sh/*",
];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    for (key, value) in &spec.ingress_annotations {
        let allows = |spec: &MCPPolicySpec| {
            let entries = spec.ingress.as_ref()?.allowed_annotations.as_ref()?;
            Some(entries.iter().any(|entry| covers(entry, key)))
        };
        let refusing = context.selected().first(|spec| allows(spec).filter(|allowed| !allowed));
        let who = match refusing {
            Some((policy, _)) => format!("MCPPolicy '{policy}' does not allow it"),
            None if HARMLESS.iter().any(|entry| covers(entry, key)) => continue,
            None => "it may change how a shared host is served".to_owned(),
        };
        report
            .at(format!("spec.ingressAnnotations[{}]", escape(key)))
            .judging(value)
            .must(format!("must not be set: {who}"))
            .relaxed_by(context.selected().relaxing(|spec| allows(spec) == Some(true)))
            .hint("take it away, or ask a platform engineer to list it in ingress.allowedAnnotations of an MCPPolicy");
    }
}

/// An entry is a key, or the beginning of one with a `*` behind it.
fn covers(entry: &str, key: &str) -> bool {
    entry.strip_suffix('*').map_or(entry == key, |beginning| key.starts_with(beginning))
}

fn lists(spec: &MCPPolicySpec) -> bool {
    spec.ingress.as_ref().is_some_and(|ingress| ingress.allowed_annotations.is_some())
}
