//! MCP0904 policy-selects-nothing: there is no namespace that the policy speaks of.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{MCPPolicy, MCPPolicySpec};

use crate::facts::Labels;
use crate::finding::escape;
use crate::parse::near::meant;
use crate::policy::PolicySet;

use super::{Class, Context, Meta, Need, POLICY, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0904", "policy-selects-nothing", POLICY, Class::Warning)
        .summary("`namespaceSelector` matches no namespace, or `excludeNamespaces` leaves out all that it matches")
        .needs(&[Need::Namespaces]),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.policy() else { return };
    if spec.namespace_selector.is_none() && spec.exclude_namespaces.is_empty() {
        return;
    }
    let Some(namespaces) = context.namespaces(report) else { return };
    let policy = [Arc::new(MCPPolicy::new(context.name, spec.clone()))];
    if namespaces.iter().any(|(name, labels)| !PolicySet::select(&policy, name, labels).is_empty()) {
        return;
    }
    let selecting = MCPPolicySpec { namespace_selector: spec.namespace_selector.clone(), ..MCPPolicySpec::default() };
    let selecting = [Arc::new(MCPPolicy::new(context.name, selecting))];
    if namespaces.iter().any(|(name, labels)| !PolicySet::select(&selecting, name, labels).is_empty()) {
        let draft = report.at("spec.excludeNamespaces").must("leaves out every namespace that the policy would speak of");
        draft.hint("take away the namespaces that it is for");
        return;
    }
    let draft = report.at("spec.namespaceSelector").must("matches no namespace: the policy holds nowhere");
    if let Some(hint) = nearest(spec, namespaces) {
        draft.hint(hint);
    }
}

/// A label that some namespace has, where the selector asks for nearly the same; else a command that shows them.
fn nearest(spec: &MCPPolicySpec, namespaces: &Labels) -> Option<String> {
    let wanted = spec.namespace_selector.as_ref()?.match_labels.iter().flatten();
    let keys: BTreeSet<&str> = namespaces.values().flat_map(|labels| labels.keys().map(String::as_str)).collect();
    for (key, value) in wanted {
        let values: BTreeSet<&str> = namespaces.values().filter_map(|labels| labels.get(key).map(String::as_str)).collect();
        if values.is_empty() {
            if let Some(near) = meant(key, keys.iter().copied()) {
                return Some(format!("did you mean the label '{}'?", escape(near)));
            }
        } else if !values.contains(value.as_str())
            && let Some(near) = meant(value, values.iter().copied())
        {
            return Some(format!("{}: {}", escape(key), escape(near)));
        }
    }
    Some("kubectl get namespaces --show-labels".to_owned())
}
