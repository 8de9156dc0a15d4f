//! MCP0805 cross-namespace: a tool or a resource calls a Service of another namespace that did not agree.

use api::names::TOOLS_FROM_PREFIX;

use super::missing_service::targets;
use super::{Class, Context, Kind, Meta, Need, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0805", "cross-namespace", &[Kind::Tool, Kind::Resource], Class::Structural)
        .summary("a Service of another namespace without a label of consent on it or on its namespace")
        .needs(&[Need::Services, Need::Namespaces]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let targets = targets(context);
    for (field, target) in targets {
        let Some(namespace) = target.namespace.as_deref().filter(|namespace| *namespace != context.namespace) else {
            continue;
        };
        let key = format!("{TOOLS_FROM_PREFIX}{}", context.namespace);
        let consent = |labels: &std::collections::BTreeMap<String, String>| labels.get(&key).is_some_and(|value| value == "true");
        let of_namespace = context.facts.namespaces.get().map(|all| all.get(namespace).is_some_and(consent));
        if of_namespace == Some(true) {
            continue;
        }
        let of_service = context.facts.services.get().map(|all| {
            all.get(&(namespace.to_owned(), target.name.clone())).is_some_and(|service| consent(&service.labels))
        });
        match (of_service, of_namespace) {
            (Some(true), _) => {}
            (None, _) => return report.unchecked(Need::Services),
            (Some(false), None) => return report.unchecked(Need::Namespaces),
            (Some(false), Some(_)) => {
                report
                    .at(format!("{field}.namespace"))
                    .given(namespace)
                    .must(format!(
                        "must be '{}', or a namespace whose owners agree by the label {key}: \"true\" on the Service or \
                         on the namespace",
                        context.namespace
                    ))
                    .hint(format!("they agree with: kubectl label service {} -n {namespace} {key}=true", target.name));
            }
        }
    }
}
