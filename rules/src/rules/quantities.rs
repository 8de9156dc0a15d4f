//! MCP0305 quantities: a resource is no quantity, a request is above its limit, or the resource has no known name.

use k8s_openapi::api::core::v1::ResourceRequirements;

use crate::finding::escape;
use crate::parse::meant;
use crate::parse::quantity::{Error, parse};
use crate::template::MOST_CONTAINERS;

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0305", "quantities", &[Kind::Server, Kind::Policy], Class::Structural)
        .summary("a resource is no quantity, a request is above its limit, or the resource has no known name"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    if let Some((spec, effective)) = context.server() {
        judge(spec.resources.as_ref(), Some(&effective.resources), "spec.resources", report);
        let gateway = spec.gateway.as_ref().and_then(|gateway| gateway.resources.as_ref());
        judge(gateway, gateway, "spec.gateway.resources", report);
        let pod = spec.pod_template.as_ref().and_then(|template| template.spec.as_ref());
        let containers = pod.map(|pod| pod.containers.as_slice()).unwrap_or_default();
        for (index, container) in containers.iter().enumerate().take(MOST_CONTAINERS) {
            let given = container.resources.as_ref();
            judge(given, given, &format!("spec.podTemplate.spec.containers[{index}].resources"), report);
        }
    }
    if let Some(spec) = context.policy() {
        let given = spec.defaults.as_ref().and_then(|defaults| defaults.resources.as_ref());
        judge(given, given, "spec.defaults.resources", report);
        let limits = spec.limits.as_ref();
        for (field, text) in [("cpu", limits.and_then(|l| l.cpu.as_ref())), ("memory", limits.and_then(|l| l.memory.as_ref()))] {
            if let Some((text, Err(error))) = text.map(|text| (text, parse(text))) {
                wrong(format!("spec.limits.{field}"), text, error, report);
            }
        }
    }
}

/// Judges what is written, and compares requests with limits as they will be.
fn judge(
    given: Option<&ResourceRequirements>,
    effective: Option<&ResourceRequirements>,
    path: &str,
    report: &mut Report,
) {
    let Some(given) = given else { return };
    for (side, entries) in [("requests", &given.requests), ("limits", &given.limits)] {
        for (name, quantity) in entries.iter().flatten() {
            let field = format!("{path}.{side}.{}", escape(name));
            if !is_resource(name) {
                report.at(&field).given(name).must("must be cpu, memory, ephemeral-storage, hugepages-<size> or a name with a domain");
            } else if let Err(error) = parse(&quantity.0) {
                wrong(field, &quantity.0, error, report);
            }
        }
    }
    let Some(ResourceRequirements { requests: Some(requests), limits: Some(limits), .. }) = effective else { return };
    for (name, request) in requests {
        let Some(limit) = limits.get(name) else { continue };
        if let (Ok(requested), Ok(limited)) = (parse(&request.0), parse(&limit.0))
            && requested > limited
        {
            report
                .at(format!("{path}.requests.{}", escape(name)))
                .given(&request.0)
                .judging(&limit.0)
                .must(format!("must not be above the limit, which is {}", limit.0));
        }
    }
}

fn wrong(field: String, text: &str, error: Error, report: &mut Report) {
    let draft = report.at(field).given(text).must(error.requirement());
    if let Some(meant) = meant::quantity(text) {
        draft.hint(format!("did you mean '{meant}'?"));
    }
}

fn is_resource(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage")
        || name.strip_prefix("hugepages-").is_some_and(|size| parse(size).is_ok())
        || name.split_once('/').is_some_and(|(domain, rest)| domain.contains('.') && !rest.is_empty())
}
