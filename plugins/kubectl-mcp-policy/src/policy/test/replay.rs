//! Judging all servers, grants and sessions twice: under the policies as they are, and as they would be. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{MCPAccessGrant, MCPAgentSession, MCPPolicy, MCPServer};
use jiff::Timestamp;
use rules::{
    Facts, Finding, Known, NamespaceFacts, Operation, PolicySet, ServerFact, Servers, Severity,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{refuses, with_candidates};

/// What is there.
pub(super) struct Live {
    /// The time.
    pub(super) now: Timestamp,
    /// The one namespace whose objects are judged; all when absent.
    pub(super) only: Option<String>,
    /// Every policy.
    pub(super) policies: Vec<Arc<MCPPolicy>>,
    /// The labels of every namespace, by name.
    pub(super) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// The servers as they are stored.
    pub(super) servers: Vec<Value>,
    /// The grants as they are stored.
    pub(super) grants: Vec<Value>,
    /// The sessions as they are stored.
    pub(super) sessions: Vec<Value>,
    /// Names of the ingress classes, if they may be read.
    pub(super) classes: Option<Vec<String>>,
}

/// What the candidates would change, each list by namespace, kind and name.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Refused then, and not now; what is wrong with the candidates themselves is among it.
    pub(super) breaks: Vec<Finding>,
    /// Warned about or noted then, and nothing said now.
    pub(super) warned: Vec<Finding>,
    /// Refused now, and not then.
    pub(super) mended: Vec<Finding>,
    /// Refused now and then.
    pub(super) already: Vec<Finding>,
    /// How many objects were judged.
    pub(super) objects: usize,
}

/// Judges everything.
pub(super) fn replay(live: &Live, candidates: &[(Arc<MCPPolicy>, Value)]) -> Changes {
    let now = World::new(live, &live.policies);
    let then = World::new(live, &with_candidates(&live.policies, candidates));
    let mut changes = Changes::default();
    for (candidate, value) in candidates {
        changes.breaks.extend(of_candidate(live, candidate, value));
    }
    let objects = live
        .servers
        .iter()
        .chain(&live.grants)
        .chain(&live.sessions);
    for object in objects {
        let namespace = text(object, "/metadata/namespace");
        if live.only.as_deref().is_some_and(|only| only != namespace) || is_going(object) {
            continue;
        }
        changes.objects += 1;
        let (before, after) = (now.judge(object, namespace), then.judge(object, namespace));
        changes.add(&before, &after);
    }
    let lists = [
        &mut changes.breaks,
        &mut changes.warned,
        &mut changes.mended,
        &mut changes.already,
    ];
    for list in lists {
        list.sort_by(|one, other| place(one).cmp(&place(other)));
    }
    changes
}

impl Changes {
    fn add(&mut self, before: &[Finding], after: &[Finding]) {
        let same = |finding: &Finding, others: &[Finding], counts: fn(&Finding) -> bool| {
            others.iter().any(|other| {
                other.code == finding.code && other.field == finding.field && counts(other)
            })
        };
        for finding in after {
            if refuses(finding) && same(finding, before, refuses) {
                self.already.push(finding.clone());
            } else if refuses(finding) {
                self.breaks.push(finding.clone());
            } else if finding.severity == Severity::Warning && !same(finding, before, |_| true) {
                self.warned.push(finding.clone());
            }
        }
        let mended = before
            .iter()
            .filter(|finding| refuses(finding) && !same(finding, after, refuses));
        self.mended.extend(mended.cloned());
    }
}

/// The cluster under certain policies.
struct World {
    /// By namespace; of one that nobody knows, every policy counts that does not exclude it.
    facts: BTreeMap<String, Facts>,
}

impl World {
    fn new(live: &Live, policies: &[Arc<MCPPolicy>]) -> Self {
        let servers: Vec<Arc<MCPServer>> = typed(&live.servers);
        let grants: Vec<Arc<MCPAccessGrant>> = typed(&live.grants);
        let sessions: Vec<Arc<MCPAgentSession>> = typed(&live.sessions);
        let all = live
            .servers
            .iter()
            .chain(&live.grants)
            .chain(&live.sessions);
        let names: BTreeSet<&str> = all
            .map(|object| text(object, "/metadata/namespace"))
            .collect();
        let selections: BTreeMap<&str, Arc<PolicySet>> = names
            .into_iter()
            .map(|name| {
                let selection = match live.namespaces.get(name) {
                    Some(labels) => PolicySet::select(policies, name, labels),
                    None => PolicySet::assume(policies, name),
                };
                (name, Arc::new(selection))
            })
            .collect();
        let servers: Servers = servers
            .iter()
            .filter_map(|server| {
                let namespace = server.metadata.namespace.as_deref()?;
                Some(ServerFact::new(server, selections.get(namespace)?))
            })
            .collect();
        let mut grants = grouped(grants, |grant| grant.metadata.namespace.clone());
        let mut sessions = grouped(sessions, |session| session.metadata.namespace.clone());
        let shared = Facts {
            operation: Some(Operation::Live),
            now: Known::Known(live.now),
            namespaces: Known::from(live.namespaces.clone()),
            policies: Known::from(policies.to_vec()),
            servers: Known::from(servers),
            ingress_classes: match &live.classes {
                Some(classes) => Known::from(classes.clone()),
                None => Known::Unknown,
            },
            ..Facts::default()
        };
        let facts = selections.iter().map(|(name, selection)| {
            let namespace = live.namespaces.get(*name).map(|labels| NamespaceFacts {
                name: (*name).to_owned(),
                labels: labels.clone(),
            });
            let facts = Facts {
                namespace: namespace.map_or(Known::Unknown, Known::from),
                selection: Some(Arc::clone(selection)),
                grants: Known::from(grants.remove(*name).unwrap_or_default()),
                sessions: Known::from(sessions.remove(*name).unwrap_or_default()),
                ..shared.clone()
            };
            ((*name).to_owned(), facts)
        });
        Self {
            facts: facts.collect(),
        }
    }

    fn judge(&self, object: &Value, namespace: &str) -> Vec<Finding> {
        let Some(facts) = self.facts.get(namespace) else {
            return Vec::new();
        };
        rules::check(Some(object), None, facts)
            .into_iter()
            .collect()
    }
}

/// What the webhook would refuse the candidate for.
fn of_candidate(live: &Live, candidate: &MCPPolicy, value: &Value) -> Vec<Finding> {
    let name = &candidate.metadata.name;
    let old = live
        .policies
        .iter()
        .find(|policy| policy.metadata.name == *name)
        .and_then(|policy| serde_json::to_value(policy.as_ref()).ok());
    let facts = Facts {
        now: Known::Known(live.now),
        namespaces: Known::from(live.namespaces.clone()),
        policies: Known::from(live.policies.clone()),
        ..Facts::default()
    };
    // Stamps and the like are the cluster's: it is the spec that is tried.
    let judged = old.as_ref().map_or_else(
        || value.clone(),
        |old| {
            let mut judged = old.clone();
            judged["spec"] = value.get("spec").cloned().unwrap_or_default();
            judged
        },
    );
    let findings = rules::check(Some(&judged), old.as_ref(), &facts);
    findings.into_iter().filter(refuses).collect()
}

fn typed<T: DeserializeOwned>(objects: &[Value]) -> Vec<Arc<T>> {
    let parsed = objects
        .iter()
        .filter_map(|object| serde_json::from_value(object.clone()).ok());
    parsed.map(Arc::new).collect()
}

fn grouped<T>(
    objects: Vec<Arc<T>>,
    namespace: impl Fn(&T) -> Option<String>,
) -> BTreeMap<String, Vec<Arc<T>>> {
    let mut groups: BTreeMap<String, Vec<Arc<T>>> = BTreeMap::new();
    for object in objects {
        let namespace = namespace(&object).unwrap_or_default();
        groups.entry(namespace).or_default().push(object);
    }
    groups
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let text = object.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default()
}

/// What is being deleted is nobody's trouble any more.
fn is_going(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|time| !time.is_null())
}

/// The candidates first, then by namespace, kind, name and field.
fn place(finding: &Finding) -> (bool, &str, &str, &str, &str, &str) {
    let of_candidate = finding.kind == rules::Kind::Policy.as_str();
    (
        !of_candidate,
        &finding.namespace,
        finding.kind,
        &finding.name,
        &finding.field,
        finding.code,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(name: &str, spec: &Value) -> (Arc<MCPPolicy>, Value) {
        let value = json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPPolicy", "metadata": {"name": name}, "spec": spec,
        });
        (
            Arc::new(serde_json::from_value(value.clone()).unwrap()),
            value,
        )
    }

    fn server(namespace: &str, name: &str, image: &str) -> Value {
        json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"image": image, "ingressHost": "a.example.com", "tools": [{"name": "t"}]},
        })
    }

    fn grant(trust: &str) -> Value {
        json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
            "metadata": {"name": "g", "namespace": "team-a"},
            "spec": {"serverRef": {"name": "acme"}, "subject": {"humanID": "alice"}, "maxTrust": trust,
                     "allowedSideEffects": ["read"]},
        })
    }

    fn live() -> Live {
        Live {
            now: "2026-06-01T12:00:00Z".parse().unwrap(),
            only: None,
            policies: vec![
                policy(
                    "default",
                    &json!({"images": {"allowedRegistries": ["ghcr.io"]}}),
                )
                .0,
            ],
            namespaces: ["team-a", "team-b"]
                .map(|name| (name.to_owned(), BTreeMap::new()))
                .into_iter()
                .collect(),
            servers: vec![
                server("team-a", "acme", "ghcr.io/acme/x:1"),
                server("team-a", "quay", "quay.io/acme/x:1"),
                server("team-b", "other", "ghcr.io/other/x:1"),
            ],
            grants: vec![grant("high")],
            sessions: Vec::new(),
            classes: None,
        }
    }

    fn said(findings: &[Finding]) -> Vec<String> {
        let said = findings
            .iter()
            .map(|finding| format!("{}/{} {}", finding.namespace, finding.name, finding.code));
        said.collect()
    }

    #[test]
    fn who_breaks_who_is_mended_and_who_is_broken_already_are_told_apart() {
        let narrower = policy(
            "default",
            &json!({"images": {"allowedRegistries": ["ghcr.io/acme", "quay.io/acme"]}, "access": {"maxTrust": "low"}}),
        );
        let changes = replay(&live(), &[narrower]);
        assert_eq!(
            said(&changes.breaks),
            ["team-a/g MCP0606", "team-b/other MCP0102"]
        );
        assert_eq!(said(&changes.mended), ["team-a/quay MCP0102"]);
        assert!(changes.already.is_empty());
        assert_eq!(changes.objects, 4);

        let added = policy(
            "second",
            &json!({"images": {"allowedRegistries": ["ghcr.io/acme"]}}),
        );
        let changes = replay(&live(), &[added]);
        assert_eq!(said(&changes.breaks), ["team-b/other MCP0102"]);
        assert_eq!(said(&changes.already), ["team-a/quay MCP0102"]);
    }

    #[test]
    fn a_policy_that_only_warns_breaks_nobody() {
        let warning = policy(
            "default",
            &json!({"enforcement": "Warn", "images": {"allowedRegistries": ["ghcr.io/acme"]}}),
        );
        let changes = replay(&live(), &[warning]);
        assert!(changes.breaks.is_empty());
        assert_eq!(said(&changes.warned), ["team-b/other MCP0102"]);
        assert_eq!(said(&changes.mended), ["team-a/quay MCP0102"]);
    }

    #[test]
    fn several_candidates_are_judged_together() {
        let relaxed = policy("default", &json!({"excludeNamespaces": ["team-b"]}));
        let team = policy(
            "team-b",
            &json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "team-b"}},
                    "images": {"requireDigest": true}}),
        );
        let changes = replay(&live(), &[relaxed, team]);
        assert_eq!(said(&changes.breaks), ["team-b/other MCP0104"]);
        assert_eq!(said(&changes.mended), ["team-a/quay MCP0102"]);
    }

    #[test]
    fn only_the_namespace_that_was_asked_for_is_judged() {
        let mut live = live();
        live.only = Some("team-a".to_owned());
        let none = policy("default", &json!({"images": {"allowedRegistries": []}}));
        let changes = replay(&live, &[none]);
        assert_eq!(said(&changes.breaks), ["team-a/acme MCP0102"]);
        assert_eq!(changes.objects, 3);
    }

    #[test]
    fn what_is_wrong_with_the_candidate_itself_comes_first() {
        let wrong = policy(
            "default",
            &json!({"images": {"allowedRegistries": ["https://ghcr.io"]}}),
        );
        let changes = replay(&live(), &[wrong]);
        assert_eq!(changes.breaks[0].kind, "MCPPolicy");
        assert_eq!(changes.breaks[0].code, "MCP0903");
    }

    #[test]
    fn stamps_of_the_policy_that_is_replaced_are_no_fault_of_the_candidate() {
        let mut live = live();
        let mut stamped = live.policies[0].as_ref().clone();
        let stamp = (api::names::REQUESTED_BY.to_owned(), "alice".to_owned());
        stamped.metadata.annotations = Some([stamp].into());
        live.policies = vec![Arc::new(stamped)];
        let same = policy(
            "default",
            &json!({"images": {"allowedRegistries": ["ghcr.io"]}}),
        );
        assert!(replay(&live, &[same]).breaks.is_empty());
    }

    #[test]
    fn what_is_being_deleted_is_left_out() {
        let mut live = live();
        live.servers[2]["metadata"]["deletionTimestamp"] = json!("2026-06-01T12:00:00Z");
        let none = policy(
            "default",
            &json!({"images": {"allowedRegistries": ["ghcr.io/acme"]}}),
        );
        assert!(replay(&live, &[none]).breaks.is_empty());
    }
}
