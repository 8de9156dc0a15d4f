//! Asks the rules about each object, and says where in which file each finding is.

use common::Error;
use rules::{Finding, Severity, kind_of};
use serde_json::Value;

use super::facts::{Gathered, in_namespace};
use super::files::Object;
use super::node::Place;

/// A finding and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// What.
    pub(crate) finding: Finding,
    /// In which file.
    pub(crate) file: String,
    /// Where in it.
    pub(crate) place: Place,
}

/// How many objects the rules had something to say about.
pub(crate) fn count(objects: &[Object]) -> usize {
    objects
        .iter()
        .filter(|object| kind_of(&object.value).is_some())
        .count()
}

/// An object of our group that no rule knows: a slip in `kind` or version, which a cluster would refuse.
pub(crate) fn unknown_kind(object: &Object) -> Option<Error> {
    let text = |member: &str| {
        object
            .value
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (version, kind) = (text("apiVersion"), text("kind"));
    let ours = version.split('/').next() == Some(api::GROUP);
    (ours && kind_of(&object.value).is_none()).then(|| {
        let Place { line, column } = object.node.place_of("kind");
        let place = format!("{}:{line}:{column}", object.file);
        Error::failed(format!(
            "{place}: there is no kind '{}' in '{}'",
            kind.escape_debug(),
            version.escape_debug()
        ))
        .with_hint(
            "MCPServer, MCPAccessGrant, MCPAgentSession or MCPPolicy, of kubectl-mcp.dev/v1alpha1",
        )
    })
}

/// Every finding of every object, in the order of the files. Like the mutating door of the webhook: defaults first,
/// then all rules.
pub(crate) fn judge(objects: &[Object], facts: &Gathered, namespace: &str) -> Vec<Located> {
    let mut all = Vec::new();
    for object in objects
        .iter()
        .filter(|object| kind_of(&object.value).is_some())
    {
        let mut value = in_namespace(&object.value, namespace);
        let own = value
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .unwrap_or(namespace)
            .to_owned();
        let facts = facts.for_namespace(&own);
        rules::default(&mut value, None, &facts);
        let findings = rules::check(Some(&value), None, &facts);
        let mut located: Vec<_> = findings
            .into_iter()
            .filter(|finding| !finding.audit || finding.severity != Severity::Warning)
            .map(|finding| Located {
                place: object.node.place_of(&finding.field),
                file: object.file.clone(),
                finding,
            })
            .collect();
        located.sort_by_key(|located| located.place);
        all.extend(located);
    }
    all
}
