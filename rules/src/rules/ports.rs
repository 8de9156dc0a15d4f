//! MCP0304 ports: a port is out of range, the gateway's, or the one for health and metrics.

use api::names::GATEWAY_ADMIN_PORT;

use crate::effective;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0304", "ports", SERVER, Class::Structural)
        .summary("a port is out of range, the gateway's, or the one for health and metrics"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let gateway_port = spec.gateway.as_ref().and_then(|gateway| gateway.port);
    for (field, port) in
        [("spec.port", spec.port), ("spec.servicePort", spec.service_port), ("spec.gateway.port", gateway_port)]
    {
        let Some(port) = port else { continue };
        if !(1..=65535).contains(&port) {
            report.at(field).given(port).must("must be from 1 to 65535");
        } else if effective.gateway.enabled && field != "spec.servicePort" && port == i32::from(GATEWAY_ADMIN_PORT) {
            report.at(field).given(port).must(format!(
                "must not be {GATEWAY_ADMIN_PORT}, where the gateway answers for health and metrics"
            ));
        } else if port < 1024 && field != "spec.servicePort" {
            report.at(field).given(port).must("is below 1024: a process that is not root may not listen there").warning();
        }
    }
    if effective.gateway.enabled && effective.port == effective.gateway.port {
        let field = if spec.port.is_some() { "spec.port" } else { "spec.gateway.port" };
        let free = if effective.gateway.port == effective::PORT { effective::PORT + 1 } else { effective::PORT };
        let hint = if spec.port.is_some() { format!("port: {free}") } else { format!("port: {}", effective::GATEWAY_PORT) };
        let whose = if spec.port.is_some() { "gateway" } else { "server" };
        report.at(field).given(effective.port).must(format!("must not be {}, which is the {whose}'s port", effective.port)).hint(hint);
    }
}
