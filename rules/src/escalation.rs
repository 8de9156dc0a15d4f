//! Who may give access away, or lift a denial: somebody with the verb `grant` on the server, or who holds what he gives.
//!
//! Read by [`questions`](crate::questions()) before a request is judged, and by the rule MCP0607.

use api::{Decision, Effect, GROUP, MCPAccessGrant, MCPAccessGrantSpec, ToolRule, Trust};
use serde_json::Value;

use crate::check::is_terminating;
use crate::facts::{Facts, Question, Requester};
use crate::kind::Kind;
use crate::questions::{is_namespace_controller, namespace};
use crate::subject::is_live;

/// To be asked when a grant is made, widened, or a denial is lifted; nothing when it gives no more than the requester
/// holds himself.
pub(crate) fn grant(
    new: Option<&Value>,
    old: Option<&Value>,
    requester: &Requester,
    facts: &Facts,
) -> Option<Question> {
    if is_namespace_controller(requester) && new.is_none() || old.is_some_and(is_terminating) {
        return None;
    }
    let (wanted, before) = (new.and_then(spec), old.and_then(spec));
    let gives = match (&wanted, &before) {
        (Some(new), None) => new.effect == Effect::Allow,
        (Some(new), Some(old)) => widens(new, old),
        (None, Some(old)) => denies(old),
        // It does not parse: the schema speaks, and nothing is given.
        (None, None) => false,
    };
    let lifts = before.as_ref().is_some_and(denies);
    let object = old.or(new)?;
    let namespace = namespace(object, facts);
    let server = wanted.as_ref().or(before.as_ref())?.server_ref.name.clone();
    if !gives
        || !lifts
            && wanted
                .as_ref()
                .is_some_and(|new| holds(new, requester, facts, &namespace))
    {
        return None;
    }
    Some(Question {
        verb: "grant",
        group: GROUP,
        resource: Kind::Server.plural(),
        namespace,
        name: server,
    })
}

fn spec(object: &Value) -> Option<MCPAccessGrantSpec> {
    serde_json::from_value(object.get("spec")?.clone()).ok()
}

/// Whether a grant, of whatever effect, takes something away.
fn denies(spec: &MCPAccessGrantSpec) -> bool {
    spec.effect == Effect::Deny
        || spec
            .tool_rules
            .iter()
            .any(|rule| rule.decision == Decision::Deny)
}

/// Whether an update may give more than there was. Where something is denied, every change but a new reason may; where
/// nothing is, whatever cannot be seen to give the same or less.
pub(crate) fn widens(new: &MCPAccessGrantSpec, old: &MCPAccessGrantSpec) -> bool {
    let mut narrowed = old.clone();
    narrowed.reason.clone_from(&new.reason);
    if *new == narrowed {
        return false;
    }
    denies(old) || !gives_no_more(new, old)
}

/// Whether `new` gives nothing that `old`, which denies nothing, does not give.
fn gives_no_more(new: &MCPAccessGrantSpec, old: &MCPAccessGrantSpec) -> bool {
    fn within<T: PartialEq>(new: &[T], old: &[T]) -> bool {
        new.iter().all(|item| old.contains(item))
    }
    let same = new.server_ref == old.server_ref && new.subject == old.subject;
    let earlier = match (&new.expires_at, &old.expires_at) {
        (_, None) => true,
        (Some(new), Some(old)) => new.0 <= old.0,
        (None, Some(_)) => false,
    };
    // A denial in the place of what was given: both halves need no verb by themselves.
    let turned = new.effect == Effect::Deny;
    same && (turned
        || earlier
            && (new.disabled || !old.disabled)
            && new.max_trust <= old.max_trust
            && within(&new.allowed_side_effects, &old.allowed_side_effects)
            && within(&new.prompts, &old.prompts)
            && within(&new.resources, &old.resources)
            && tools_no_more(&new.tool_rules, &old.tool_rules))
}

/// Whether rules allow no tool, and none at less trust, that `old` did not allow. Without a rule that allows, all tools
/// are; of several rules that match, the highest trust counts.
fn tools_no_more(new: &[ToolRule], old: &[ToolRule]) -> bool {
    fn allowing(rules: &[ToolRule]) -> Vec<(&str, Trust)> {
        let allowing = rules.iter().filter(|rule| rule.decision == Decision::Allow);
        allowing
            .map(|rule| {
                (
                    rule.name.as_str(),
                    rule.required_trust.unwrap_or(Trust::Low),
                )
            })
            .collect()
    }
    let (new, old) = (allowing(new), allowing(old));
    let may_overlap =
        |one: &str, other: &str| one == other || one.contains('*') || other.contains('*');
    old.is_empty()
        || !new.is_empty()
            && new.iter().all(|&(name, trust)| {
                let there = old.iter().any(|&(had, _)| had == name || had == "*");
                let strict = old.iter().all(|&(had, asked)| {
                    asked <= trust
                        || !may_overlap(had, name)
                        || new.iter().any(|&(kept, asks)| kept == had && asks >= asked)
                });
                there && strict
            })
}

/// Whether one live grant to exactly the requester, or to one of his groups, covers all that `given` gives. Coverage is
/// read narrowly: a pattern is covered by the same pattern or by `*`.
fn holds(
    given: &MCPAccessGrantSpec,
    requester: &Requester,
    facts: &Facts,
    namespace: &str,
) -> bool {
    let (Some(grants), Some(now)) = (facts.grants.get(), facts.now.get()) else {
        return false;
    };
    let mine = |grant: &MCPAccessGrant| {
        grant.metadata.namespace.as_deref() == Some(namespace)
            && grant.spec.server_ref == given.server_ref
            && grant.metadata.deletion_timestamp.is_none()
            && is_live(grant, Some(*now))
            && is_exactly(grant, requester)
    };
    let own: Vec<_> = grants
        .iter()
        .filter(|grant| mine(grant))
        .map(|grant| &grant.spec)
        .collect();
    !own.iter().any(|spec| denies(spec)) && own.iter().any(|spec| covers(spec, given))
}

/// Whether the grant names the requester, or one of his groups, and nothing that could be somebody else.
fn is_exactly(grant: &MCPAccessGrant, requester: &Requester) -> bool {
    let subject = &grant.spec.subject;
    let nothing_else = subject.agent_id.is_none()
        && subject.team_id.is_none()
        && subject.service_account.is_none()
        && subject.issuer.is_none();
    nothing_else
        && match (&subject.human_id, &subject.group) {
            (Some(human), None) => *human == requester.username,
            (None, Some(group)) => requester.groups.contains(group),
            (None, None) | (Some(_), Some(_)) => false,
        }
}

fn covers(own: &MCPAccessGrantSpec, given: &MCPAccessGrantSpec) -> bool {
    let patterns = |own: &[String], given: &[String]| {
        given
            .iter()
            .all(|wanted| own.iter().any(|have| have == wanted || have == "*"))
    };
    let names = |spec: &MCPAccessGrantSpec| -> Vec<String> {
        let allowed = spec
            .tool_rules
            .iter()
            .filter(|rule| rule.decision == Decision::Allow);
        allowed.map(|rule| rule.name.clone()).collect()
    };
    let (own_tools, given_tools) = (names(own), names(given));
    let tools =
        own_tools.is_empty() || !given_tools.is_empty() && patterns(&own_tools, &given_tools);
    let lasts = match (&own.expires_at, &given.expires_at) {
        (None, _) => true,
        (Some(own), Some(given)) => given.0 <= own.0,
        (Some(_), None) => false,
    };
    // A rule of one's own that asks for more trust must not be passed on without it.
    let strict = own
        .tool_rules
        .iter()
        .any(|rule| rule.required_trust.is_some());
    own.effect == Effect::Allow
        && given.effect == Effect::Allow
        && own.max_trust >= given.max_trust
        && given
            .allowed_side_effects
            .iter()
            .all(|effect| own.allowed_side_effects.contains(effect))
        && !strict
        && tools
        && patterns(&own.prompts, &given.prompts)
        && patterns(&own.resources, &given.resources)
        && lasts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::facts::Known;

    fn object(spec: &Value) -> Value {
        json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPAccessGrant",
               "metadata": {"name": "g", "namespace": "team-a"}, "spec": spec})
    }

    fn allow(human: &str, more: &Value) -> Value {
        let mut spec = json!({"serverRef": {"name": "weather"}, "subject": {"humanID": human},
                              "allowedSideEffects": ["read"], "toolRules": [{"name": "forecast"}]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        object(&spec)
    }

    fn asked(new: Option<&Value>, old: Option<&Value>, held: Vec<Value>) -> bool {
        let requester = Requester {
            username: "alice".to_owned(),
            groups: vec!["sre".to_owned()],
            ..Requester::default()
        };
        let grants = held
            .into_iter()
            .map(|g| Arc::new(serde_json::from_value(g).unwrap()));
        let facts = Facts {
            now: Known::Known("2026-06-01T12:00:00Z".parse().unwrap()),
            grants: Known::Known(Arc::new(grants.collect())),
            ..Facts::default()
        };
        grant(new, old, &requester, &facts).is_some()
    }

    #[test]
    fn giving_needs_the_verb_unless_one_holds_it_oneself() {
        let given = allow("bob", &json!({}));
        assert!(asked(Some(&given), None, vec![]));
        assert!(!asked(Some(&given), None, vec![allow("alice", &json!({}))]));
        let to_group = json!({"subject": {"group": "sre"}});
        assert!(!asked(Some(&given), None, vec![allow("", &to_group)]));
    }

    #[test]
    fn what_one_does_not_quite_hold_needs_the_verb() {
        let mine = || {
            vec![allow(
                "alice",
                &json!({"expiresAt": "2026-06-01T13:00:00Z"}),
            )]
        };
        for more in [
            json!({}),
            json!({"expiresAt": "2026-06-01T14:00:00Z"}),
            json!({"expiresAt": "2026-06-01T12:30:00Z", "maxTrust": "high"}),
            json!({"expiresAt": "2026-06-01T12:30:00Z", "allowedSideEffects": ["read", "write"]}),
            json!({"expiresAt": "2026-06-01T12:30:00Z", "toolRules": []}),
            json!({"expiresAt": "2026-06-01T12:30:00Z", "toolRules": [{"name": "*"}]}),
            json!({"expiresAt": "2026-06-01T12:30:00Z", "resources": ["*"]}),
            json!({"expiresAt": "2026-06-01T12:30:00Z", "serverRef": {"name": "other"}}),
        ] {
            assert!(asked(Some(&allow("bob", &more)), None, mine()), "{more}");
        }
        let less = json!({"expiresAt": "2026-06-01T12:30:00Z"});
        assert!(!asked(Some(&allow("bob", &less)), None, mine()));
    }

    #[test]
    fn somebody_who_is_denied_passes_nothing_on() {
        let held = vec![
            allow("alice", &json!({})),
            allow("alice", &json!({"effect": "Deny"})),
        ];
        assert!(asked(Some(&allow("bob", &json!({}))), None, held));
    }

    #[test]
    fn lifting_a_denial_needs_the_verb_in_every_disguise() {
        let deny = allow("bob", &json!({"effect": "Deny"}));
        let inner = allow(
            "bob",
            &json!({"toolRules": [{"name": "forecast", "decision": "deny"}]}),
        );
        assert!(asked(None, Some(&deny), vec![]));
        assert!(asked(None, Some(&inner), vec![]));
        for more in [
            json!({"effect": "Deny", "disabled": true}),
            json!({"effect": "Deny", "expiresAt": "2026-06-01T12:00:01Z"}),
            json!({"effect": "Deny", "toolRules": [{"name": "other"}]}),
            json!({"effect": "Allow"}),
        ] {
            assert!(
                asked(Some(&allow("bob", &more)), Some(&deny), vec![]),
                "{more}"
            );
        }
        let held = vec![allow("alice", &json!({}))];
        assert!(asked(Some(&allow("bob", &json!({}))), Some(&deny), held));
    }

    #[test]
    fn taking_away_needs_no_verb() {
        let given = allow("bob", &json!({}));
        assert!(!asked(None, Some(&given), vec![]));
        assert!(!asked(
            Some(&allow("bob", &json!({"effect": "Deny"}))),
            None,
            vec![]
        ));
        for more in [
            json!({"disabled": true}),
            json!({"reason": "ticket"}),
            json!({"expiresAt": "2026-06-01T12:30:00Z"}),
        ] {
            assert!(
                !asked(Some(&allow("bob", &more)), Some(&given), vec![]),
                "{more}"
            );
        }
    }

    /// Whether turning `old` into `new` needs the verb.
    fn change(old: &Value, new: &Value) -> bool {
        asked(Some(&allow("bob", new)), Some(&allow("bob", old)), vec![])
    }

    #[test]
    fn giving_less_needs_no_verb_and_giving_more_does() {
        let rule = |name: &str, trust: &str| json!({"name": name, "requiredTrust": trust});
        for (less, more) in [
            (json!({"maxTrust": "low"}), json!({"maxTrust": "high"})),
            (json!({}), json!({"allowedSideEffects": ["read", "write"]})),
            (json!({"allowedSideEffects": []}), json!({})),
            (json!({"disabled": true}), json!({})),
            (
                json!({"expiresAt": "2026-06-01T12:30:00Z"}),
                json!({"expiresAt": "2026-06-01T13:00:00Z"}),
            ),
            (json!({"expiresAt": "2026-06-01T12:30:00Z"}), json!({})),
            (json!({"prompts": ["a"]}), json!({"prompts": ["a", "b*"]})),
            (json!({"resources": []}), json!({"resources": ["*"]})),
            (
                json!({"toolRules": [{"name": "forecast"}]}),
                json!({"toolRules": []}),
            ),
            (
                json!({"toolRules": [{"name": "forecast"}]}),
                json!({"toolRules": [{"name": "*"}]}),
            ),
            (
                json!({"toolRules": [rule("forecast", "high")]}),
                json!({"toolRules": [rule("forecast", "medium")]}),
            ),
            (
                json!({"toolRules": [rule("*", "low"), rule("delete*", "high")]}),
                json!({"toolRules": [rule("*", "low")]}),
            ),
            (
                json!({"toolRules": [{"name": "a"}]}),
                json!({"toolRules": [{"name": "a"}, rule("b", "high")]}),
            ),
            (
                json!({"toolRules": [{"name": "a"}, {"name": "b", "decision": "deny"}]}),
                json!({"toolRules": [{"name": "a"}]}),
            ),
            (
                json!({"toolRules": [{"name": "b", "decision": "deny"}]}),
                json!({"toolRules": []}),
            ),
            (json!({"effect": "Deny"}), json!({"maxTrust": "high"})),
        ] {
            assert!(!change(&more, &less), "{more} to {less}");
            assert!(change(&less, &more), "{less} to {more}");
        }
    }

    #[test]
    fn what_gives_less_here_and_more_there_needs_the_verb() {
        let rules = |rules: Value| json!({"toolRules": rules});
        let high = |name: &str| json!({"name": name, "requiredTrust": "high"});
        for (old, new) in [
            (
                json!({"maxTrust": "high"}),
                json!({"maxTrust": "low", "allowedSideEffects": ["read", "write"]}),
            ),
            // Without a rule that allows, every other tool is allowed.
            (
                rules(json!([{"name": "a"}])),
                rules(json!([{"name": "a", "decision": "deny"}])),
            ),
            // Of both rules the higher trust counted.
            (
                rules(json!([high("*"), {"name": "a"}])),
                rules(json!([{"name": "a"}])),
            ),
            (
                rules(json!([high("a"), {"name": "b"}])),
                rules(json!([{"name": "c"}])),
            ),
            (json!({}), json!({"subject": {"humanID": "eve"}})),
            (json!({}), json!({"serverRef": {"name": "other"}})),
            // One denial stays and another goes.
            (
                rules(
                    json!([{"name": "a", "decision": "deny"}, {"name": "b", "decision": "deny"}]),
                ),
                rules(json!([{"name": "a", "decision": "deny"}])),
            ),
            // The same denials, and less given: a denial is looked at as a whole.
            (
                json!({"maxTrust": "high", "toolRules": [{"name": "a", "decision": "deny"}]}),
                json!({"maxTrust": "low", "toolRules": [{"name": "a*", "decision": "deny"}]}),
            ),
        ] {
            assert!(change(&old, &new), "{old} to {new}");
        }
    }
}
