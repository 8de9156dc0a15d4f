//! MCP0413 bearer-in-clear: bearer tokens cross an Ingress without TLS. A warning, and refused with `ingress.requireTLS`.

use api::AuthMode;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0413", "bearer-in-clear", SERVER, Class::Policy)
        .summary("bearer tokens cross an Ingress without TLS; a warning without `ingress.requireTLS`")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.ingress.as_ref().is_some_and(|ingress| ingress.require_tls == Some(true))),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((_, effective)) = context.server() else { return };
    let mode = effective.auth.mode;
    let bearer = match mode {
        AuthMode::Session | AuthMode::OAuth | AuthMode::Kubernetes => true,
        AuthMode::Header | AuthMode::None => false,
    };
    let clear = effective.ingress.as_ref().is_some_and(|ingress| ingress.host.is_some() && ingress.tls_secret.is_none());
    if !bearer || !clear || !effective.gateway.enabled {
        return;
    }
    report
        .at("spec.ingressTLSSecret")
        .judging(mode.as_str())
        .must("should be given: tokens travel in clear text")
        .hint(format!("ingressTLSSecret: {}-tls, a Secret of type kubernetes.io/tls", context.name_in_hints()));
    // Whether a policy refuses it could not be looked up then.
    context.policies(report);
}
