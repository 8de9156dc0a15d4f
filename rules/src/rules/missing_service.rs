//! MCP0804 missing-service: the Service of a tool or a resource is not there, has no such port, or leads elsewhere.

use std::collections::BTreeMap;

use api::ServiceTarget;

use crate::facts::{Known, ServiceFact};
use crate::parse::near::meant;

use super::{Class, Context, Kind, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0804", "missing-service", &[Kind::Tool, Kind::Resource], Class::Warning)
        .summary("the Service or its port is missing, is an `ExternalName`, or is headless and without endpoints")
        .needs(&[Need::Services, Need::Endpoints]),
    check,
};

/// Services by namespace and name.
type Services = BTreeMap<(String, String), ServiceFact>;

fn check(context: &Context<'_>, report: &mut Report) {
    let targets = targets(context);
    if targets.is_empty() {
        return;
    }
    let Some(services) = context.services(report) else { return };
    let mut unseen = false;
    for (field, target) in targets {
        let namespace = target.namespace.as_deref().unwrap_or(context.namespace);
        match services.get(&(namespace.to_owned(), target.name.clone())) {
            None => missing(&field, namespace, &target.name, services, report),
            Some(service) => {
                judge(&field, target, service, report);
                unseen |= service.headless && service.endpoints == Known::Unknown;
            }
        }
    }
    if unseen {
        report.unchecked(Need::Endpoints);
    }
}

/// Every Service that the object names, and where.
pub(super) fn targets<'a>(context: &'a Context<'_>) -> Vec<(String, &'a ServiceTarget)> {
    let tool = context.tool().map(|spec| ("spec.service".to_owned(), &spec.service));
    let operations = context.resource().and_then(|spec| spec.operations.as_deref()).unwrap_or_default();
    let operations = operations
        .iter()
        .enumerate()
        .map(|(index, operation)| (format!("spec.operations[{index}].service"), &operation.service));
    tool.into_iter().chain(operations).collect()
}

fn missing(field: &str, namespace: &str, name: &str, services: &Services, report: &mut Report) {
    let draft = report.at(format!("{field}.name")).given(name);
    draft.must(format!("is no Service of namespace '{namespace}' (yet)"));
    let there = services.keys().filter(|(of, _)| of == namespace).map(|(_, name)| name.as_str());
    if let Some(name) = meant(name, there) {
        draft.hint(format!("did you mean '{name}'?"));
    }
}

fn judge(field: &str, target: &ServiceTarget, service: &ServiceFact, report: &mut Report) {
    if service.external_name {
        report
            .at(format!("{field}.name"))
            .given(&target.name)
            .must("is a Service of type ExternalName, which leads to another host than its own")
            .hint("name a Service with pods; for a server elsewhere, an MCPServer with remote.url");
        return;
    }
    if !service.ports.iter().any(|port| i32::from(port.port) == target.port) {
        let draft = report.at(format!("{field}.port")).given(target.port);
        let ports: Vec<String> = service.ports.iter().map(|port| port.port.to_string()).collect();
        let ports = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
        draft.must(format!("is no port of Service '{}', which has {ports}", target.name));
        if let [port] = service.ports.as_slice() {
            draft.hint(format!("port: {}", port.port));
        }
    }
    if service.headless && service.endpoints == Known::Known(false) {
        report
            .at(format!("{field}.name"))
            .given(&target.name)
            .must("is a headless Service without endpoints: its name resolves to nothing")
            .hint(format!("kubectl get endpointslices -l kubernetes.io/service-name={}", target.name));
    }
}
